package policies

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const emaPeriod = 15_000

func emaTestSettings() emaSettings {
	return emaSettings{period: emaPeriod, tick: 1000, weight: 0.5, maxKeys: 500}
}

// A trafficMix gives the traces of ticks, with a Poisson number of each key.
type trafficMix struct {
	rnd   *rand.Rand
	rates []float64 // traces a second, by key
	heavy bool      // traces weigh 1 to some thousands
	fresh int       // keys that come once, a second
	next  uint64
}

func poisson(rnd *rand.Rand, mean float64) (n int) {
	if mean > 50 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*rnd.NormFloat64())))
	}
	for at := rnd.ExpFloat64(); at < mean; at += rnd.ExpFloat64() {
		n++
	}
	return n
}

func (m *trafficMix) tick(factor float64) (list []emaClaim) {
	add := func(key uint64) {
		c := emaClaim{key: key, weight: 1, part: certain, counts: true}
		if m.heavy {
			c.weight = 1 + uint64(10*math.Exp(1.2*m.rnd.NormFloat64()))
		}
		list = append(list, c)
	}
	for k, rate := range m.rates {
		for range poisson(m.rnd, rate*factor) {
			add(uint64(k))
		}
	}
	for range poisson(m.rnd, float64(m.fresh)) {
		m.next++
		add(1<<40 + m.next)
	}
	m.rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// zipf are the rates of n keys that add up to total.
func zipf(n int, total float64) (rates []float64) {
	sum := 0.0
	for i := range n {
		rates = append(rates, 1/float64(i+1))
		sum += rates[i]
	}
	for i := range rates {
		rates[i] *= total / sum
	}
	return rates
}

// An emaPeriodTotal is what a period had.
type emaPeriodTotal struct {
	all, expected, passed float64
	traces, estimate      float64            // number of traces, and for how many those that passed stand
	byKey                 map[uint64]float64 // that passed
}

// run feeds periods of traffic and draws for each trace.
func runEMA(e *emaRates, m *trafficMix, from, periods int, factor float64) (list []emaPeriodTotal) {
	for p := range periods {
		total := emaPeriodTotal{byKey: map[uint64]float64{}}
		for tick := range int64(emaPeriod / 1000) {
			claims := m.tick(factor)
			e.settle(claims, int64(from+p)*emaPeriod+tick*1000)
			for _, c := range claims {
				total.all += float64(c.weight)
				total.traces++
				total.expected += float64(c.weight) * c.keep
				if m.rnd.Float64() < c.keep {
					total.passed += float64(c.weight)
					total.byKey[c.key] += float64(c.weight)
					total.estimate += 1 / c.keep
				}
			}
		}
		list = append(list, total)
	}
	return list
}

// emaMean returns what there was in the mean of periods, and what passes of it on average over all randomness.
func emaMean(list []emaPeriodTotal) (all, expected float64) {
	for _, p := range list {
		all += p.all / float64(len(list))
		expected += p.expected / float64(len(list))
	}
	return all, expected
}

// emaGoals are settings for a part of traffic with this many traces a second, each with the given mean weight.
func emaGoals(part, rate, weight float64) map[string]emaSettings {
	relative, absolute := emaTestSettings(), emaTestSettings()
	relative.share = part
	absolute.amount, absolute.most = part*rate*weight*emaPeriod/1000, 2
	return map[string]emaSettings{"share": relative, "amount": absolute}
}

// Also of keys of which a trace comes now and then, and of traces that differ in weight by hundreds.
func TestEMAHoldsGoal(t *testing.T) {
	for _, keys := range []int{1, 5, 40, 300} {
		for _, rate := range []float64{4, 60, 400} {
			for _, part := range []float64{0.01, 0.1, 0.5} {
				for _, heavy := range []bool{false, true} {
					weight := 1.0
					if heavy {
						weight += 10*math.Exp(1.2*1.2/2) - 0.5 // rounded down
					}
					for goal, s := range emaGoals(part, rate, weight) {
						m := &trafficMix{rnd: rand.New(rand.NewPCG(uint64(keys), uint64(rate))), rates: zipf(keys, rate), heavy: heavy}
						e := newEMARates(s)
						runEMA(e, m, 0, 20, 1)
						all, passed := emaMean(runEMA(e, m, 20, max(40, int(1200/rate)), 1))
						want := s.amount
						if goal == "share" {
							want = part * all
						}
						require.InDelta(t, 1, passed/want, 0.08, "%d keys, %g traces/s, heavy %t, goal: %g as %s", keys, rate, heavy, part, goal)
					}
				}
			}
		}
	}
}

// When there is ten times as much, the first period has no more than the hard limit, and the second one the goal; when there
// is a tenth again, everything that may pass soon does.
func TestEMAStep(t *testing.T) {
	for goal, s := range emaGoals(0.05, 100, 1) {
		m := &trafficMix{rnd: rand.New(rand.NewPCG(1, 2)), rates: zipf(30, 100)}
		e := newEMARates(s)
		runEMA(e, m, 0, 10, 1)
		up, down := runEMA(e, m, 10, 20, 10), runEMA(e, m, 30, 20, 1)
		for i, p := range slices.Concat(up, down) {
			want := s.amount
			if goal == "share" {
				want = s.share * p.all
			}
			t.Logf("%s, period %d: %.0f traces, %.0f pass, %.2f of the goal", goal, i, p.all, p.expected, p.expected/want)
			switch {
			case goal == "amount" && i == 0:
				require.LessOrEqual(t, p.expected, 2.001*want)
			case i < len(up) && i > 0:
				require.InDelta(t, 1, p.expected/want, 0.1, "%s, period %d", goal, i)
			case i >= len(up)+6:
				require.InDelta(t, 1, p.expected/want, 0.2, "%s, period %d", goal, i)
			}
		}
	}
}

// Before anything is known, an amount is held without regard to keys, and a share is that of every trace.
func TestEMAColdStart(t *testing.T) {
	for goal, s := range emaGoals(0.05, 100, 1) {
		m := &trafficMix{rnd: rand.New(rand.NewPCG(3, 4)), rates: zipf(3000, 100)}
		e := newEMARates(s)
		var passed float64
		for tick := range int64(15) {
			claims := m.tick(10)
			e.settle(claims, tick*1000)
			for _, c := range claims {
				passed += c.keep
				require.Equal(t, claims[0].keep, c.keep)
				if goal == "share" {
					require.Equal(t, 0.05, c.keep)
				}
			}
		}
		if goal == "amount" {
			require.InEpsilon(t, s.amount, passed, 0.01)
		}
	}
}

// Every trace of rare keys passes, and the heavy ones are cut in proportion to their logarithms.
func TestEMARareKeys(t *testing.T) {
	for goal, s := range emaGoals(0.05, 221, 1) {
		m := &trafficMix{rnd: rand.New(rand.NewPCG(5, 6)), rates: []float64{200, 20, 1, 0.05}}
		e := newEMARates(s)
		runEMA(e, m, 0, 10, 1)
		var passed [4]float64
		for _, p := range runEMA(e, m, 10, 200, 1) {
			for k, n := range p.byKey {
				passed[k] += n / 200
			}
		}
		t.Logf("%s: of 3000, 300, 15, 0.75 a period pass %.4g", goal, passed)
		require.InDelta(t, 0.75, passed[3], 0.2)
		require.InEpsilon(t, 15, passed[2], 0.1)
		require.InEpsilon(t, math.Log2(3001)/math.Log2(301), passed[0]/passed[1], 0.1)
	}
}

// A key that is in no two traces is no way around the goal.
func TestEMAKeyExplosion(t *testing.T) {
	for goal, s := range emaGoals(0.05, 100, 1) {
		s.maxKeys = 100
		m := &trafficMix{rnd: rand.New(rand.NewPCG(7, 8)), rates: zipf(10, 100)}
		e := newEMARates(s)
		runEMA(e, m, 0, 10, 1)
		m.fresh = 2000
		for i, p := range runEMA(e, m, 10, 30, 1) {
			require.LessOrEqual(t, len(e.keys), s.maxKeys)
			want := s.amount
			if goal == "share" {
				want = s.share * p.all
			}
			t.Logf("%s, period %d: %.0f traces, %.0f pass, %.2f of the goal", goal, i, p.all, p.expected, p.expected/want)
			require.Less(t, p.expected, 1.2*want, "%s, period %d", goal, i)
			if i > 15 {
				require.Greater(t, p.expected, 0.5*want, "%s, period %d", goal, i)
			}
		}
	}
}

// New keys, as after a deployment that renames all, have what the old ones leave.
func TestEMANewKeys(t *testing.T) {
	for goal, s := range emaGoals(0.1, 100, 1) {
		m := &trafficMix{rnd: rand.New(rand.NewPCG(9, 10)), rates: zipf(20, 100)}
		e := newEMARates(s)
		runEMA(e, m, 0, 10, 1)
		m.rates = append(make([]float64, 20), m.rates...)
		for i, p := range runEMA(e, m, 10, 10, 1) {
			want := 0.1 * p.all
			t.Logf("%s, period %d: %.2f of the goal", goal, i, p.expected/want)
			require.InDelta(t, 1, p.expected/want, 0.35, "%s, period %d", goal, i)
			if i > 5 {
				require.InDelta(t, 1, p.expected/want, 0.15, "%s, period %d", goal, i)
			}
		}
	}
}

// Hours without traces take no time and change nothing.
func TestEMAIdle(t *testing.T) {
	for _, s := range emaGoals(0.05, 100, 1) {
		m := &trafficMix{rnd: rand.New(rand.NewPCG(11, 12)), rates: zipf(20, 100)}
		e := newEMARates(s)
		runEMA(e, m, 0, 10, 1)
		e.settle(nil, 10*emaPeriod)
		before := map[uint64]float64{}
		for key := range e.keys {
			_, before[key] = e.lookUp(key)
		}
		e.settle(nil, 1e15)
		for key, want := range before {
			_, keep := e.lookUp(key)
			require.Equal(t, want, keep)
		}
	}
}

// What passes stands for all, whatever happens: steps, new keys, many keys.
func TestEMAUnbiased(t *testing.T) {
	for goal, s := range emaGoals(0.05, 60, 10) {
		for name, change := range map[string]func(m *trafficMix){
			"steady": func(*trafficMix) {}, "fresh": func(m *trafficMix) { m.fresh = 20 },
			"renamed": func(m *trafficMix) { m.rates = append(make([]float64, 20), m.rates...) },
			"more":    func(m *trafficMix) { m.rates[3] *= 50 },
		} {
			const runs = 60
			var sum, squares float64
			for seed := range uint64(runs) {
				m := &trafficMix{rnd: rand.New(rand.NewPCG(seed, uint64(len(name)))), rates: zipf(20, 60), heavy: true}
				e := newEMARates(s)
				list := runEMA(e, m, 0, 4, 1)
				change(m)
				list = append(list, runEMA(e, m, 4, 4, 1)...)
				var all, estimate float64
				for _, p := range list {
					all, estimate = all+p.traces, estimate+p.estimate
				}
				sum += estimate/all - 1
				squares += (estimate/all - 1) * (estimate/all - 1)
			}
			z := sum / math.Sqrt(squares)
			t.Logf("%s, %s: off by %.2f %%, z %.2f", goal, name, 100*sum/runs, z)
			require.Less(t, math.Abs(z), 4.0, "%s, %s", goal, name)
			require.InDelta(t, 0, sum/runs, 0.05, "%s, %s", goal, name)
		}
	}
}

// The goal is spread as the rule says: there is one level, and the part of each key is that times its logarithm, or all of it.
func TestEMASpread(t *testing.T) {
	rnd := rand.New(rand.NewPCG(15, 16))
	for range 200 {
		s := emaTestSettings()
		e := newEMARates(s)
		total := 0.0
		for range 1 + rnd.IntN(50) {
			average := 1<<15 + rnd.Uint64N(1<<(16+rnd.IntN(24)))
			e.keys[rnd.Uint64()] = &emaKey{average: average}
			total += emaFloat(average)
		}
		e.amount = total * 1.2 * rnd.Float64()
		e.spread()
		at := func(level float64, average uint64) float64 {
			return min(emaFloat(average), level*math.Log2(1+emaFloat(average)))
		}
		low, high := 0.0, total
		for range 200 {
			sum := 0.0
			for _, k := range e.keys {
				sum += at((low+high)/2, k.average)
			}
			if sum < e.amount {
				low = (low + high) / 2
			} else {
				high = (low + high) / 2
			}
		}
		sum := 0.0
		for _, k := range e.keys {
			sum += k.keep * emaFloat(k.average)
			require.InEpsilon(t, at(low, k.average), k.keep*emaFloat(k.average), 1e-3)
		}
		require.InEpsilon(t, min(e.amount, total), sum, 1e-9)
	}
}

// A state goes on as what it was taken from would have, wherever it is taken.
func TestEMAState(t *testing.T) {
	for goal, s := range emaGoals(0.05, 60, 10) {
		s.maxKeys = 30
		m := &trafficMix{rnd: rand.New(rand.NewPCG(17, 18)), rates: zipf(40, 60), heavy: true, fresh: 1}
		e := newEMARates(s)
		for tick := range int64(100) {
			b := e.appendTo([]byte("x"))[1:]
			again := newEMARates(s)
			again.keys[1] = &emaKey{average: 5} // to be forgotten
			d := stateDecoder{b: b}
			again.decode(&d)
			require.False(t, d.bad)
			require.Empty(t, d.b)
			require.Equal(t, string(b), string(again.appendTo(nil)), goal)
			claims := m.tick(1)
			other := slices.Clone(claims)
			e.settle(claims, tick*1000)
			again.settle(other, tick*1000)
			require.Equal(t, claims, other, "%s, tick %d", goal, tick)
			require.Equal(t, string(e.appendTo(nil)), string(again.appendTo(nil)))
		}
	}
}

func FuzzEMAState(f *testing.F) {
	s := emaGoals(0.05, 60, 10)["amount"]
	s.maxKeys = 30
	m := &trafficMix{rnd: rand.New(rand.NewPCG(19, 20)), rates: zipf(10, 6), heavy: true}
	e := newEMARates(s)
	for tick := range int64(40) {
		e.settle(m.tick(1), tick*1000)
		if tick%10 == 0 {
			b := e.appendTo(nil)
			f.Add(b, tick*1000, uint64(tick), uint64(1))
			f.Add(b[:len(b)/2], tick, uint64(math.MaxUint64), uint64(math.MaxUint64))
		}
	}
	f.Add([]byte{0}, int64(math.MinInt64), uint64(1), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, now int64, key, weight uint64) {
		for _, s := range []emaSettings{s, {period: 1, weight: 1, share: 0.5, maxKeys: 30}} {
			e := newEMARates(s)
			d := stateDecoder{b: b}
			e.decode(&d)
			if d.bad {
				return
			}
			require.Equal(t, string(b[:len(b)-len(d.b)]), string(e.appendTo(nil)), "two texts for one state")
			for i := range int64(3) {
				claims := []emaClaim{{key: key, weight: weight, part: certain, counts: true}, {key: 1, weight: 1, part: certain / 3, counts: true}}
				e.settle(claims, now+i)
				for _, c := range claims {
					require.Positive(t, c.keep, "no chance")
					require.LessOrEqual(t, c.keep, 1.)
				}
				d := stateDecoder{b: e.appendTo(nil)}
				newEMARates(s).decode(&d)
				require.False(t, d.bad)
			}
		}
	})
}

func BenchmarkEMASettle(b *testing.B) {
	s := emaGoals(0.05, 1000, 1)["amount"]
	m := &trafficMix{rnd: rand.New(rand.NewPCG(21, 22)), rates: zipf(300, 1000)}
	e := newEMARates(s)
	var claims [30][]emaClaim
	for i := range claims {
		claims[i] = m.tick(1)
	}
	n := 0
	for i := int64(0); b.Loop(); i++ {
		e.settle(claims[i%30], i*1000)
		n += len(claims[i%30])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/trace")
}
