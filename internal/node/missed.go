package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"thresher/internal/config"
	"thresher/sampler"
)

// missed are late spans of dropped traces that a policy would have kept, had they come before the decision.
type missed struct {
	spans    uint64
	after    [len(sampler.AgeBounds) + 1]uint64 // how long after the first span of their trace they came, by sampler.AgeBounds
	policies map[string]uint64
}

func (m *missed) add(s *sampler.Stats) {
	if m.policies == nil {
		m.policies = map[string]uint64{}
	}
	for i, n := range s.MissedAge {
		m.after[i] += n
		m.spans += n
	}
	for i := range s.Policies {
		if p := &s.Policies[i]; p.MissedSpans > 0 {
			m.policies[p.Name] += p.MissedSpans
		}
	}
}

// since returns what came after was was counted. A partition that began again counts from 0, so it may be less than there is.
func (m *missed) since(was *missed) missed {
	less := func(a, b uint64) uint64 { return a - min(a, b) }
	d := missed{policies: map[string]uint64{}}
	for i := range m.after {
		d.after[i] = less(m.after[i], was.after[i])
		d.spans += d.after[i]
	}
	for name, n := range m.policies {
		if n = less(n, was.policies[name]); n > 0 {
			d.policies[name] = n
		}
	}
	return d
}

// by lists the policies, the one that missed most first.
func (m *missed) by() string {
	names := slices.SortedFunc(maps.Keys(m.policies), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.policies[b], m.policies[a]), strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, m.policies[name])
	}
	return strings.Join(names, ", ")
}

// within returns the time after the first span of their trace in which nearly all of them came; false if it is longer than is told
// apart.
func (m *missed) within() (time.Duration, bool) {
	var sum uint64
	for i, bound := range sampler.AgeBounds {
		if sum += m.after[i]; 20*sum >= 19*m.spans {
			return time.Duration(bound) * time.Millisecond, true
		}
	}
	return 0, false
}

// advice says what to change in the configuration so that they come in time.
func (m *missed) advice(s *config.Sampling) string {
	need, known := m.within()
	if !known {
		return "they come too late to be waited for: list the policies below rescue_on"
	}
	var changes []string
	wait := max(s.DecisionWait, need)
	if root := s.DecisionWaitAfterRoot; root > 0 && root < need {
		if to := max(need, config.RootWaitForBatches); to < wait {
			changes = append(changes, fmt.Sprintf("raise decision_wait_after_root_received from %v to %v", root, to))
		} else {
			changes = append(changes, "remove decision_wait_after_root_received")
		}
	}
	if wait > s.DecisionWait {
		changes = append(changes, fmt.Sprintf("raise decision_wait from %v to %v", s.DecisionWait, wait))
	}
	if len(changes) == 0 { // so the traces were not decided by time
		changes = append(changes, "raise maximum_trace_size_bytes, which decides large traces before the waits are over")
	}
	return strings.Join(changes, ", and ") + "; or list the policies below rescue_on, too"
}

// missedLog is the memory of what the log was told of missed spans. It belongs to Node.watch.
type missedLog struct {
	told missed
	last time.Time
}

// due returns what is new in all, if there is something and it is time to say so.
func (l *missedLog) due(all missed, now time.Time) (fresh missed, ok bool) {
	fresh = all.since(&l.told)
	if fresh.spans == 0 || !l.last.IsZero() && now.Sub(l.last) < complainEvery {
		return missed{}, false
	}
	l.told, l.last = all, now
	return fresh, true
}

// warnOfMissed logs what came too late since the last line about it, at most once a minute.
func (n *Node) warnOfMissed(l *missedLog, now time.Time) {
	var all missed
	for _, v := range n.views() {
		all.add(&v.stats)
	}
	if fresh, ok := l.due(all, now); ok {
		n.log.Warn("spans came after their traces were dropped, which policies would have kept for them",
			"late_spans", fresh.spans, "policies", fresh.by(), "advice", fresh.advice(&n.cfg.Sampling))
	}
}
