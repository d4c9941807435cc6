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

// A bid is a trace that asks for tokens.
type bid struct{ randomness, cost uint64 }

// drawBids makes the bids of a tick.
func drawBids(rnd *rand.Rand, n int, kind string) (bids []bid) {
	for range n {
		bids = append(bids, bid{rnd.Uint64N(Never), budgetCost(rnd, kind)})
	}
	return bids
}

// spend decides the bids of a tick, and returns what passes, with which limit.
func (b *budget) spend(outer *budget, bids []bid, now int64) (g grant, limit uint64, spent int64) {
	g = b.grant(outer, now)
	for _, c := range bids {
		g.ask(c.cost, certain)
	}
	x := exposure{top: Never}
	limit = x.limit(g.share(), 0, new([]segment))
	for _, c := range bids {
		if c.randomness >= limit && g.fits(c.cost) {
			spent += int64(c.cost) * unit
		}
	}
	b.charge(spent)
	return g, limit, spent
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
						_, limit, _ := b.spend(nil, bids, statEpoch+tick*1000)
						for _, c := range bids {
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

// A trace that cannot ever fit asks for nothing, one that comes here with a third of its randomness for a third of its cost.
func TestBudgetAsked(t *testing.T) {
	b := newBudget(8, 8, 100)
	g := b.grant(nil, 0)
	g.ask(101, certain)
	require.Equal(t, 1., g.share())
	require.Zero(t, g.expected())
	g.ask(100, certain/4)
	require.Equal(t, 8./25, g.share())
	require.Equal(t, int64(8*unit), g.expected())
	for range 10 {
		g.ask(100, certain)
	}
	require.Equal(t, 8./1025, g.share())
	b = newBudget(8, 8, mostTokens)
	g = b.grant(nil, 0)
	for range 100 {
		g.ask(mostTokens, certain)
	}
	require.Positive(t, g.share(), "the sum overflows")
}

// Of two shares of one total neither is charged for the other's traces, and both together do not exceed it.
func TestBudgetsWithinOne(t *testing.T) {
	outer := newBudget(10, 10, 10)
	a, b := newBudget(8, 8, 8), newBudget(8, 8, 8)
	outer.refill(1000)
	g, limit, spent := a.spend(outer, []bid{{Never - 1, 8}}, 1000)
	require.Zero(t, limit)
	require.Equal(t, g.expected(), spent)
	outer.charge(spent)
	_, limit, _ = b.spend(outer, []bid{{Never - 1, 8}}, 1000)
	require.Equal(t, int64(8*unit), b.capacity)
	require.InDelta(t, 1-2.5/8, float64(limit)/Never, 1e-9, "2 are left of the total, but 2.5 are promised")

	rnd := rand.New(rand.NewPCG(3, 4))
	outer = newBudget(10, 10, 1000)
	shares := []*budget{newBudget(8, 8, 1000), newBudget(8, 8, 1000)}
	var spent2 [2]float64
	for tick := range int64(2000) {
		now := statEpoch + tick*1000
		outer.refill(now)
		for k, share := range shares {
			_, _, spent := share.spend(outer, drawBids(rnd, poisson(rnd, 5), "unit"), now)
			outer.charge(spent)
			spent2[k] += float64(spent) / unit / 2000
		}
	}
	require.InDelta(t, 5, spent2[0], 0.3)
	require.InDelta(t, 9, spent2[0]+spent2[1], 0.6, "of 10, which are not saved up")
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
	b.spend(nil, []bid{{0, 40}, {0, 60}}, 0)
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
	b.spend(nil, []bid{{5, 50}}, 7)
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
		b.spend(nil, []bid{{5, 50}, {6, 7}}, now)
		require.LessOrEqual(t, b.tokens, b.room())
		d = stateDecoder{b: b.appendTo(nil)}
		newBudget(3, 10, 100).decode(&d)
		require.False(t, d.bad, "what was written is refused")
	})
}
