package policies

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// What the Collector takes no notice of is a mistake, but for compat: strict.
func TestSlips(t *testing.T) {
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ", ")
	}
	for _, c := range []struct{ text, slip string }{
		{`[]`, "is empty, so nothing would be kept"},
		{`[{name: a, type: string_attribute, string_attribute: {key: k, values: [""]}}]`, "values[0]: is empty"},
		{`[{name: a, type: string_attribute, string_attribute: {key: "", values: "x,y"}}]`, "must be a list"},
		{`[{name: a, type: span_count, span_count: {min_spans: 9, max_spans: 5}}]`, "max_spans: is 5, which is below min_spans 9"},
		{`[{name: a, type: latency}]`, "latency: is missing"},
		{`[{name: a, type: latency, latency: {threshold_ms: }}]`, "threshold_ms: has no value"},
		{`[{name: a, type: latency, latency: {threshold_ms: -5}}]`, "must not be negative"},
		{`[{name: a, type: latency, latency: {threshold_ms: 5}, latncy: {}}]`, `latncy: unknown key; did you mean "latency"?`},
		{`[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 500}}]`, "must lie between 0 and 100"},
		{`[{name: a, type: and, and: {and_sub_policy: [{type: always_sample, name: ""}]}}]`, "name: is empty"},
		{`[{name: a, type: composite, composite: {composite_sub_policy: [` + many(70, "{name: n%d, type: always_sample}") + `]}}]`,
			"max_total_spans_per_second: is missing"},
		{`[` + many(11, "{name: a%[1]d, type: probabilistic, probabilistic: {sampling_percentage: 5, hash_salt: s%[1]d}}") + `]`,
			"too many probabilistic policies"},
	} {
		var doc yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(c.text), &doc))
		_, err := Parse(&doc, Options{})
		var mistakes Errors
		require.ErrorAs(t, err, &mistakes, c.text)
		require.NotEmpty(t, mistakes)
		plan, err := Parse(&doc, Options{Strict: true})
		require.NoError(t, err, c.text)
		var said []string
		for _, w := range plan.Slips() {
			said = append(said, w.String())
		}
		require.Contains(t, strings.Join(said, "\n"), c.slip, c.text)
		_ = plan.Lint()
		var v Verdict
		plan.NewMatcher().Decide(&Trace{Spans: 1, Matches: make([]uint64, plan.Words())}, &v)
		require.LessOrEqual(t, v.Probability, 1.0)
	}
	// Policies of our own, and late spans, are nothing that the Collector knows.
	for _, text := range []string{
		`[{name: a, type: adaptive, adaptive: {keys: "service.name", sampling_percentage: 5}}]`,
		`[{name: a, type: or, or: {}}]`, `[{name: "", type: always_sample}]`, `[{name: a, type: latencyy, latency: {}}]`,
	} {
		var doc yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(text), &doc))
		_, err := Parse(&doc, Options{Strict: true})
		require.True(t, errors.As(err, new(Errors)), text)
	}
}
