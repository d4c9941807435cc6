package policies

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.yaml.in/yaml/v3"
)

// TestDecide runs the scenarios: `policies` compiles a list, `decide` passes traces through it. Every verdict is also
// compared with the naive interpreter's.
func TestDecide(t *testing.T) {
	datadriven.Walk(t, "testdata/decide", func(t *testing.T, path string) {
		var text string
		var plan *Plan
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "policies":
				var err error
				text = d.Input
				if plan, err = parseText(text); err != nil {
					return err.Error()
				}
				return describePlan(plan)
			case "decide", "explain":
				return decideAll(t, d, text, plan)
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// TestErrors runs the scenarios of lists with mistakes: `parse` shows them all.
func TestErrors(t *testing.T) {
	datadriven.Walk(t, "testdata/errors", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(_ *testing.T, d *datadriven.TestData) string {
			if plan, err := parseOptions(d.Input, Options{}); err != nil {
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

func parseText(text string) (*Plan, error) { return parseOptions(text, Options{Conditions: statusConditions{}}) }

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

func decideAll(t *testing.T, d *datadriven.TestData, text string, plan *Plan) string {
	var b strings.Builder
	m := plan.NewMatcher()
	v := &Verdict{}
	for _, tt := range parseTraces(t, d.Input) {
		trace := tt.run(m, v)
		checkNaive(t, text, Options{}, tt, v)
		fmt.Fprintf(&b, "%s: %s\n", tt.name, describeVerdict(plan, v))
		if d.Cmd == "explain" {
			describeWhy(&b, m.Explain(trace, nil), 1)
		}
	}
	return b.String()
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
		if w.Passed {
			sign = "yes"
		}
		fmt.Fprintf(b, "%s%s %s (%s): %s\n", strings.Repeat("  ", depth), sign, w.Name, w.Type, w.Text)
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
