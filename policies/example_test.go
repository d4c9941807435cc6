package policies_test

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"thresher/internal/wire"
	"thresher/policies"
)

func Example() {
	var doc yaml.Node
	err := yaml.Unmarshal([]byte(`
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
- {name: slow, type: latency, latency: {threshold_ms: 1000}}
- {name: one-percent, type: probabilistic, probabilistic: {sampling_percentage: 1}}
`), &doc)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan, err := policies.Parse(&doc, policies.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	matcher := plan.NewMatcher()
	span := wire.Span{TraceID: wire.TraceID{1}, Start: 1_000_000_000, End: 3_500_000_000}
	trace := policies.Trace{
		ID: span.TraceID, Spans: 1, Start: span.Start, End: span.End, HasRoot: span.Root(),
		Matches: make([]uint64, plan.Words()),
	}
	matcher.MatchSpan(&span, &policies.Context{}, trace.Matches)
	var verdict policies.Verdict
	matcher.Decide(&trace, &verdict)
	fmt.Println("keep:", verdict.Keep, "by", plan.Names()[verdict.Policy])
	for _, why := range matcher.Explain(&trace, nil) {
		fmt.Println(why.Passed, why.Name, "-", why.Text)
	}
	// Output:
	// keep: true by slow
	// false errors - a span with status ERROR
	// true slow - duration > 1000 ms
	// false one-percent - 1 % of trace IDs hashed with "default-hash-seed", up to 184467440737095519
}
