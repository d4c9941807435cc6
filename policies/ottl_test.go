package policies_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.yaml.in/yaml/v3"

	"thresher/internal/ottl"
	"thresher/internal/wire"
	"thresher/policies"
)

// Conditions in OTTL, within other policies, over spans as they come on the wire. What an expression means is the matter of
// internal/ottl.
func TestOTTL(t *testing.T) {
	const (
		pay     = `{type: ottl_condition, ottl_condition: {span: ['attributes["http.route"] == "/pay"']}}`
		timeout = `{type: ottl_condition, ottl_condition: {spanevent: ['attributes["exception.type"] == "Timeout"']}}`
		// The attribute is a text on some spans, and cannot be added to then.
		failing = `{type: ottl_condition, ottl_condition: {error_mode: propagate, span: ['attributes["cost"] + 1 == 3']}}`
	)
	for _, x := range []struct {
		name, policy string
		want         [4]bool // of the traces pay, timeout, cheap and odd
	}{
		{"span", pay, [4]bool{true, false, false, false}},
		{"event", timeout, [4]bool{false, true, false, false}},
		{"not", `{type: not, not: {not_sub_policy: ` + pay + `}}`, [4]bool{false, true, true, true}},
		{"or", `{type: or, or: {or_sub_policy: [` + pay + `, ` + timeout + `]}}`, [4]bool{true, true, false, false}},
		{"and", `{type: and, and: {and_sub_policy: [` + pay + `, {type: status_code, status_code: {status_codes: [ERROR]}}]}}`,
			[4]bool{true, false, false, false}},
		{"number", failing, [4]bool{false, false, true, false}},
		{"no vote on error", `{type: not, not: {not_sub_policy: ` + failing + `}}`, [4]bool{}},
		{"error as good as false", `{type: not, not: {not_sub_policy: {type: ottl_condition, ottl_condition: {span: ['attributes["cost"] + 1 == 3']}}}}`,
			[4]bool{true, true, false, true}},
		{"function", `{type: ottl_condition, ottl_condition: {span: ['IsRootSpan() and resource.attributes["service.name"] == "shop"']}}`,
			[4]bool{true, true, true, true}},
	} {
		var doc yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(`[{name: p, `+x.policy[1:]+`]`), &doc))
		plan, err := policies.Parse(&doc, policies.Options{Conditions: ottl.New()})
		require.NoError(t, err, x.name)
		g := &gatherer{t: t, plan: plan, m: plan.NewMatcher()}
		for i, fill := range ottlTraces() {
			var v policies.Verdict
			g.m.Decide(g.gather(fill), &v)
			require.Equal(t, x.want[i], v.Keep, "%s: trace %d", x.name, i)
		}
	}
}

// What cannot be evaluated is told of by policy, unless the condition is true of another span, whichever comes first; and is as good as
// false unless it is propagated.
func TestOTTLErrors(t *testing.T) {
	const list = `
- {name: no conditions, type: always_sample}
- {name: ignored, type: ottl_condition, ottl_condition: {error_mode: ignore, span: ['attributes["cost"] + 1 == 3']}}
- {name: silent, type: ottl_condition, ottl_condition: {error_mode: silent, span: ['attributes["cost"] + 1 == 3']}}
- {name: within, type: not, not: {not_sub_policy: {type: ottl_condition, ottl_condition: {error_mode: propagate, span: ['attributes["cost"] + 1 == 3']}}}}
- {name: sound, type: ottl_condition, ottl_condition: {error_mode: ignore, span: ['name == "x"']}}
`
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(list), &doc))
	for _, strict := range []bool{false, true} {
		plan, err := policies.Parse(&doc, policies.Options{Conditions: ottl.New(), Strict: strict})
		require.NoError(t, err)
		g := &gatherer{t: t, plan: plan, m: plan.NewMatcher()}
		names := plan.Names()
		told := func(v *policies.Verdict, has func(*policies.Verdict, int) bool) (list []string) {
			for i, name := range names {
				if has(v, i) {
					list = append(list, name)
				}
			}
			return list
		}
		for _, x := range []struct {
			costs []any // of spans behind a root without one, to which nothing can be added
			erred bool
		}{
			{nil, true}, {[]any{2}, false}, {[]any{"much"}, true}, {[]any{"much", 2}, false}, {[]any{2, "much"}, false}, {[]any{3, "much", 5}, true},
		} {
			trace := g.gather(func(ptrace.Span) {})
			for _, cost := range x.costs {
				g.add(func(s ptrace.Span) { require.NoError(t, s.Attributes().PutEmpty("cost").FromRaw(cost)) })
			}
			var v policies.Verdict
			g.m.Decide(trace, &v)
			var erred, failed []string
			if x.erred {
				erred = []string{"ignored", "silent"}
			}
			if x.erred || strict { // the Collector stops at the first error
				erred, failed = append(erred, "within"), []string{"within"}
			}
			require.Equal(t, erred, told(&v, (*policies.Verdict).HasErred), "%v, strict %v", x.costs, strict)
			require.Equal(t, failed, told(&v, (*policies.Verdict).HasFailed), "%v, strict %v", x.costs, strict)
		}
		var texts []string
		for _, e := range g.m.TakeErrors() {
			require.Contains(t, e.Text, `attributes["cost"] + 1 == 3`)
			texts = append(texts, fmt.Sprintf("%s %v", names[e.Policy], e.Ignored))
		}
		require.ElementsMatch(t, []string{"ignored true", "silent false", "within false"}, texts)
		require.Empty(t, g.m.TakeErrors(), "each is told once")
	}
}

// ottlTraces fill in the second of two spans.
func ottlTraces() []func(ptrace.Span) {
	return []func(ptrace.Span){
		func(s ptrace.Span) {
			s.Attributes().PutStr("http.route", "/pay")
			s.Status().SetCode(ptrace.StatusCodeError)
		},
		func(s ptrace.Span) {
			s.Attributes().PutStr("http.route", "/buy")
			s.Events().AppendEmpty().SetName("retry")
			s.Events().AppendEmpty().Attributes().PutStr("exception.type", "Timeout")
		},
		func(s ptrace.Span) { s.Attributes().PutInt("cost", 2) },
		func(s ptrace.Span) { s.Attributes().PutStr("cost", "much") },
	}
}

// A gatherer passes the spans of a request through a matcher.
type gatherer struct {
	t        *testing.T
	plan     *policies.Plan
	m        *policies.Matcher
	context  policies.Context
	gathered *policies.Trace
}

// gather begins a trace with two spans.
func (g *gatherer) gather(fill func(ptrace.Span)) *policies.Trace {
	g.gathered = &policies.Trace{Matches: make([]uint64, g.plan.Words())}
	g.add(func(root ptrace.Span) { root.SetParentSpanID([8]byte{}) })
	g.add(fill)
	return g.gathered
}

// add adds a span to the trace.
func (g *gatherer) add(fill func(ptrace.Span)) {
	traces := ptrace.NewTraces()
	r := traces.ResourceSpans().AppendEmpty()
	r.Resource().Attributes().PutStr("service.name", "shop")
	s := r.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	s.SetTraceID([16]byte{1})
	s.SetSpanID([8]byte{1 + byte(g.gathered.Spans)})
	s.SetParentSpanID([8]byte{1})
	fill(s)
	var m ptrace.ProtoMarshaler
	request, err := m.MarshalTraces(traces)
	require.NoError(g.t, err)
	require.NoError(g.t, wire.Walk(request, &wire.Scratch{}, g))
}

func (g *gatherer) Resource(header []byte) error {
	attrs, err := wire.ScanResource(header, g.plan.Keys(), nil)
	g.context = policies.Context{Resource: header, Matches: make([]uint64, g.plan.Words())}
	g.m.MatchResource(attrs, g.context.Matches)
	return err
}

func (g *gatherer) Scope(header []byte) error {
	g.context.Scope = header
	return nil
}

func (g *gatherer) Span(raw []byte) error {
	var s wire.Span
	err := wire.ScanSpan(raw, g.plan.Keys(), &s)
	g.m.MatchSpan(&s, &g.context, g.gathered.Matches)
	g.gathered.Spans++
	return err
}
