//go:build !race

package policies

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// statDay is traffic with all that makes decisions hard: most of it steady, some bursts, many new keys for a while, and a gap.
func statDay(c *crowd, tick int) []Trace {
	rates, factor := zipf(30, 20), 1.0
	switch {
	case tick%40 > 35:
		factor = 10
	case tick > 100 && tick < 110:
		rates = append(rates, make([]float64, 20+20*tick)...)
		for i := range 20 {
			rates[len(rates)-1-i] = 2
		}
	case tick > 130 && tick < 140:
		return nil
	}
	list, _ := c.visits(rates, factor)
	return list
}

// A restart at any tick changes nothing: the state holds all that decisions to come depend on.
func TestRestartChangesNothing(t *testing.T) {
	t.Parallel()
	for _, l := range statLists() {
		for _, partitions := range []int{1, 16} {
			steady, restarted := newFleet(t, l.text, Options{Partitions: partitions}), newFleet(t, l.text, Options{Partitions: partitions})
			c, when := newCrowd(steady.plan, 5), rand.New(rand.NewPCG(6, 6))
			c.explicit = 0.2
			var want, got []fate
			for tick := range 150 {
				list := statDay(c, tick)
				now := int64(statEpoch + tick*1000)
				want = steady.tick(now, list, want)
				for p := range restarted.matchers {
					if when.IntN(5) > 0 {
						continue
					}
					state := restarted.matchers[p].AppendState(nil)
					m := restarted.plan.NewMatcher()
					if err := m.SetState(state); err != nil {
						t.Fatalf("%s: %v", l.name, err)
					}
					if !bytes.Equal(state, m.AppendState(nil)) {
						t.Fatalf("%s, tick %d: the state taken over is another", l.name, tick)
					}
					restarted.matchers[p] = m
				}
				got = restarted.tick(now, list, got)
				for i := range want {
					if want[i] != got[i] {
						t.Fatalf("%s, %d partitions, tick %d: %+v, after restarts %+v", l.name, partitions, tick, want[i], got[i])
					}
				}
			}
			for p := range steady.matchers {
				if !bytes.Equal(steady.matchers[p].AppendState(nil), restarted.matchers[p].AppendState(nil)) {
					t.Errorf("%s, %d partitions: the states differ in the end", l.name, partitions)
				}
			}
		}
	}
}

// Traces of a tick compete by what they are, not by who came first.
func TestOrderWithinATickIsNothing(t *testing.T) {
	t.Parallel()
	for _, l := range statLists() {
		sorted, shuffled := newFleet(t, l.text, Options{Partitions: 2}), newFleet(t, l.text, Options{Partitions: 2})
		c, order := newCrowd(sorted.plan, 7), rand.New(rand.NewPCG(8, 8))
		var want, got []fate
		for tick := range 150 {
			list := statDay(c, tick)
			now := int64(statEpoch + tick*1000)
			want = sorted.tick(now, list, want)
			at := order.Perm(len(list))
			other := make([]Trace, len(list))
			for i, j := range at {
				other[i] = list[j]
			}
			got = shuffled.tick(now, other, got)
			for i, j := range at {
				a, b := want[j], got[i]
				if math.Abs(a.p-b.p) <= 1e-9*a.p {
					a.p = b.p // sums of floating-point numbers depend on the order in the last bits
				}
				if a != b {
					t.Fatalf("%s, tick %d: %+v, in another order %+v", l.name, tick, want[j], got[i])
				}
			}
		}
	}
}
