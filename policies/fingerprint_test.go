package policies_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"thresher/internal/ottl"
	"thresher/policies"
)

// Checkpoints compare fingerprints across versions of the program, so neither they nor what valves are known by may depend on how texts are
// worded for people. If this fails, policies begin anew at the next release: change the numbers only if that is meant.
func TestFingerprintsStay(t *testing.T) {
	const list = `
- {name: a, type: rate_limiting, rate_limiting: {spans_per_second: 1}}
- {name: b, type: bytes_limiting, bytes_limiting: {bytes_per_second: 1, burst_capacity: 1}}
- {name: c, type: adaptive, adaptive: {keys: [x], traces_per_second: 1, max_keys: 1}}
- {name: d, type: diversity, diversity: {fingerprint: shape, traces: 1, max_fingerprints: 1}}
- {name: e, type: baseline_latency, baseline_latency: {keys: [x], min_traces: 1, max_keys: 1}}
- {name: f, type: composite, composite: {max_total_spans_per_second: 1, composite_sub_policy: [{type: trace_flags}]}}
- {name: g, type: ottl_condition, ottl_condition: {error_mode: ignore, span: ['name == "x"']}}
- {name: h, type: and, and: {and_sub_policy: [{type: span_count, span_count: {min_spans: 1}}, {type: latency, latency: {threshold_ms: 1}}]}}
- {name: i, type: rate_limiting, rate_limiting: {spans_per_second: 1000}}
`
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(list), &doc))
	plan, err := policies.Parse(&doc, policies.Options{Conditions: ottl.New()})
	require.NoError(t, err)
	require.Equal(t, "edec5e7c4b0d5613", fmt.Sprintf("%x", plan.Fingerprint()))
}
