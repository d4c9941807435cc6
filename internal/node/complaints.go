package node

import (
	"sync"
	"time"
)

// complainEvery is how often the log says one thing that concerns many records or partitions. The metrics count each.
const complainEvery = time.Minute

// complaints are when the log last said what, for all partitions together.
type complaints struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due reports whether to say it now.
func (c *complaints) due(what string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, said := c.last[what]; said && now.Sub(last) < complainEvery {
		return false
	}
	if c.last == nil {
		c.last = map[string]time.Time{}
	}
	c.last[what] = now
	return true
}

// complain logs what conditions with error_mode ignore could not be evaluated, as the Collector does, but not for each span.
func (r *runner) complain() {
	r.complainOfAstray()
	for _, e := range r.machine.TakeErrors() {
		if e.Ignored && r.n.complaints.due("policy "+e.Policy, time.Now()) {
			r.log.Warn("a condition of a policy cannot be evaluated for some spans, which is as good as false (error_mode: ignore); "+
				"thresher_policy_error_traces_total counts the traces", "policy", e.Policy, "error", e.Text)
		}
	}
}
