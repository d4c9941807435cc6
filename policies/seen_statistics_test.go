//go:build !race

package policies

import (
	"fmt"
	"math"
	"testing"
)

// Of each kind as many traces pass as wanted, or all if there are not more, but for one case in a thousand; and in no case more than
// each partition may pass.
func TestEachKindIsSeen(t *testing.T) {
	t.Parallel()
	for _, wanted := range []int{1, 5, 20} {
		for _, partitions := range []int{1, 16, 64, 256} {
			text := policyList(fmt.Sprintf("diversity, diversity: {fingerprint: [http.route], traces: %d, period: 1h, max_fingerprints: 100000}", wanted))
			f := newFleet(t, text, Options{Partitions: partitions})
			c := newCrowd(f.plan, 1)
			most := leastFor(int64(wanted), partitions) * partitions
			for i, there := range []int{1, wanted, wanted + 1, 3 * wanted, 50 * wanted} {
				kinds := min(max(25_000/there, 20), 4000)
				kept := make([]int, kinds)
				var out []fate
				for tick := range there {
					list := make([]Trace, 0, kinds)
					for kind := range kinds {
						list = append(list, c.trace(visit{route: i*10_000 + kind, spans: 1, ms: 1}))
					}
					out = f.tick(3_600_000*1000+int64(tick)*1000, list, out)
					for kind, o := range out {
						if o.kept {
							kept[kind]++
						}
					}
				}
				short, largest := 0., 0
				for _, n := range kept {
					largest = max(largest, n)
					if n < min(there, wanted) {
						short++
					}
				}
				allowed := 0.001 * float64(kinds)
				t.Logf("%2d wanted, %3d partitions, %4d there: %g of %d kinds have less; at most %d", wanted, partitions, there, short, kinds, largest)
				if short > allowed+4*math.Sqrt(allowed) || largest > most || partitions == 1 && (short > 0 || largest > wanted) {
					t.Errorf("%d wanted, %d partitions, %d there: %g of %d kinds have less; at most %d, bound %d", wanted, partitions, there, short, kinds,
						largest, most)
				}
			}
		}
	}
}

// When every trace is of another kind, diversity closes: no more kinds pass in a period than max_fingerprints.
func TestKindsThatExplodeDoNotPass(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 16} {
		f := newFleet(t, policyList("diversity, diversity: {fingerprint: [http.route], traces: 2, period: 1m, max_fingerprints: 50}"),
			Options{Partitions: partitions})
		c := newCrowd(f.plan, 1)
		var out []fate
		kept := map[int]int{}
		for tick := range 180 {
			var list []Trace
			for i := range 100 {
				list = append(list, c.trace(visit{route: tick*100 + i, spans: 1, ms: 1}))
			}
			out = f.tick(60_000*100+int64(tick)*1000, list, out)
			for _, o := range out {
				if o.kept {
					kept[tick/60]++
				}
			}
		}
		for period, n := range kept {
			if n != 50*partitions {
				t.Errorf("%d partitions, period %d: %d kept", partitions, period, n)
			}
		}
	}
}

// Traces ten times slower than their like are found, and of ordinary ones about as many pass as the quantile says.
func TestSlowTracesAreFound(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 16, 256} {
		for _, quantile := range []float64{0.9, 0.99} {
			text := policyList(fmt.Sprintf("baseline_latency, baseline_latency: {keys: [http.route], quantile: %g, min_traces: 40, half_life: 5m}", quantile))
			f := newFleet(t, text, Options{Partitions: partitions})
			c := newCrowd(f.plan, 1)
			var out []fate
			var slow, found, like, passed float64
			for tick := range 500 {
				_, who := c.visits([]float64{60, 60}, 1)
				var list []Trace
				for i := range who {
					v := &who[i]
					v.ms = uint64(100 + 900*v.route) // its route's
					if v.failed = c.rnd.IntN(500) == 0; v.failed {
						v.ms *= 10
					} else {
						v.ms += uint64(c.rnd.ExpFloat64() * float64(v.ms) / 20)
					}
					list = append(list, c.trace(*v))
				}
				out = f.tick(statEpoch+int64(tick)*1000, list, out)
				for i, o := range out {
					switch {
					case tick < 300: // nothing passes until enough is known
					case who[i].failed:
						slow++
						if o.kept {
							found++
						}
					default:
						like++
						if o.kept {
							passed++
						}
					}
				}
			}
			t.Logf("%3d partitions, quantile %g: %.3f of the slow found, %.4f of others pass", partitions, quantile, found/slow, passed/like)
			expected := 1 - quantile
			most := 1.6 * expected
			if partitions == 256 {
				most = 3 * expected // 40 traces do not tell more of a quantile of 0.99
			}
			if found/slow < 0.98 || passed/like > most || passed/like < 0.6*expected {
				t.Errorf("%d partitions, quantile %g: %.3f of the slow found, %.4f of others pass", partitions, quantile, found/slow, passed/like)
			}
		}
	}
}

// Shares of a composite are held, in the order of policy_order, and so is the total. Offered are 44 spans a second of errors and 880 of
// all. A share is that of a second and is not saved up, so a part of it is not used, at most 20 % of all.
func TestCompositeSharesAreHeld(t *testing.T) {
	t.Parallel()
	byCase := map[string]float64{}
	for _, x := range []struct {
		name, order string
		total       int
		percent     [2]float64 // of the total, for errors and for all
		may         float64    // spans a second
		low         float64    // part of it
	}{
		{"errors first", "[errors, all]", 300, [2]float64{10, 50}, 180, 0.85},
		{"errors last", "[all, errors]", 300, [2]float64{10, 50}, 180, 0.85},
		{"room for all", "[errors, all]", 4000, [2]float64{0.75, 80}, 890, 0.92},
		{"no room beside", "[errors, all]", 300, [2]float64{90, 10}, 74, 0.8},
		{"equal shares", "[all, errors]", 300, [2]float64{}, 194, 0.85},
	} {
		for _, partitions := range []int{1, 16, 256} {
			total, errors := passComposite(t, x.order, x.total, x.percent, partitions)
			t.Logf("%-14s %3d partitions: %.1f spans/s pass, of errors %.1f", x.name, partitions, total, errors)
			if total < x.low*x.may || total > 1.03*x.may {
				t.Errorf("%s, %d partitions: %.1f spans/s pass of %g that may", x.name, partitions, total, x.may)
			}
			if partitions == 1 {
				byCase[x.name] = errors
			}
		}
	}
	// Of errors alone 24.4 would pass: those that their own share has no room for pass with all others, like these. Errors that have passed
	// with all others leave their own share to the rest of them.
	if first, last := byCase["errors first"], byCase["errors last"]; first < 26 || first+2 > last {
		t.Errorf("spans/s of errors: before all %.1f, after all %.1f", first, last)
	}
	if all := byCase["room for all"]; all < 43 {
		t.Errorf("%.1f spans/s of errors pass of 44, though all have room", all)
	}
}

// passComposite returns how many spans pass a second, and how many of traces with errors.
func passComposite(t *testing.T, order string, most int, percent [2]float64, partitions int) (total, errors float64) {
	t.Helper()
	const ticks = 300
	f := newFleet(t, fmt.Sprintf(`
- name: c
  type: composite
  composite:
    max_total_spans_per_second: %d
    policy_order: %s
    rate_allocation: [{policy: errors, percent: %g}, {policy: all, percent: %g}]
    composite_sub_policy:
    - {name: errors, type: %s}
    - {name: all, type: always_sample}`, most, order, percent[0], percent[1], statErrors), Options{Partitions: partitions})
	c := newCrowd(f.plan, 1)
	var out []fate
	for tick := range ticks {
		list, who := c.visits(zipf(30, 120), 1)
		out = f.tick(statEpoch+int64(tick)*1000, list, out)
		for i, o := range out {
			if o.kept {
				total += float64(list[i].Spans) / ticks
				if who[i].failed {
					errors += float64(list[i].Spans) / ticks
				}
			}
		}
	}
	return total, errors
}
