//go:build !race

package policies

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// Each trace, if it can be kept at all, stands on average over the IDs that it could have had for one trace: itself. This asks about one
// trace in one tick, with all others as they are, what TestKeptTracesStandForAll asks about their sum.
func TestATraceStandsForItself(t *testing.T) {
	t.Parallel()
	for _, l := range statLists() {
		for _, partitions := range []int{1, 64} {
			var byID, explicit deviation
			f := newFleet(t, l.text, Options{Partitions: partitions})
			m, again := f.matchers[0], f.plan.NewMatcher()
			for seed := range uint64(8) {
				c := newCrowd(f.plan, seed)
				m.forget()
				for tick := range int64(36) {
					list, _ := c.visits(zipf(30, 40/float64(min(partitions, 16))), 1)
					for i := range list {
						list[i].Due = statEpoch + tick*1000
					}
					if tick%6 == 5 && len(list) > 0 {
						i := c.rnd.IntN(len(list))
						own := list[i]
						list[i].Explicit = c.rnd.IntN(3) == 0
						if stands, possible := standsFor(t, again, m.AppendState(nil), list, i, c.rnd); possible {
							if list[i].Explicit {
								explicit.add(stands - 1)
							} else {
								byID.add(stands - 1)
							}
						}
						list[i] = own
					}
					m.Settle(list)
				}
			}
			t.Logf("%-32s %2d partitions: by ID %v, explicit %v", l.name, partitions, &byID, &explicit)
			for _, d := range []*deviation{&byID, &explicit} {
				if math.Abs(d.mean()) > max(4*d.bar(), 0.03) {
					t.Errorf("%s, %d partitions: on average a trace stands for itself and %v more", l.name, partitions, d)
				}
			}
		}
	}
}

// standsFor returns for how many traces trace i stands on average over its IDs, and whether it can be kept. IDs of large randomness
// are tried more often, and count less: mostly these are kept.
func standsFor(t *testing.T, m *Matcher, state []byte, list []Trace, i int, rnd *rand.Rand) (stands float64, possible bool) {
	t.Helper()
	const n = 48
	var v Verdict
	for k := range n {
		u := (float64(k) + rnd.Float64()) / n
		r := uint64((1 - u*u) * (Never - 1))
		binary.BigEndian.PutUint64(list[i].ID[:], rnd.Uint64())
		binary.BigEndian.PutUint64(list[i].ID[8:], rnd.Uint64()<<56|r)
		list[i].Randomness = r
		if err := m.SetState(state); err != nil {
			t.Fatal(err)
		}
		m.Settle(list)
		m.DecideSettled(i, &v)
		if v.Keep {
			stands += 2 * u / v.Probability / n
		}
		if !possible {
			m.batch.load(i)
			possible = m.e.probability() > 0
		}
	}
	return stands, possible
}
