package policies

import (
	"fmt"
	"strings"
	"testing"

	"thresher/internal/wire"
)

const fourPolicies = `
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
- {name: slow, type: latency, latency: {threshold_ms: 1000}}
- {name: checkout, type: string_attribute, string_attribute: {key: http.route, values: [/checkout]}}
- {name: one-percent, type: probabilistic, probabilistic: {sampling_percentage: 1}}
`

// fiftyPolicies mixes all types, with regular expressions on two keys.
func fiftyPolicies() string {
	var b strings.Builder
	b.WriteString(fourPolicies)
	for i := range 20 {
		fmt.Fprintf(&b, "- {name: route-%d, type: string_attribute, string_attribute: {key: http.route, values: [/r%d, /s%d]}}\n", i, i, i)
	}
	for i := range 8 {
		fmt.Fprintf(&b, "- {name: like-%d, type: string_attribute, string_attribute: {key: url.path, values: ['^/api/v[0-9]+/r%d'],"+
			" enabled_regex_matching: true}}\n", i, i)
	}
	for i := range 8 {
		fmt.Fprintf(&b, "- {name: status-%d, type: numeric_attribute, numeric_attribute: {key: http.response.status_code,"+
			" min_value: %d, max_value: %d}}\n", i, 400+i*10, 409+i*10)
	}
	for i := range 4 {
		fmt.Fprintf(&b, "- {name: flag-%d, type: boolean_attribute, boolean_attribute: {key: flag.%d, value: true}}\n", i, i)
	}
	for i := range 5 {
		fmt.Fprintf(&b, "- {name: and-%d, type: and, and: {and_sub_policy: [{type: latency, latency: {threshold_ms: %d}},"+
			" {type: probabilistic, probabilistic: {sampling_percentage: %d}}]}}\n", i, 100*i, i+1)
	}
	b.WriteString("- {name: drop-health, type: drop, drop: {drop_sub_policy: [{type: string_attribute," +
		" string_attribute: {key: http.route, values: [/health]}}]}}\n")
	return b.String()
}

// benchSpans returns spans of a healthy request, which match nothing, so that no condition can be left out; the
// attributes are those that the key set lets through.
func benchSpans(plan *Plan, n int) []wire.Span {
	spans := make([]wire.Span, n)
	for i := range spans {
		s := &spans[i]
		s.TraceID[0] = byte(i)
		s.Status = int32(i % 2)
		for k := range plan.Keys().Len() {
			a := wire.Attr{Key: k}
			switch key := plan.Keys().Key(k); key {
			case "http.route":
				a.Value = wire.Value{Kind: wire.ValueString, Bytes: []byte("/products/{id}")}
			case "url.path":
				a.Value = wire.Value{Kind: wire.ValueString, Bytes: fmt.Appendf(nil, "/products/%d", i)}
			case "http.response.status_code":
				a.Value = wire.Value{Kind: wire.ValueInt, Num: 200}
			default:
				continue
			}
			s.Attrs = append(s.Attrs, a)
		}
	}
	return spans
}

const benchTraceSpans = 20

// BenchmarkMatchSpan is the cost of a span, BenchmarkDecide that of a trace, and BenchmarkTrace both for a trace of 20.
func BenchmarkMatchSpan(b *testing.B) {
	eachSize(b, func(b *testing.B, plan *Plan) {
		m, spans, matches, c := plan.NewMatcher(), benchSpans(plan, 100), make([]uint64, plan.Words()), &Context{}
		i := 0
		for b.Loop() {
			m.MatchSpan(&spans[i%len(spans)], c, matches)
			if i++; i%benchTraceSpans == 0 {
				clear(matches)
			}
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	eachSize(b, func(b *testing.B, plan *Plan) {
		m, t := plan.NewMatcher(), Trace{Spans: 20, Start: 1, End: 5e8, Matches: make([]uint64, plan.Words())}
		var v Verdict
		for b.Loop() {
			t.ID[3]++
			m.Decide(&t, &v)
		}
	})
}

func BenchmarkTrace(b *testing.B) {
	eachSize(b, func(b *testing.B, plan *Plan) {
		m, spans, c := plan.NewMatcher(), benchSpans(plan, benchTraceSpans), &Context{}
		t := Trace{Spans: benchTraceSpans, Start: 1, End: 5e8, Matches: make([]uint64, plan.Words())}
		var v Verdict
		for b.Loop() {
			clear(t.Matches)
			t.ID[3]++
			for i := range spans {
				m.MatchSpan(&spans[i], c, t.Matches)
			}
			m.Decide(&t, &v)
		}
		b.ReportMetric(float64(b.N)*benchTraceSpans/b.Elapsed().Seconds(), "spans/s")
	})
}

func eachSize(b *testing.B, run func(*testing.B, *Plan)) {
	for _, text := range []string{fourPolicies, fiftyPolicies()} {
		plan := mustParse(b, text)
		b.Run(fmt.Sprintf("policies=%d", plan.Len()), func(b *testing.B) {
			b.ReportAllocs()
			run(b, plan)
		})
	}
}

// In steady state nothing on the way from a span to a verdict allocates, kept by chance or not. (The race detector makes
// sync.Pool, in which regexp keeps its machines, lose some of them.)
func TestNoAllocations(t *testing.T) {
	state := []byte("a=b,vendor=debug")
	for _, text := range []string{
		fourPolicies,
		fiftyPolicies() + "- {name: state, type: trace_state, trace_state: {key: vendor, values: [x]}}\n",
	} {
		plan := mustParse(t, text)
		m, spans, c := plan.NewMatcher(), benchSpans(plan, 500), &Context{}
		trace := Trace{Spans: 500, Start: 1, End: 5e8, Matches: make([]uint64, plan.Words())}
		var v Verdict
		kept := 0
		step := func() {
			clear(trace.Matches)
			for i := range spans {
				spans[i].TraceState = state
				m.MatchResource(spans[i].Attrs, trace.Matches)
				m.MatchSpan(&spans[i], c, trace.Matches)
			}
			for i := range 500 {
				trace.ID[2], trace.ID[3] = byte(i), byte(i>>8)
				if m.Decide(&trace, &v); v.Keep {
					kept++
				}
			}
		}
		step()
		if n := testing.AllocsPerRun(10, step); n != 0 && !raceDetector {
			t.Errorf("%d policies: %v allocations", plan.Len(), n)
		}
		if kept == 0 {
			t.Errorf("%d policies: no trace was kept, so the probability was never computed", plan.Len())
		}
	}
}
