package conformance

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

var (
	seed    = flag.Uint64("seed", 1, "what configurations and traces are made from")
	from    = flag.Int("from", 0, "number of the first configuration")
	configs = flag.Int("configs", 2700, "how many configurations")
	perList = flag.Int("traces", 100, "how many traces a configuration gets; a fifth of them where limits can be reached")
)

// TestVerdicts compares verdicts on generated pairs of a configuration and a trace.
func TestVerdicts(t *testing.T) {
	var (
		mu        sync.Mutex
		total     counts
		complaint = "" // of the first configuration that one is about
		at        = *from + *configs
		next      = *from
		wait      sync.WaitGroup
	)
	for range 2 {
		p := startPeer(t)
		wait.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			for ; next < at; next++ {
				no := next
				mu.Unlock()
				c, wrong := try(p, no)
				mu.Lock()
				total.merge(&c)
				if wrong != "" && no < at {
					at, complaint = no, wrong
				}
			}
		})
	}
	wait.Wait()
	if complaint != "" {
		t.Fatalf("%s\nAgain: go test -run %s -seed %d -from %d -configs 1", complaint, t.Name(), *seed, at)
	}
	t.Log(total.report())
	if total.different*4 > total.pairs {
		t.Error("more than a quarter of the verdicts differ: the quirks hide what is to be compared")
	}
}

// try compares the verdicts on the traces of one configuration and tells what is wrong.
func try(p *peer, no int) (c counts, complaint string) {
	g := newGenerator(*seed, uint64(no))
	l, tight := g.list(allTypes())
	n := *perList
	if tight {
		n = (n + 4) / 5
	}
	var traces []*trace
	for range n {
		traces = append(traces, g.trace())
	}
	s, err := newSubjects(p, l)
	if err != nil {
		return c, err.Error()
	}
	if !tight {
		s.collector = g.chance(2)
		return c, s.disagreement(traces, &c)
	}
	for _, tr := range traces {
		if g.aim(l, tr) {
			if s, err = newSubjects(p, l); err != nil {
				return c, err.Error()
			}
		}
		if complaint = s.disagreement([]*trace{tr}, &c); complaint != "" {
			break
		}
	}
	return c, complaint
}

// subjects are what is compared, with one configuration.
type subjects struct {
	list         *list
	config       string
	peer         *peer
	strict, ours *engine
	collector    bool // requests are encoded as a Collector does
}

func newSubjects(p *peer, l *list) (s *subjects, err error) {
	s = &subjects{list: l, config: l.yaml(), peer: p}
	if s.strict, err = newEngine(s.config, true); err == nil {
		s.ours, err = newEngine(s.config, false)
	}
	if err != nil {
		return nil, fmt.Errorf("Thresher refuses what the peer accepts: %w\n%s", err, s.config)
	}
	return s, nil
}

// disagreement lets all decide the traces together, and tells about the first that is not decided as it should be, or
// about something smaller that is not either.
func (s *subjects) disagreement(traces []*trace, c *counts) string {
	tr, complaint := s.compare(traces, c)
	if complaint == "" || tr == nil {
		return complaint
	}
	alone := func(l *list, tr *trace) string {
		part, err := newSubjects(s.peer, l)
		if err != nil {
			return ""
		}
		part.collector = s.collector
		at, complaint := part.compare([]*trace{tr}, &counts{})
		if at == nil {
			return ""
		}
		return complaint
	}
	if alone(s.list, tr) == "" {
		return fmt.Sprintf("together with other traces: %s\n%s%s", complaint, s.config, tr)
	}
	l, tr := reduce(s.list, tr, func(l *list, tr *trace) bool { return alone(l, tr) != "" })
	return fmt.Sprintf("%s\n%s%s", alone(l, tr), l.yaml(), tr)
}

// compare lets all decide the traces together. It returns what is wrong, and with which trace if it is one.
func (s *subjects) compare(traces []*trace, c *counts) (*trace, string) {
	requests := batches(traces)
	if s.collector {
		for i, r := range requests {
			requests[i] = again(r)
		}
	}
	theirs, err := s.peer.decide(s.config, requests...)
	if err != nil {
		return nil, fmt.Sprintf("the peer: %v\n%s", err, s.config)
	}
	strict, err := s.strict.decide(requests...)
	if err != nil {
		return nil, fmt.Sprintf("Thresher, strict: %v\n%s", err, s.config)
	}
	ours, err := s.ours.decide(requests...)
	if err != nil {
		return nil, fmt.Sprintf("Thresher: %v\n%s", err, s.config)
	}
	for _, tr := range traces {
		if v, want := theirs[tr.id], decide(s.list, tr, allQuirks); v != want {
			return tr, fmt.Sprintf("the peer says %v, the reference with all quirks %v", v, want)
		}
		if v, want := strict[tr.id], theirs[tr.id]; v != want {
			return tr, fmt.Sprintf("Thresher says %v with compat: strict, the peer %v", v, want)
		}
		if v := ours[tr.id]; !justified(s.list, tr, v) {
			return tr, fmt.Sprintf("Thresher says %v, the reference without quirks %v", v, decide(s.list, tr, noQuirks))
		}
		c.pairs++
		if s.list.aimed(tr) {
			c.aimed++
		}
		if ours[tr.id] != theirs[tr.id] {
			c.add(explain(s.list, tr))
		}
	}
	return nil, ""
}

// again decodes a request and encodes it as a Collector does: fields from the last to the first, and some that say nothing.
func again(request []byte) []byte {
	var u ptrace.ProtoUnmarshaler
	traces, err := u.UnmarshalTraces(request)
	if err != nil {
		panic(err)
	}
	var m ptrace.ProtoMarshaler
	b, err := m.MarshalTraces(traces)
	if err != nil {
		panic(err)
	}
	return b
}

func thresher(config string, strict bool, requests [][]byte) (map[traceID]verdict, error) {
	e, err := newEngine(config, strict)
	if err != nil {
		return nil, err
	}
	return e.decide(requests...)
}

// allTypes lists the types of policies as often as they are to be generated: limits seldom, since most of what differs is theirs.
func allTypes() []string {
	common := []string{"latency", "numeric_attribute", "probabilistic", "status_code", "string_attribute", "boolean_attribute", "trace_state",
		"trace_flags", "span_count", "ottl_condition", "and", "not", "drop"}
	return append(slices.Concat(common, common, common), "always_sample", "rate_limiting", "bytes_limiting", "bytes_limiting", "bytes_limiting", "composite", "composite", "composite")
}

// counts are of pairs of a configuration and a trace.
type counts struct {
	pairs, different int
	aimed            int     // pairs where a limit on bytes is within a tenth of the size of the trace
	unasked          int     // pairs that differ because limits are not asked that decide nothing
	by               [32]int // quirk: pairs that differ for it alone
	together         map[quirks]int
}

// add counts a pair that differs for quirks, or if there are none because a limit was not asked.
func (c *counts) add(q quirks) {
	c.different++
	if q == noQuirks {
		c.unasked++
		return
	}
	if q&(q-1) != 0 {
		if c.together == nil {
			c.together = map[quirks]int{}
		}
		c.together[q]++
		return
	}
	for i := range c.by {
		if q>>i&1 == 1 {
			c.by[i]++
		}
	}
}

func (c *counts) merge(o *counts) {
	c.pairs += o.pairs
	c.different += o.different
	c.aimed += o.aimed
	c.unasked += o.unasked
	for i, n := range o.by {
		c.by[i] += n
	}
	for q, n := range o.together {
		if c.together == nil {
			c.together = map[quirks]int{}
		}
		c.together[q] += n
	}
}

func (c *counts) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d pairs of configuration and trace, %d with a limit near the size; strict: 0 verdicts differ; otherwise %d (%.2f %%), by quirk:\n",
		c.pairs, c.aimed, c.different, 100*float64(c.different)/float64(max(c.pairs, 1)))
	fmt.Fprintf(&b, "  %6d limiter_charge\n", c.unasked)
	for i, n := range c.by {
		if q := quirks(1) << i; q&allQuirks != 0 {
			fmt.Fprintf(&b, "  %6d %s\n", n, q)
		}
	}
	for _, q := range slices.Sorted(maps.Keys(c.together)) {
		fmt.Fprintf(&b, "  %6d %s\n", c.together[q], q)
	}
	return b.String()
}
