package conformance

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var (
	seed    = flag.Uint64("seed", 1, "what configurations and traces are made from")
	from    = flag.Int("from", 0, "number of the first configuration")
	configs = flag.Int("configs", 2700, "how many configurations")
	perList = flag.Int("traces", 100, "how many traces a configuration gets; a fifth of them where limits can be reached")
)

// TestVerdicts compares verdicts on generated pairs of a configuration and a trace.
func TestVerdicts(t *testing.T) {
	p := startPeer(t)
	var c counts
	for no := *from; no < *from+*configs; no++ {
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
		groups := [][]*trace{traces}
		if tight {
			groups = groups[:0]
			for _, tr := range traces {
				groups = append(groups, []*trace{tr})
			}
		}
		for _, group := range groups {
			if complaint := disagreement(p, l, group, &c); complaint != "" {
				t.Fatalf("%s\nAgain: go test -run %s -seed %d -from %d -configs 1", complaint, t.Name(), *seed, no)
			}
		}
	}
	t.Log(c.report())
	if c.different*4 > c.pairs {
		t.Error("more than a quarter of the verdicts differ: the quirks hide what is to be compared")
	}
}

// disagreement lets all decide the traces together, and tells about the first that is not decided as it should be, or
// about something smaller that is not either.
func disagreement(p *peer, l *list, traces []*trace, c *counts) string {
	tr, complaint := compare(p, l, traces, c)
	if complaint == "" || tr == nil {
		return complaint
	}
	wrong := func(l *list, tr *trace) bool {
		at, complaint := compare(p, l, []*trace{tr}, &counts{})
		return complaint != "" && at != nil
	}
	if !wrong(l, tr) {
		return fmt.Sprintf("together with other traces: %s\n%s%s", complaint, l.yaml(), tr)
	}
	l, tr = reduce(l, tr, wrong)
	_, complaint = compare(p, l, []*trace{tr}, &counts{})
	return fmt.Sprintf("%s\n%s%s", complaint, l.yaml(), tr)
}

// compare lets all decide the traces together. It returns what is wrong, and with which trace if it is one.
func compare(p *peer, l *list, traces []*trace, c *counts) (*trace, string) {
	requests := batches(traces)
	theirs, err := p.decide(l.yaml(), requests...)
	if err != nil {
		return nil, fmt.Sprintf("the peer: %v\n%s", err, l.yaml())
	}
	strict, err := thresher(l.yaml(), true, requests)
	if err != nil {
		return nil, fmt.Sprintf("Thresher, strict: %v\n%s", err, l.yaml())
	}
	ours, err := thresher(l.yaml(), false, requests)
	if err != nil {
		return nil, fmt.Sprintf("Thresher: %v\n%s", err, l.yaml())
	}
	for _, tr := range traces {
		if v, want := theirs[tr.id], decide(l, tr, allQuirks); v != want {
			return tr, fmt.Sprintf("the peer says %v, the reference with all quirks %v", v, want)
		}
		if v, want := strict[tr.id], theirs[tr.id]; v != want {
			return tr, fmt.Sprintf("Thresher says %v with compat: strict, the peer %v", v, want)
		}
		if v, want := ours[tr.id], decide(l, tr, noQuirks); v != want {
			return tr, fmt.Sprintf("Thresher says %v, the reference without quirks %v", v, want)
		}
		c.pairs++
		if ours[tr.id] != theirs[tr.id] {
			c.add(explain(l, tr))
		}
	}
	return nil, ""
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
	return append(slices.Concat(common, common, common), "always_sample", "rate_limiting", "bytes_limiting", "composite", "composite")
}

// counts are of pairs of a configuration and a trace.
type counts struct {
	pairs, different int
	by               [32]int // quirk: pairs that differ for it alone
	together         map[quirks]int
}

// add counts a pair that differs for quirks.
func (c *counts) add(q quirks) {
	c.different++
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

func (c *counts) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d pairs of configuration and trace; strict: all verdicts equal; otherwise %d differ (%.2f %%), by quirk:\n",
		c.pairs, c.different, 100*float64(c.different)/float64(max(c.pairs, 1)))
	for i, n := range c.by {
		if q := quirks(1) << i; q&allQuirks != 0 {
			fmt.Fprintf(&b, "  %-24s %6d\n", q, n)
		}
	}
	n, kinds := 0, len(c.together)
	for _, with := range c.together {
		n += with
	}
	fmt.Fprintf(&b, "  %-24s %6d (%d combinations)", "several of these", n, kinds)
	return b.String()
}
