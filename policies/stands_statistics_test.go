package policies

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func TestY(t *testing.T) {
	for name, text := range statLists() {
		for _, partitions := range []int{1, 64} {
			var d, e deviation
			f := newFleet(t, text, Options{Partitions: partitions})
			m, again := f.matchers[0], f.plan.NewMatcher()
			var v Verdict
			for seed := range uint64(12) {
				c := newCrowd(f.plan, seed)
				m.forget()
				for tick := range int64(36) {
					list, _ := c.visits(zipf(30, 40/float64(min(partitions, 16))), 1)
					for i := range list {
						list[i].Due = 1_000_000_000 + tick*1000
					}
					if tick%6 == 5 && len(list) > 0 {
						state := m.AppendState(nil)
						i := c.rnd.IntN(len(list))
						list[i].Explicit = c.rnd.IntN(3) == 0
						own := list[i]
						const n = 64
						sum, possible := 0.0, false
						for k := range n {
							u := (float64(k) + c.rnd.Float64()) / n
							binary.BigEndian.PutUint64(list[i].ID[:], c.rnd.Uint64())
							r := uint64((1 - u*u) * (Never - 1))
							binary.BigEndian.PutUint64(list[i].ID[8:], c.rnd.Uint64()<<56|r)
							list[i].Randomness = r
							if err := again.SetState(state); err != nil {
								t.Fatal(err)
							}
							again.Settle(list)
							again.DecideSettled(i, &v)
							if v.Keep {
								sum += 2 * u / v.Probability / n
							}
							if !possible {
								again.batch.load(i)
								possible = again.e.probability() > 0
							}
						}
						if possible && own.Explicit {
							e.add(sum - 1)
						} else if possible {
							d.add(sum - 1)
						}
						list[i] = own
					}
					m.Settle(list)
				}
			}
			fmt.Printf("%-34s P=%-3d (%3.0f) %v, explicit: (%2.0f) %v\n", name, partitions, d.n, &d, e.n, &e)
		}
	}
}
