package policies

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func budgetCost(rnd *rand.Rand, kind string) uint64 {
	switch kind {
	case "spans":
		return min(1+uint64(10*math.Exp(1.2*rnd.NormFloat64())), 1900)
	case "giant":
		if rnd.IntN(100) == 0 {
			return 1900
		}
		return 1 + uint64(10*rnd.ExpFloat64())
	}
	return 1
}

var whole = stake{matters: true, to: Never}

// drawBids makes the bids of a tick.
func drawBids(rnd *rand.Rand, n int, kind string) (bids []bid) {
	for i := range n {
		bids = append(bids, bid{rnd.Uint64N(Never), budgetCost(rnd, kind), i, whole})
	}
	return bids
}

// What passes stands for all that asked, and what is spent is what there was, whether traces are small beside the rate or large: also
// where a trace comes to more than the budget brings in a minute.
func TestBudgetIsSpentWithoutBias(t *testing.T) {
	for _, rate := range []float64{0.2, 1, 10, 100} {
		for _, load := range []float64{0.5, 1.5, 20} { // asked, over the rate
			for _, kind := range []string{"unit", "spans", "giant"} {
				mean := map[string]float64{"unit": 1, "spans": 21, "giant": 30}[kind]
				var off deviation
				var spent, asked, brought float64
				for seed := range uint64(12) {
					rnd := rand.New(rand.NewPCG(seed, 7))
					b := newBudget(rate, 2*rate, 2000)
					var stands, all float64
					for tick := range int64(300) {
						bids := drawBids(rnd, poisson(rnd, rate*load/mean), kind)
						g := b.grant(nil, bids, statEpoch+tick*1000)
						for _, c := range bids {
							limit := g.limitOf(c.cost)
							if limit == Never {
								t.Fatalf("rate %g, load %g, %s: no chance", rate, load, kind)
							}
							all++
							asked += float64(c.cost)
							if c.randomness >= limit {
								stands += Never / float64(Never-limit)
								spent += float64(c.cost)
							}
						}
					}
					if all > 0 {
						off.add(stands/all - 1)
					}
					brought += rate * 300
				}
				t.Logf("rate %5g, load %4g, %-5s: %v; spent %.2f of the rate, asked %.2f", rate, load, kind, &off, spent/brought, asked/brought)
				require.LessOrEqual(t, math.Abs(off.mean()), max(4.5*off.bar(), 0.01), "rate %g, load %g, %s: %v", rate, load, kind, &off)
				if rate >= 10 && kind != "giant" {
					require.Less(t, spent, 1.1*brought, "rate %g, load %g, %s", rate, load, kind)
					if load == 20 {
						require.Greater(t, spent, 0.9*brought, "rate %g, load %g, %s", rate, load, kind)
					}
				}
			}
		}
	}
}

// The limit of a trace does not depend on its own randomness, nor on whether it is among the bids.
func TestBudgetLimits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		kind := []string{"unit", "spans", "giant"}[rnd.IntN(3)]
		rate := 100 * rnd.Float64()
		shared := rnd.IntN(2) == 0
		first, second := drawBids(rnd, 1+rnd.IntN(20), kind), drawBids(rnd, 1+rnd.IntN(20), kind)
		decide := func(bids []bid) (grant, *budget) {
			b, outer := newBudget(rate, rate, 1000), newBudget(1.5*rate, 1.5*rate, 1000)
			if !shared {
				outer = nil
			}
			b.grant(outer, first, 1000)
			return b.grant(outer, bids, 2000), b
		}
		all, budget := decide(second)
		i := rnd.IntN(len(second))
		for _, r := range []uint64{0, Never / 2, Never - 1} {
			other := append([]bid(nil), second...)
			other[i].randomness = r
			g, _ := decide(other)
			require.Equal(t, all.limitOf(second[i].cost), g.limitOf(second[i].cost))
		}
		without, _ := decide(append(append([]bid(nil), second[:i]...), second[i+1:]...))
		require.Equal(t, all.limitOf(second[i].cost), without.limitFor(second[i].cost))
		require.LessOrEqual(t, budget.tokens, budget.room())
		require.Equal(t, uint64(Never), all.limitOf(1001), "more than ever fits")
	}
}

// Of two shares of one total neither is charged for the other's traces, and both together do not exceed it. A trace that passed in the
// first has in the second the limit that it would have had if the total had not been charged for it.
func TestBudgetsWithinOne(t *testing.T) {
	outer := newBudget(10, 10, 10)
	a, b := newBudget(8, 8, 8), newBudget(8, 8, 8)
	g := a.grant(outer, []bid{{Never - 1, 8, 0, whole}}, 1000)
	require.Zero(t, g.limitOf(8))
	g = b.grant(outer, []bid{{Never - 1, 8, 1, whole}}, 1000)
	require.Equal(t, int64(8*unit), b.capacity)
	require.InDelta(t, 1-2.5/8, float64(g.limitOf(8))/Never, 1e-9, "2 are left of the total, but 2.5 are promised")
	require.InDelta(t, 1-8./16, float64(g.limitWithout(8))/Never, 1e-9)

	rnd := rand.New(rand.NewPCG(3, 4))
	outer = newBudget(10, 10, 1000)
	shares := []*budget{newBudget(8, 8, 1000), newBudget(8, 8, 1000)}
	var spent [2]float64
	for tick := range int64(2000) {
		for k, share := range shares {
			bids := drawBids(rnd, poisson(rnd, 5), "unit")
			g := share.grant(outer, bids, statEpoch+tick*1000)
			for _, c := range bids {
				if c.randomness >= g.limitOf(c.cost) {
					spent[k] += 1. / 2000
				}
			}
		}
	}
	require.InDelta(t, 5, spent[0], 0.3)
	require.InDelta(t, 9, spent[0]+spent[1], 0.6, "of 10, which are not saved up")
}

// Time in one step or in many brings the same, also with restarts between.
func TestBudgetRefill(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		rate := math.Exp(12*rnd.Float64() - 5)
		one, many := newBudget(rate, 1e6, 1e6), newBudget(rate, 1e6, 1e6)
		one.refill(0)
		many.refill(0)
		one.tokens, many.tokens = -units(1e5), -units(1e5)
		now := int64(0)
		for range 100 {
			now += rnd.Int64N(3000)
			many.refill(now)
			restarted := newBudget(rate, 1e6, 1e6)
			restarted.decode(&stateDecoder{b: many.appendTo(nil)})
			require.Equal(t, many, restarted)
		}
		one.refill(now)
		many.gain, one.gain = 0, 0 // of the last step
		require.Equal(t, one, many)
		require.InDelta(t, min(1e6, -1e5+rate*float64(now)/1000), float64(one.tokens)/unit, 1+rate*1e-3)
		one.refill(now - 1)
		require.Equal(t, many.tokens, one.tokens, "time that goes back")
		one.refill(math.MaxInt64)
		require.Equal(t, one.capacity, one.tokens)
	}
}

// A budget saves up for a large trace that it has seen lately, also if its own share of the capacity is smaller; not for one that is
// larger than the capacity before it was divided.
func TestBudgetSavesUp(t *testing.T) {
	b := newBudget(1, 2, 50)
	b.grant(nil, []bid{{0, 40, 0, whole}, {0, 60, 1, whole}}, 0)
	b.refill(100_000)
	require.Equal(t, int64(40*unit), b.tokens)
	b.refill(reachPeriod)
	require.Equal(t, int64(40*unit), b.tokens)
	b.refill(2 * reachPeriod)
	require.Equal(t, int64(2*unit), b.tokens, "forgotten")
}

func FuzzBudgetState(f *testing.F) {
	b := newBudget(3, 10, 100)
	f.Add(b.appendTo(nil), int64(5))
	b.grant(nil, []bid{{5, 50, 0, whole}}, 7)
	f.Add(b.appendTo(nil), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, text []byte, now int64) {
		b, again := newBudget(3, 10, 100), newBudget(3, 10, 100)
		d := stateDecoder{b: text}
		b.decode(&d)
		if d.bad {
			return
		}
		d = stateDecoder{b: b.appendTo(nil)}
		again.decode(&d)
		require.False(t, d.bad)
		require.Equal(t, b, again)
		b.grant(nil, []bid{{5, 50, 0, whole}, {6, 7, 1, whole}}, now)
		require.LessOrEqual(t, b.tokens, b.room())
		d = stateDecoder{b: b.appendTo(nil)}
		newBudget(3, 10, 100).decode(&d)
		require.False(t, d.bad, "what was written is refused")
	})
}
