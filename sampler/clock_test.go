package sampler

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

const noon = 1_800_000_000_000

// tell gives a clock stamps in seconds after noon, and returns partition time after each, in the same way.
func tell(c *clock, stamps ...float64) (times []float64) {
	for _, s := range stamps {
		c.advance(noon + int64(s*1000))
		times = append(times, float64(c.now-noon)/1000)
	}
	return times
}

func TestClock(t *testing.T) {
	const hour = 3600
	for _, x := range []struct {
		name          string
		stamps, times []float64
	}{
		{"right", []float64{0, 1, 2.5, 9}, []float64{0, 1, 2.5, 9}},
		{"disorder of less than a step is absorbed", []float64{0, 8, 3, 7, 9}, []float64{0, 8, 8, 8, 9}},
		{"an hour ahead, then mended", []float64{0, 1, hour + 2, hour + 3, 4, 5, 6}, []float64{0, 1, 11, 12, 12, 12, 12}},
		{"an hour ahead for long, then mended", []float64{0, hour, hour + 5, hour + 14, 20, 21}, []float64{0, 10, 15, 24, 24, 25}},
		{"an hour behind, then mended", []float64{0, -hour, 1 - hour, 2 - hour, 14, 15}, []float64{0, 0, 1, 2, 12, 13}},
		{"two clocks take turns", []float64{0, -hour, 1, 1 - hour, 2, 2 - hour, 3}, []float64{0, 0, 1, 1, 2, 2, 3}},
		{"one in the year 56,000", []float64{0, 1, noon, 2, 3}, []float64{0, 1, 11, 11, 11}},
		{"one at the beginning of time", []float64{0, 1, -noon / 1000, 2, 3}, []float64{0, 1, 1, 2, 3}},
		{"an hour without a record", []float64{0, hour, hour + 1}, []float64{0, 10, 11}},
		{"a record now and then", []float64{0, 20, 40, 60}, []float64{0, 10, 20, 30}},
		{"drifts apart slowly", []float64{0, 9, 1, 18, 2, 27, 3}, []float64{0, 9, 9, 18, 18, 27, 27}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var c clock
			require.Equal(t, x.times, tell(&c, x.stamps...))
		})
	}
}

// TestClockGoesOn: whatever the stamps were, from a mended clock on time passes as it should, and has never gone back, nor moved by
// more than a step at a record.
func TestClockGoesOn(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 21))
		var c clock
		at := int64(noon)
		was := int64(0)
		put := func(stamp int64) {
			first := !c.set
			c.advance(stamp)
			if !first {
				require.GreaterOrEqual(t, c.now, was, "seed %d", seed)
				require.LessOrEqual(t, c.now, was+maxStep, "seed %d", seed)
			}
			was = c.now
			again := c
			require.Equal(t, steady, again.advance(stamp), "seed %d", seed)
			require.Equal(t, c, again, "seed %d: told the same stamp twice", seed)
		}
		for range rnd.IntN(100) {
			at += rnd.Int64N(2000)
			switch rnd.IntN(6) {
			case 0:
				put(rnd.Int64() - rnd.Int64())
			case 1:
				put(at + rnd.Int64N(100)*3_600_000 - 50*3_600_000)
			default:
				put(at)
			}
		}
		put(at)
		mended := c.now
		for range 60 {
			at += 1000
			put(at)
		}
		// It may have been ahead of the mended clock by a step, which is disorder.
		require.GreaterOrEqual(t, c.now, mended+60_000-maxStep, "seed %d", seed)
		require.LessOrEqual(t, c.now, mended+60_000+maxStep, "seed %d", seed)
	}
}
