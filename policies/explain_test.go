package policies

import "testing"

// In strict lists repeated spans count, and are not handed on: who is told of one span wonders about three.
func TestExplanationsTellOfRepeatedSpans(t *testing.T) {
	plan, err := parseOptions(`
- {name: count, type: span_count, span_count: {min_spans: 2}}
- {name: limit, type: rate_limiting, rate_limiting: {spans_per_second: 2, burst_capacity: 2}}
- {name: shares, type: composite, composite: {max_total_spans_per_second: 2, composite_sub_policy: [{name: all, type: always_sample}]}}
`, Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	for repeats, want := range map[uint64][]string{
		0: {"3 spans", "3 spans, more than the 2 that burst_capacity ever allows", "3 spans, more than the 2 that all ever gets"},
		2: {"5 spans (2 of them repeated)", "5 spans (2 of them repeated), more than the 2 that burst_capacity ever allows",
			"5 spans (2 of them repeated), more than the 2 that all ever gets"},
	} {
		m := plan.NewMatcher()
		m.Settle([]Trace{{Spans: 3 + repeats, Matches: make([]uint64, plan.Words())}})
		for i, x := range m.ExplainSettled(0, make([]Seen, 3)) {
			if x.Saw != want[i] {
				t.Errorf("%s saw %q, want %q", x.Name, x.Saw, want[i])
			}
		}
	}
}
