package policies

import (
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
