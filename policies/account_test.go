package policies

import (
	"bytes"
	"encoding/hex"
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

// spend decides the bids of a tick, and returns with which limits.
func (a *account) spend(bids []bid, now int64) (limits []uint64) {
	spent := int64(0)
	g := a.grant(now)
	for _, b := range bids {
		g.ask(b.cost, certain)
	}
	x := exposure{top: Never}
	for _, b := range bids {
		c := g.claim(b.cost, certain)
		limits = append(limits, x.limit(a.share(&c), 0, new([]segment)))
		if b.randomness >= limits[len(limits)-1] {
			spent = charge(spent, b.cost)
		}
	}
	a.settle(&g.asked, spent)
	return limits
}

// What passes stands for all that asked, and what is spent is what there was, whether traces are small beside the rate or large: also
// where a trace comes to more than the account gets in an hour.
func TestAccountIsSpentWithoutBias(t *testing.T) {
	for _, rate := range []float64{0.2, 1, 10, 100} {
		for _, load := range []float64{0.5, 1.5, 20} { // asked, over the rate
			for _, kind := range []string{"unit", "spans", "giant"} {
				mean := map[string]float64{"unit": 1, "spans": 21, "giant": 30}[kind]
				var off deviation
				var spent, asked, brought float64
				for seed := range uint64(12) {
					rnd := rand.New(rand.NewPCG(seed, 7))
					a := newAccount(rate, 2*rate)
					var stands, all float64
					for tick := range int64(400) {
						bids := drawBids(rnd, poisson(rnd, rate*load/mean), kind)
						limits := a.spend(bids, statEpoch+tick*1000)
						for i, b := range bids {
							if limits[i] == Never {
								t.Fatalf("rate %g, load %g, %s: no chance", rate, load, kind)
							}
							all++
							asked += float64(b.cost)
							if b.randomness >= limits[i] {
								stands += Never / float64(Never-limits[i])
								spent += float64(b.cost)
							}
						}
					}
					if all > 0 {
						off.add(stands/all - 1)
					}
					brought += rate * 400
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

// What a trace costs is nothing to its own probability once some are known, and something to that of others in its tick.
func TestAccountLooksAtTheCostOfOthers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	a := newAccount(2, 4)
	limits := func(costs ...uint64) []uint64 {
		b := a
		var bids []bid
		for _, c := range costs {
			bids = append(bids, bid{0, c})
		}
		limits := b.spend(bids, statEpoch+1_000_000)
		return limits
	}
	require.Greater(t, limits(1000)[0], limits(10)[0], "one by itself")
	for tick := range int64(100) {
		a.spend(drawBids(rnd, 1, "spans"), statEpoch+tick*1000)
	}
	require.Equal(t, limits(10), limits(100_000))
	small, large := limits(10, 10, 10), limits(10, 10, 100_000)
	require.Less(t, small[0], large[0])
	require.Equal(t, small[2], large[2])
}

// A new account has what its capacity is, as a bucket that is full; from a tick that asks for more all have the same chance.
func TestAccountBegins(t *testing.T) {
	a := newAccount(8, 16)
	limits := a.spend([]bid{{0, 8}, {0, 8}}, statEpoch)
	require.Equal(t, []uint64{0, 0}, limits)
	a = newAccount(8, 16)
	limits = a.spend([]bid{{0, 16}, {0, 16}}, statEpoch)
	require.InDelta(t, 0.5, float64(limits[0])/Never, 1e-9)
	require.Equal(t, limits[0], limits[1])
	a = newAccount(8, 16)
	limits = a.spend([]bid{{0, 1600}}, statEpoch)
	require.InDelta(t, 0.99, float64(limits[0])/Never, 1e-9)
}

// A trace larger than the capacity passes, and is paid off: meanwhile others have a smaller chance, but one, and in the end what was before.
func TestAccountPaysOff(t *testing.T) {
	a := newAccount(10, 20)
	now := int64(statEpoch)
	tick := func(r uint64, costs ...uint64) (probability float64) {
		now += 1000
		var bids []bid
		for _, c := range costs {
			bids = append(bids, bid{r, c})
		}
		limits := a.spend(bids, now)
		return float64(Never-limits[0]) / Never
	}
	for range 30 {
		tick(0, 10, 10)
	}
	require.Zero(t, a.owed())
	tick(Never-1, 1000)
	require.InDelta(t, 950, a.owed(), 50)
	in, owed := tick(0, 10, 10), a.owed()
	require.Positive(t, in)
	require.Less(t, in, 0.4)
	for range 50 {
		tick(0, 10, 10)
	}
	require.InDelta(t, owed-500, a.owed(), 20)
	for range 60 {
		tick(0, 10, 10)
	}
	require.Zero(t, a.owed())
	require.Greater(t, tick(0, 10, 10), in)
	for range 10 { // a debt has a bound, and no sum overflows
		tick(Never-1, math.MaxUint64, math.MaxUint64, math.MaxUint64)
	}
	require.Equal(t, int64(mostTokens), a.owed())
	require.Positive(t, tick(0, 10))
}

// Time in one step or in many brings the same, also with restarts between.
func TestAccountRefill(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		rate := math.Exp(12*rnd.Float64() - 5)
		one, many := newAccount(rate, 1e6), newAccount(rate, 1e6)
		one.refill(0)
		many.refill(0)
		one.tokens, many.tokens = -units(1e5), -units(1e5)
		now := int64(0)
		for range 100 {
			now += rnd.Int64N(3000)
			many.refill(now)
			restarted := newAccount(rate, 1e6)
			restarted.decode(&stateDecoder{b: many.appendTo(nil)})
			require.Equal(t, many, restarted)
		}
		one.refill(now)
		require.Equal(t, one, many)
		require.InDelta(t, min(1e6, -1e5+rate*float64(now)/1000), float64(one.tokens)/unit, 1+rate*1e-3)
		one.refill(now - 1)
		require.Equal(t, many.tokens, one.tokens, "time that goes back")
		one.refill(math.MaxInt64)
		require.Equal(t, one.capacity, one.tokens)
	}
}

// An account saves up for a few of the large traces that it has seen, also if its own share of the capacity is smaller, until many others
// have come.
func TestAccountSavesUp(t *testing.T) {
	a := newAccount(1, 2)
	a.spend([]bid{{0, 40}, {0, 40}}, 0)
	a.refill(1_000_000)
	require.InDelta(t, 3*40*unit, a.tokens, unit)
	a.refill(100 * demandPeriod)
	require.InDelta(t, 3*40*unit, a.tokens, unit)
	for range int64(20) {
		a.spend(drawBids(rand.New(rand.NewPCG(1, 1)), 300, "unit"), a.last+demandPeriod)
	}
	a.refill(a.last + demandPeriod)
	require.InDelta(t, 3*unit, a.tokens, unit/20, "forgotten")
}

// A pause says little about what is asked after it, but that traces are rare is known from them.
func TestAccountRemembersOverAPause(t *testing.T) {
	for _, every := range []int64{1, 3600} {
		a := newAccount(0.05, 0.1)
		now := int64(statEpoch)
		for range 300 {
			now += every * 1000
			a.spend([]bid{{0, 100}}, now)
		}
		usual := 100 / float64(every)
		aSecond := func(pause int64) float64 {
			b := a
			for at := now + every*1000; at < now+pause*1000; at += every * 1000 { // others come, and do not ask
				b.spend(nil, at)
			}
			g := b.grant(now + pause*1000)
			g.ask(100, certain)
			c := g.claim(100, certain)
			return c.aSecond
		}
		require.InEpsilon(t, usual, aSecond(every), 0.05, "every %d s", every)
		require.Greater(t, aSecond(36_000*every), usual/6, "every %d s", every)
	}
}

// A state that was written before limits had debts is taken over but for the limits, which begin anew.
func TestStatesOfEarlierLimits(t *testing.T) {
	earlier, err := hex.DecodeString("0496e78a806d333cf613ffffff1f001400841a8080802801a0c7d6b90718229af4c5c187d215aa040239e29b286532e91f0186c635aad2" +
		"63cf5b0136d87a99f162751c28ffffff1f000400841a8080801001a0c7d6b907ffffff1f000400841a8080801001a0c7d6b9070000f9dbf0fd3c4c4e0b00")
	require.NoError(t, err)
	plan, err := parseText(`
- {name: limit, type: rate_limiting, rate_limiting: {spans_per_second: 10}}
- {name: kinds, type: diversity, diversity: {fingerprint: [http.route], traces: 1, period: 1h}}
- {name: c, type: composite, composite: {max_total_spans_per_second: 4, composite_sub_policy: [{name: all, type: always_sample}]}}`)
	require.NoError(t, err)
	fresh, m := plan.NewMatcher(), plan.NewMatcher()
	require.NoError(t, m.SetState(earlier))
	for v := range plan.valves {
		same := bytes.Equal(fresh.states[v].appendTo(nil), m.states[v].appendTo(nil))
		require.Equal(t, !plan.valves[v].ranks, same, "valve %d", v)
	}
}

func FuzzAccountState(f *testing.F) {
	a := newAccount(3, 10)
	f.Add(a.appendTo(nil), int64(5))
	a.spend([]bid{{5, 50}}, 7)
	f.Add(a.appendTo(nil), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, text []byte, now int64) {
		a, again := newAccount(3, 10), newAccount(3, 10)
		d := stateDecoder{b: text}
		a.decode(&d)
		if d.bad {
			return
		}
		d = stateDecoder{b: a.appendTo(nil)}
		again.decode(&d)
		require.False(t, d.bad)
		require.Equal(t, a, again)
		limits := a.spend([]bid{{5, 50}, {6, 7}}, now)
		require.Less(t, max(limits[0], limits[1]), uint64(Never))
		require.LessOrEqual(t, a.tokens, a.room())
		b := newAccount(3, 10)
		d = stateDecoder{b: a.appendTo(nil)}
		b.decode(&d)
		require.False(t, d.bad, "what was written is refused")
	})
}
