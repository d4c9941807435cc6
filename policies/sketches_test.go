package policies

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

const testHalfLife = 60_000

func TestSketchTableFollowsEachKey(t *testing.T) {
	s := newSketchTable(testHalfLife, 10, 8)
	rnd := rand.New(rand.NewPCG(1, 2))
	s.roll(5)
	for key := range uint64(3) {
		for _, v := range durations(rnd, "typical", 1000) {
			s.add(key, v*(key+1))
		}
	}
	for key := range uint64(3) {
		v, count := s.quantile(key, 0.5)
		require.EqualValues(t, 1000, count)
		require.InEpsilon(t, 80e6*float64(key+1), v, 0.05)
	}
	v, count := s.quantile(3, 0.5)
	require.Zero(t, v)
	require.Zero(t, count)

	s.roll(testHalfLife - 1)
	_, count = s.quantile(1, 0.5)
	require.EqualValues(t, 1000, count, "no half-life is over")
	s.roll(testHalfLife)
	_, count = s.quantile(1, 0.5)
	require.EqualValues(t, 500, count)
	s.roll(4 * testHalfLife)
	_, count = s.quantile(1, 0.5)
	require.EqualValues(t, 62, count)
	s.roll(3 * testHalfLife)
	_, count = s.quantile(1, 0.5)
	require.EqualValues(t, 62, count, "time went back")
}

// Keys beyond the bound share a sketch, and those that have their own do not notice.
func TestSketchTableBound(t *testing.T) {
	s := newSketchTable(testHalfLife, 3, 2)
	s.roll(0)
	for key := range uint64(1000) {
		s.add(key, 1000*(1+key))
	}
	require.Len(t, s.keys, 3)
	v, count := s.quantile(2, 1)
	requireClose(t, 3000, v)
	require.EqualValues(t, 1, count)
	v, count = s.quantile(3, 1)
	requireClose(t, 1_000_000, v, "of all others")
	require.EqualValues(t, 997, count)
	_, other := s.quantile(1<<40, 1)
	require.Equal(t, count, other)
}

// A key without traffic gives way, also when all time passes at once.
func TestSketchTableForgets(t *testing.T) {
	for _, at := range [][]int64{{1, 2, 3}, {3}, {1 << 40}} {
		s := newSketchTable(testHalfLife, 2, 3)
		s.roll(0)
		for range 1000 {
			s.add(1, 5)
			s.add(2, 5)
		}
		for _, n := range at {
			if n < 3 {
				s.roll(n * testHalfLife)
				s.add(2, 5)
				require.Len(t, s.keys, 2)
			}
		}
		s.roll(at[len(at)-1] * testHalfLife)
		require.NotContains(t, s.keys, uint64(1))
		if len(at) > 1 {
			require.Contains(t, s.keys, uint64(2))
		}
		s.add(3, 7)
		_, count := s.quantile(3, 0.5)
		require.EqualValues(t, 1, count)
	}
}

func randomSketchTable(rnd *rand.Rand) *sketchTable {
	s := newSketchTable(testHalfLife, 8, 4)
	now := rnd.Int64N(1 << 40)
	for range rnd.IntN(300) {
		now += rnd.Int64N(testHalfLife / 8)
		s.roll(now)
		s.add(rnd.Uint64N(1+rnd.Uint64N(20)), rnd.Uint64()>>rnd.IntN(64))
	}
	return s
}

// A state goes on as what it was taken from.
func TestSketchTableState(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		s := randomSketchTable(rnd)
		b := s.appendTo([]byte("x"))[1:]
		again := newSketchTable(testHalfLife, 8, 4)
		again.keys[77] = &keySketch{} // to be forgotten
		d := stateDecoder{b: b}
		again.decode(&d)
		require.False(t, d.bad)
		require.Empty(t, d.b)
		require.Equal(t, string(b), string(again.appendTo(nil)))
		for i := range int64(6) {
			now := (s.at + i) * testHalfLife
			for _, x := range []*sketchTable{s, again} {
				x.roll(now)
				x.add(uint64(i), 12345)
			}
			require.Equal(t, string(s.appendTo(nil)), string(again.appendTo(nil)))
		}
	}
}

func FuzzSketchTableState(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 5 {
		b := randomSketchTable(rnd).appendTo(nil)
		f.Add(b, rnd.Int64(), uint64(1))
		f.Add(b[:len(b)/2], -rnd.Int64(), uint64(1<<40))
	}
	f.Add([]byte{0}, int64(5), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, now int64, key uint64) {
		s := newSketchTable(testHalfLife, 8, 4)
		d := stateDecoder{b: b}
		s.decode(&d)
		if d.bad {
			return
		}
		require.Equal(t, string(b[:len(b)-len(d.b)]), string(s.appendTo(nil)), "two texts for one state")
		s.roll(now)
		s.add(key, key)
		s.quantile(key, 0.5)
		s.roll(now + testHalfLife)
		require.LessOrEqual(t, len(s.keys), 8)
		d = stateDecoder{b: s.appendTo(nil)}
		newSketchTable(testHalfLife, 8, 4).decode(&d)
		require.False(t, d.bad)
	})
}
