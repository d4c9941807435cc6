package policies

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestLintIsSoundWithLimits does what TestLintIsSound does for lists whose policies depend on other traces: without what
// is said to make no difference, no limit is spent on other traces than before.
func TestLintIsSoundWithLimits(t *testing.T) {
	moot, decisions := 0, 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 5))
		var b strings.Builder
		for i := range 2 + r.IntN(5) {
			fmt.Fprintf(&b, "- %s\n", limitedPolicy(r, fmt.Sprintf("name: p%d, ", i), 0))
		}
		text := b.String()
		o := Options{Strict: r.IntN(2) == 0, FirstMatch: r.IntN(2) == 0, Conditions: noConditions{}}
		plan := parseWith(t, text, o, nil)
		ticks := make([][]*testTrace, 6)
		for i := range ticks {
			for range 12 {
				ticks[i] = append(ticks[i], randomTraceWithSpan(r))
			}
		}
		want := settled(plan, ticks)
		var all []*Policy
		for _, f := range plan.lint() {
			all = append(all, f.moot...)
		}
		if plan.Stateful() {
			moot += len(all)
		}
		for i := range len(all) + 1 {
			some := all
			if i < len(all) {
				some = all[i : i+1]
			}
			without := parseWith(t, text, o, some)
			if without == nil {
				continue
			}
			for k, got := range settled(without, ticks) {
				if got != want[k] {
					t.Fatalf("seed %d, strict %v, first match %v\n%s\nwithout %s trace %d is decided %v, not %v\n%v", seed, o.Strict,
						o.FirstMatch, text, nameAll(some), k, got, want[k], plan.Lint())
				}
				decisions++
			}
		}
	}
	t.Logf("%d policies removed, %d decisions", moot, decisions)
	if moot < 300 {
		t.Errorf("%d policies removed only", moot)
	}
}

// limitedPolicy writes a policy of few kinds, many of which depend on other traces.
func limitedPolicy(r *rand.Rand, name string, depth int) string {
	subs := func() string {
		var list []string
		for i := range 1 + r.IntN(3) {
			list = append(list, limitedPolicy(r, fmt.Sprintf("name: s%d, ", i), depth+1))
		}
		return strings.Join(list, ", ")
	}
	block := func(kind, fields string) string {
		return fmt.Sprintf("{%stype: %s, %s: {%s}}", name, kind, kind, fields)
	}
	choices := 12
	if depth == 0 {
		choices = 15
	} else if depth > 2 {
		choices = 8
	}
	switch r.IntN(choices) {
	case 0, 1:
		low := r.IntN(5) * 100
		return block("latency", fmt.Sprintf("threshold_ms: %d", low)+pick(r, "", fmt.Sprintf(", upper_threshold_ms: %d", low+100)))
	case 2:
		return block("status_code", "status_codes: ["+pick(r, "ERROR", "OK", "OK, ERROR")+"]")
	case 3:
		return block("probabilistic", "sampling_percentage: "+pick(r, "10", "50", "0"))
	case 4:
		return block("rate_limiting", "spans_per_second: "+pick(r, "1", "5", "20"))
	case 5:
		return block("diversity", "fingerprint: [k], traces: 2, period: 2s")
	case 6:
		return block("string_attribute", "key: k, values: ["+pick(r, "a", "a, b")+"]"+pick(r, "", ", invert_match: true"))
	case 7:
		return block("ottl_condition", "error_mode: propagate, span: ["+pick(r, "x", "y")+"]")
	case 8, 9:
		return block("and", "and_sub_policy: ["+subs()+"]")
	case 10:
		return block("or", "or_sub_policy: ["+subs()+"]")
	case 11:
		if r.IntN(2) == 0 {
			return block("not", "not_sub_policy: "+limitedPolicy(r, "", depth+1))
		}
		return block("composite", "max_total_spans_per_second: 12, composite_sub_policy: ["+subs()+"]")
	case 12:
		return block("force", pick(r, "until: 2026-01-01T00:00:00Z", "until: 2025-01-01T00:00:00Z")+", force_sub_policy: ["+subs()+"]")
	case 13:
		return "{" + name + "type: always_sample}"
	}
	return block("drop", "drop_sub_policy: ["+subs()+"]")
}

// parseWith parses a list without some of its policies; it returns nil if none is left.
func parseWith(t *testing.T, text string, o Options, without []*Policy) *Plan {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	remove(&doc, without)
	if len(doc.Content[0].Content) == 0 {
		return nil
	}
	plan, err := Parse(&doc, o)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return plan
}

type outcome struct{ keep, dropped bool }

// settled decides traces tick by tick.
func settled(plan *Plan, ticks [][]*testTrace) (outcomes []outcome) {
	m, v := plan.NewMatcher(), &Verdict{}
	for i, tick := range ticks {
		var traces []Trace
		for k, tt := range tick {
			trace := *tt.run(m, v)
			trace.Randomness, trace.Due = Randomness(trace.ID), 1_750_000_000_000+int64(i)*Tick
			for c := range plan.conditions { // what OTTL says of the trace, or that it fails
				b := &plan.conditions[c]
				says := k
				if strings.Contains(b.text, "span: y") {
					says = k/3 + i
				}
				switch says % 3 {
				case 1:
					trace.Matches[b.matched.word] |= b.matched.mask
				case 2:
					trace.Matches[b.failed.word] |= b.failed.mask
				}
			}
			traces = append(traces, trace)
		}
		m.Settle(traces)
		for k := range traces {
			m.DecideSettled(k, v)
			outcomes = append(outcomes, outcome{v.Keep, v.Dropped})
		}
	}
	return outcomes
}

func nameAll(policies []*Policy) string {
	var names []string
	for _, p := range policies {
		names = append(names, place(p))
	}
	return joined(names)
}

// noConditions takes any OTTL, and finds it nowhere.
type noConditions struct{}

func (noConditions) Compile(Expressions) (SpanCondition, []ExpressionError) {
	return noConditions{}, nil
}
func (noConditions) NewView() SpanView            { return noConditions{} }
func (noConditions) Set(_, _, _ []byte, _ int64)  {}
func (noConditions) Match(SpanView) (bool, error) { return false, nil }
