package policies

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireClose wants got within 1 % of want, or half a nanosecond.
func requireClose(t *testing.T, want, got uint64, what ...any) {
	t.Helper()
	require.InDelta(t, float64(want), float64(got), float64(want)*0.010001+0.5, what...)
}

func TestSketchBuckets(t *testing.T) {
	check := func(v uint64) {
		i := sketchIndex(v)
		require.Less(t, i, uint32(sketchIndexes))
		requireClose(t, v, sketchValue(i), v)
		require.LessOrEqual(t, sketchLower(i), v)
		if i+1 < sketchIndexes {
			require.Greater(t, sketchLower(i+1), v)
		}
		if v < math.MaxUint64 {
			next := sketchIndex(v + 1)
			require.True(t, next >= i, "the bucket of %d is %d, that of the next %d", v, i, next)
		}
	}
	for v := range uint64(5000) {
		check(v)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for octave := range 64 {
		for _, v := range []uint64{1 << octave, 1<<octave - 1, 1<<octave + 1} {
			check(v)
		}
		for range 100 {
			check(1<<octave | rnd.Uint64()>>(63-octave)>>1)
		}
	}
	for i := range uint32(sketchIndexes) {
		check(sketchLower(i))
	}
	check(math.MaxUint64)
}

// A million durations of each of these kinds.
func durations(rnd *rand.Rand, kind string, n int) []uint64 {
	list := make([]uint64, n)
	for i := range list {
		var ms float64
		switch kind {
		case "uniform":
			ms = 1000 * rnd.Float64()
		case "exponential":
			ms = 20 * rnd.ExpFloat64()
		case "narrow":
			ms = 35 * math.Exp(0.15*rnd.NormFloat64())
		case "typical":
			ms = 80 * math.Exp(0.5*rnd.NormFloat64())
		case "wide":
			ms = 80 * math.Exp(1.2*rnd.NormFloat64())
		case "pareto":
			ms = 2 / math.Pow(1-rnd.Float64(), 1/1.1)
		case "cache":
			ms = 0.4 * math.Exp(0.2*rnd.NormFloat64())
			if rnd.IntN(10) == 0 {
				ms = 250 * math.Exp(0.4*rnd.NormFloat64())
			}
		case "constant":
			ms = 60_000
		case "tiny":
			ms = float64(rnd.IntN(300)) / 1e6
		}
		list[i] = uint64(ms * 1e6)
	}
	return list
}

var durationKinds = []string{"uniform", "exponential", "narrow", "typical", "wide", "pareto", "cache", "constant", "tiny"}

func TestSketchQuantiles(t *testing.T) {
	for _, kind := range durationKinds {
		for _, n := range []int{1, 2, 10, 1000, 100_000} {
			list := durations(rand.New(rand.NewPCG(uint64(n), 6)), kind, n)
			var s sketch
			for _, v := range list {
				s.add(v)
			}
			require.EqualValues(t, n, s.count())
			require.LessOrEqual(t, len(s.bins), sketchBins)
			slices.Sort(list)
			kept := 0 // values below the buckets that had to be put together
			if len(s.bins) == sketchBins {
				kept, _ = slices.BinarySearch(list, sketchLower(s.bins[0].index+1))
				require.Less(t, kept, n/4, kind)
			}
			for _, q := range []float64{0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1} {
				if rank := int(q * float64(n-1)); rank >= kept {
					requireClose(t, list[rank], s.quantile(q), "%s, %d values, quantile %g", kind, n, q)
				}
			}
		}
	}
}

func TestSketchEmpty(t *testing.T) {
	var s sketch
	require.Zero(t, s.quantile(0.5))
	s.decay(1)
	s.merge(&sketch{})
	require.Zero(t, s.count())
	s.add(0)
	require.EqualValues(t, 1, s.count())
	require.Zero(t, s.quantile(1))
}

// Values over all magnitudes need more buckets than there may be. Large quantiles stay right.
func TestSketchBound(t *testing.T) {
	var s sketch
	var list []uint64
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 50_000 {
		v := uint64(math.Exp(math.Log(1e15) * rnd.Float64()))
		list = append(list, v)
		s.add(v)
	}
	slices.Sort(list)
	require.Len(t, s.bins, sketchBins)
	require.EqualValues(t, len(list), s.count())
	for _, q := range []float64{0.75, 0.9, 0.99, 1} {
		requireClose(t, list[int(q*float64(len(list)-1))], s.quantile(q), q)
	}
	require.Greater(t, s.quantile(0.01), list[len(list)/100], "small ones are too large")
}

func randomSketch(rnd *rand.Rand) *sketch {
	var s sketch
	kind, n := durationKinds[rnd.IntN(len(durationKinds))], rnd.IntN(2000)
	for _, v := range durations(rnd, kind, n) {
		s.add(v)
	}
	return &s
}

func copySketch(s *sketch) *sketch { return &sketch{slices.Clone(s.bins), s.total} }

func encodeSketch(s *sketch) string { return string(s.appendTo(nil)) }

func TestSketchMerge(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 50 {
		a, b := durations(rnd, "cache", rnd.IntN(500)), durations(rnd, "exponential", rnd.IntN(500))
		var both, one, other sketch
		for _, v := range a {
			both.add(v)
			one.add(v)
		}
		for _, v := range b {
			both.add(v)
			other.add(v)
		}
		turned := copySketch(&other)
		turned.merge(&one)
		one.merge(&other)
		require.Equal(t, encodeSketch(&both), encodeSketch(&one))
		require.Equal(t, encodeSketch(&both), encodeSketch(turned))
	}
}

func TestSketchDecay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	for range 100 {
		s := randomSketch(rnd)
		before := copySketch(s)
		twice := copySketch(s)
		n, m := rnd.Uint64N(6), rnd.Uint64N(6)
		twice.decay(n)
		twice.decay(m)
		s.decay(n + m)
		require.Equal(t, encodeSketch(twice), encodeSketch(s), "halving %d and %d times", n, m)
		require.Equal(t, before.total>>(n+m), s.total)
		// What is left up to each bucket is as much less, so that no quantile moves by more than one value.
		sum, left, i := uint64(0), uint64(0), 0
		for _, b := range before.bins {
			sum += uint64(b.count)
			for i < len(s.bins) && s.bins[i].index <= b.index {
				left += uint64(s.bins[i].count)
				i++
			}
			require.Equal(t, sum>>(n+m), left)
		}
		s.decay(64)
		require.Zero(t, s.total)
		require.Empty(t, s.bins)
	}
}

// Old values give way to new ones.
func TestSketchFollows(t *testing.T) {
	var s sketch
	rnd := rand.New(rand.NewPCG(13, 14))
	for _, v := range durations(rnd, "typical", 100_000) {
		s.add(v)
	}
	for range 5 {
		s.decay(1)
		for _, v := range durations(rnd, "typical", 50_000) {
			s.add(10 * v)
		}
	}
	// A 16th of 100000 old values are below all of the 96875 new ones or nearly: a part of 3 %.
	require.InEpsilon(t, 800e6, s.quantile(0.5), 0.05)
}

// A sketch that counts very many values counts the old ones less before its counters are full.
func TestSketchFull(t *testing.T) {
	var s sketch
	s.addBin(100, maxSketchTotal-2)
	s.addBin(200, 1)
	s.bound()
	require.EqualValues(t, maxSketchTotal-1, s.total)
	o := copySketch(&s)
	s.merge(o)
	require.EqualValues(t, maxSketchTotal-1, s.total)
	s.add(1)
	require.EqualValues(t, maxSketchTotal/2, s.total)
	require.Equal(t, sketchValue(100), s.quantile(0.9))
}

func TestSketchEncoding(t *testing.T) {
	rnd := rand.New(rand.NewPCG(15, 16))
	for range 200 {
		s := randomSketch(rnd)
		s.decay(rnd.Uint64N(4))
		b := s.appendTo(nil)
		d := stateDecoder{b: append(b, "rest"...)}
		var again sketch
		again.decode(&d)
		require.False(t, d.bad)
		require.Equal(t, "rest", string(d.b))
		require.Equal(t, string(b), encodeSketch(&again))
		require.Equal(t, s.total, again.total)
	}
	for _, kind := range durationKinds {
		for _, n := range []int{100, 1000, 10_000, 100_000} {
			var s sketch
			for _, v := range durations(rnd, kind, n) {
				s.add(v)
			}
			t.Logf("%s, %d values: %d buckets, %d bytes", kind, n, len(s.bins), len(s.appendTo(nil)))
			if n <= 10_000 && (kind == "typical" || kind == "narrow") {
				require.Less(t, len(s.appendTo(nil)), 300, kind)
			}
		}
	}
}

func FuzzSketchState(f *testing.F) {
	rnd := rand.New(rand.NewPCG(17, 18))
	for range 5 {
		b := randomSketch(rnd).appendTo(nil)
		f.Add(b, uint64(3))
		f.Add(b[:len(b)/2], uint64(70))
	}
	f.Add([]byte{1, 0, 0, 1}, uint64(0))
	f.Add([]byte{1, 0x80, 0}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, v uint64) {
		var s sketch
		d := stateDecoder{b: b}
		s.decode(&d)
		if d.bad {
			return
		}
		require.Equal(t, string(b[:len(b)-len(d.b)]), encodeSketch(&s), "two texts for one state")
		s.add(v)
		s.quantile(0.99)
		s.merge(copySketch(&s))
		s.decay(v % 70)
		require.Less(t, s.total, uint64(maxSketchTotal))
	})
}

func BenchmarkSketchAdd(b *testing.B) {
	var s sketch
	list := durations(rand.New(rand.NewPCG(19, 20)), "typical", 1<<16)
	for i := 0; b.Loop(); i++ {
		s.add(list[i&(1<<16-1)])
	}
}

func BenchmarkSketchQuantile(b *testing.B) {
	var s sketch
	for _, v := range durations(rand.New(rand.NewPCG(21, 22)), "typical", 1<<16) {
		s.add(v)
	}
	for b.Loop() {
		s.quantile(0.99)
	}
}
