package policies

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.yaml.in/yaml/v3"

	"thresher/internal/wire"
)

// TestDecide runs the scenarios. `policies` compiles a list; with strict, first-match or partitions=N, and with the list of rescue_on below
// a line ---. `decide` passes traces through it one by one, and compares every verdict with the naive interpreter's. `tick at=TIME` settles
// them together, TIME after the beginning, with what ticks before left; restart takes that over into a new matcher. `explain` and `tick
// explain` tell why, and what was seen. `late` asks which policy of rescue_on each span brings its trace back by, and which policy
// of the list would have kept the trace had it come in time.
func TestDecide(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		s := &scenario{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "policies":
				return s.compile(t, d)
			case "decide", "explain":
				return s.decide(t, d)
			case "tick":
				return s.tick(t, d)
			case "late":
				return s.late(t, d)
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

type scenario struct {
	text    string
	options Options
	plan    *Plan
	matcher *Matcher
}

func (s *scenario) compile(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var rescue string
	s.text, rescue, _ = strings.Cut(d.Input, "\n---\n")
	s.options = Options{Strict: d.HasArg("strict"), FirstMatch: d.HasArg("first-match"), Conditions: statusConditions{}}
	if d.HasArg("partitions") {
		d.ScanArgs(t, "partitions", &s.options.Partitions)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(rescue), &doc); err != nil {
		return err.Error()
	}
	if rescue != "" {
		s.options.Rescue = doc.Content[0]
	}
	var err error
	if s.plan, err = parseOptions(s.text, s.options); err != nil {
		return err.Error()
	}
	s.matcher = s.plan.NewMatcher()
	return describePlan(s.plan)
}

func (s *scenario) decide(t *testing.T, d *datadriven.TestData) string {
	var b strings.Builder
	m, v := s.plan.NewMatcher(), &Verdict{}
	for _, tt := range parseTraces(t, d.Input) {
		trace := tt.run(m, v)
		if !s.plan.Stateful() {
			checkNaive(t, s.text, s.options, tt, v)
		}
		fmt.Fprintf(&b, "%s: %s\n", tt.name, describeVerdict(s.plan, v))
		if d.Cmd == "explain" {
			var seen []Seen
			if d.HasArg("saw") {
				seen = tt.seen(s.plan)
			}
			describeWhy(&b, m.Explain(trace, seen), 1)
		}
	}
	return b.String()
}

// tick decides traces together.
func (s *scenario) tick(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var at string
	d.ScanArgs(t, "at", &at)
	since, ok := parseDuration(at)
	if !ok {
		d.Fatalf(t, "%s is no time", at)
	}
	if d.HasArg("restart") {
		m := s.plan.NewMatcher()
		if err := m.SetState(s.matcher.AppendState(nil)); err != nil {
			t.Fatal(err)
		}
		s.matcher = m
	}
	var b strings.Builder
	var traces []Trace
	list := parseTraces(t, d.Input)
	for _, tt := range list {
		tt.due = int64(testEpoch/1e6) + since
		traces = append(traces, *tt.gather(s.matcher))
	}
	s.matcher.Settle(traces)
	v := &Verdict{}
	for i, tt := range list {
		s.matcher.DecideSettled(i, v)
		fmt.Fprintf(&b, "%s: %s\n", tt.name, describeVerdict(s.plan, v))
		if d.HasArg("explain") {
			describeWhy(&b, s.matcher.ExplainSettled(i, tt.seen(s.plan)), 1)
		}
	}
	return b.String()
}

func (s *scenario) late(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var b strings.Builder
	for _, tt := range parseTraces(t, d.Input) {
		by, missed := "nothing", "nothing"
		tt.each(s.matcher, func(span *wire.Span, c *Context) {
			if i := s.matcher.Rescues(span, c, testSpanBytes); i >= 0 && by == "nothing" {
				by = s.plan.RescueNames()[i]
			}
			if i := s.matcher.Misses(span, c, testSpanBytes); i >= 0 && missed == "nothing" {
				missed = s.plan.Names()[i]
			}
		})
		fmt.Fprintf(&b, "%s: rescued by %s, missed by %s\n", tt.name, by, missed)
	}
	return b.String()
}

// TestErrors runs the scenarios of lists with mistakes: `parse` shows them all, those of a strict list with strict.
func TestErrors(t *testing.T) {
	datadriven.Walk(t, "testdata/errors", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string {
			if plan, err := parseOptions(d.Input, Options{Strict: d.HasArg("strict")}); err != nil {
				var errs Errors
				if !errors.As(err, &errs) || len(errs) == 0 {
					return fmt.Sprintf("not Errors: %v", err)
				}
				return err.Error()
			} else {
				return describePlan(plan)
			}
		})
	})
}

func parseText(text string) (*Plan, error) {
	return parseOptions(text, Options{Conditions: statusConditions{}})
}

func parseOptions(text string, o Options) (*Plan, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	return Parse(&doc, o)
}

func describePlan(p *Plan) string {
	var keys []string
	for i := range p.Keys().Len() {
		keys = append(keys, p.Keys().Key(i))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d policies, keys %q, %d words\n", p.Len(), keys, p.Words())
	describePolicies(&b, p.Policies(), 0)
	return b.String()
}

func describePolicies(b *strings.Builder, list []Policy, depth int) {
	for _, p := range list {
		fmt.Fprintf(b, "%s%d:%d %s (%s): %s\n", strings.Repeat("  ", depth), p.Line, p.Column, p.Name, p.Type, p.Text)
		describePolicies(b, p.Sub, depth+1)
	}
}

func describeVerdict(plan *Plan, v *Verdict) string {
	var b strings.Builder
	switch {
	case v.Keep:
		fmt.Fprintf(&b, "keep by %s", plan.Names()[v.Policy])
	case v.Dropped:
		fmt.Fprintf(&b, "drop by %s", plan.Names()[v.Policy])
	default:
		b.WriteString("not kept")
	}
	var matched []string
	for i, name := range plan.Names() {
		if v.Matches(i) && i != v.Policy {
			matched = append(matched, name)
		}
	}
	if len(matched) > 0 {
		fmt.Fprintf(&b, ", also matched %s", strings.Join(matched, " "))
	}
	if v.Probability != 1 {
		fmt.Fprintf(&b, ", probability %v", v.Probability)
	}
	if v.Complete {
		b.WriteString(", complete")
	}
	return b.String()
}

func describeWhy(b *strings.Builder, why []Explanation, depth int) {
	for _, w := range why {
		sign := "no "
		switch {
		case w.Passed:
			sign = "yes"
		case w.Failed:
			sign = "?  "
		}
		fmt.Fprintf(b, "%s%s %s (%s): %s", strings.Repeat("  ", depth), sign, w.Name, w.Type, w.Text)
		if w.Saw != "" {
			fmt.Fprintf(b, "; saw %s", w.Saw)
		}
		b.WriteString("\n")
		describeWhy(b, w.Sub, depth+1)
	}
}

func checkNaive(t testing.TB, text string, o Options, tt *testTrace, v *Verdict) {
	t.Helper()
	n := naive{strict: o.Strict, firstMatch: o.FirstMatch, t: tt}.decide(naiveList(t, text))
	if n.keep != v.Keep || n.dropped != v.Dropped || n.policy != v.Policy {
		t.Errorf("%+v\n%s\n%+v\nnaive: keep %v, dropped %v, policy %d; compiled: keep %v, dropped %v, policy %d",
			o, text, tt, n.keep, n.dropped, n.policy, v.Keep, v.Dropped, v.Policy)
	}
	for i, is := range n.matched {
		if v.Matches(i) != is {
			t.Errorf("%+v\n%s\n%+v\npolicy %d: naive %v, compiled %v", o, text, tt, i, is, !is)
		}
	}
}

func naiveList(t testing.TB, text string) (list []any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	return list
}
