package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A policy is the sole keeper of a trace if without it the trace would not be kept: also not by a limit, which is not asked for it.
func TestSoleKeeper(t *testing.T) {
	for rate, want := range map[string]bool{"1": true, "1000": false} {
		for _, list := range []string{
			policyList("always_sample", "rate_limiting, rate_limiting: {spans_per_second: "+rate+"}"),
			policyList("rate_limiting, rate_limiting: {spans_per_second: "+rate+"}", "always_sample"),
			policyList("always_sample", "composite, composite: {max_total_spans_per_second: "+rate+", composite_sub_policy: [{name: a, type: always_sample}]}"),
		} {
			plan, err := parseOptions(list, Options{})
			require.NoError(t, err)
			m := plan.NewMatcher()
			traces := []Trace{{Spans: 10, Randomness: Never / 2, Due: statEpoch}, {Spans: 10, Randomness: Never / 3, Due: statEpoch}}
			m.Settle(traces)
			for i := range traces {
				var v Verdict
				m.DecideSettled(i, &v)
				require.True(t, v.Keep)
				require.Equal(t, want, v.Sole, "%s", list)
			}
		}
	}
}

// Beside a limit that has room for all, and one that no trace comes to, the sole keepers by the hashes of two salts are what they are
// without.
func TestSoleKeeperBesideALimit(t *testing.T) {
	const (
		half = "probabilistic, probabilistic: {sampling_percentage: 50, hash_salt: x}"
		most = "probabilistic, probabilistic: {sampling_percentage: 80, hash_salt: y}"
		wide = "type: rate_limiting, rate_limiting: {spans_per_second: 100000}"
	)
	var want []bool
	for _, text := range []string{
		policyList(half, most),
		policyList(half, "and, and: {and_sub_policy: [{type: "+most+"}, {"+wide+"}]}"),
		policyList(half, most, "and, and: {and_sub_policy: [{type: latency, latency: {threshold_ms: 1000}}, {"+wide+"}]}"),
	} {
		plan, err := parseOptions(text, Options{})
		require.NoError(t, err)
		m := plan.NewMatcher()
		var traces []Trace
		for i := range 200 {
			id := [16]byte{byte(i), 15: byte(i + 1)}
			traces = append(traces, Trace{ID: id, Randomness: Randomness(id), Spans: 1, Due: statEpoch})
		}
		m.Settle(traces)
		var sole []bool
		for i := range traces {
			var v Verdict
			m.DecideSettled(i, &v)
			sole = append(sole, v.Sole)
		}
		if want == nil {
			want = sole
			require.Contains(t, want, true)
			require.Contains(t, want, false)
		}
		require.Equal(t, want, sole, text)
	}
}

// policyList writes a list of policies without names.
func policyList(policies ...string) string {
	var b strings.Builder
	for i, p := range policies {
		fmt.Fprintf(&b, "- {name: p%d, type: %s}\n", i, p)
	}
	return b.String()
}
