package policies

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A limit holds its rate also if who sampled the traces before, or a policy before it, has left only those with much, or with
// little, randomness.
func TestLimitsOfWhatOthersLeft(t *testing.T) {
	const ticks, tenSpans = 300, 10.0
	run := func(t *testing.T, text string, traces int, head float64) map[int]float64 {
		plan := mustParse(t, text)
		m, v, rnd := plan.NewMatcher(), &Verdict{}, rand.New(rand.NewPCG(1, 2))
		perSecond := map[int]float64{}
		for tick := range int64(ticks) {
			list := make([]Trace, traces)
			for i := range list {
				from := uint64(head * Never)
				list[i] = Trace{
					Randomness: from + rnd.Uint64N(Never-from), Head: from, Explicit: head > 0, Spans: tenSpans, Bytes: 1000,
					Matches: make([]uint64, plan.Words()), Due: (1_000_000 + tick) * Tick,
				}
			}
			m.Settle(list)
			for i := range list {
				if m.DecideSettled(i, v); v.Keep {
					require.LessOrEqual(t, limitOf(v.Probability*(1-head)), list[i].Randomness+16, "kept below the threshold that it tells")
					perSecond[v.Policy] += tenSpans / ticks
				}
			}
		}
		return perSecond
	}
	for _, head := range []float64{0, 0.5, 0.9, 0.99} {
		for _, traces := range []int{20, 200} {
			t.Run(fmt.Sprintf("head %g, %d traces", head, traces), func(t *testing.T) {
				kept := run(t, "[{name: limit, type: rate_limiting, rate_limiting: {spans_per_second: 100}}]", traces, head)
				require.InDelta(t, 100, kept[0], 5)
				kept = run(t, "[{name: goal, type: adaptive, adaptive: {keys: [service.name], spans_per_second: 100}}]", traces, head)
				require.InDelta(t, 100, kept[0], 12)
			})
		}
	}
	t.Run("one behind the other", func(t *testing.T) {
		kept := run(t, `
- {name: first, type: rate_limiting, rate_limiting: {spans_per_second: 500}}
- {name: second, type: rate_limiting, rate_limiting: {spans_per_second: 100}}`, 200, 0)
		require.InDelta(t, 500, kept[0], 15)
		require.InDelta(t, 100, kept[1], 5)
	})
	t.Run("two in an and", func(t *testing.T) {
		kept := run(t, `
- {name: both, type: and, and: {and_sub_policy: [{type: rate_limiting, rate_limiting: {spans_per_second: 500}},
    {type: bytes_limiting, bytes_limiting: {bytes_per_second: 10000}}]}}`, 200, 0)
		require.InDelta(t, 100, kept[0], 8)
	})
}
