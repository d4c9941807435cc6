//go:build !race

package policies

import (
	"fmt"
	"math"
	"testing"
)

// A sizeLoad is traffic whose traces differ in size, each size as likely as it says.
type sizeLoad struct {
	name   string
	traces float64 // a second
	sizes  []uint64
	shares []float64 // of the sizes
}

func sizeLoads() []sizeLoad {
	return []sizeLoad{
		{"usual", 0.75, []uint64{3, 10, 30, 100, 300}, []float64{0.2, 0.2, 0.2, 0.2, 0.2}}, // 66 spans/s
		{"giants", 12, []uint64{5, 50, 1000}, []float64{0.88, 0.1, 0.02}},                  // 353 spans/s
	}
}

// mean returns the spans of a trace, and those of the trace in which a span is.
func (l *sizeLoad) mean() (mean, lump float64) {
	squares := 0.0
	for i, s := range l.sizes {
		mean += l.shares[i] * float64(s)
		squares += l.shares[i] * float64(s*s)
	}
	return mean, squares / mean
}

func (l *sizeLoad) draw(c *crowd) visit {
	u := c.rnd.Float64()
	i := 0
	for u -= l.shares[0]; u > 0 && i+1 < len(l.sizes); u -= l.shares[i] {
		i++
	}
	return visit{route: i, spans: l.sizes[i], ms: 1}
}

// Traces far larger than the rate pass like others, and the rate holds.
//
//   - All sizes have the same probability, but for 5 %.
//   - As many of each pass as it says, and sums of 1/probability are right for each size.
//   - What passes is the rate, but for 4 % and what partitions can have saved up, or owe, at the two ends.
//
// Not looked at is the beginning, in which partitions have not seen the eight traces from which on they know what one costs.
func TestLimitsAreNoChoiceBySize(t *testing.T) {
	t.Parallel()
	for _, load := range sizeLoads() {
		mean, _ := load.mean()
		offered := load.traces * mean
		for _, partitions := range []int{1, 16, 256} {
			for _, of := range []float64{0.045, 0.4} { // what is offered
				rate := math.Round(of*offered*10) / 10
				for _, text := range []string{
					fmt.Sprintf("rate_limiting, rate_limiting: {spans_per_second: %g}", rate),
					fmt.Sprintf("bytes_limiting, bytes_limiting: {bytes_per_second: %g}", rate*statSize),
					fmt.Sprintf("composite, composite: {max_total_spans_per_second: %g, composite_sub_policy: [{name: all, type: always_sample}]}", rate),
				} {
					if partitions > 1 && of > 0.1 && text[0] != 'r' {
						continue // the same as of spans
					}
					checkSizes(t, policyList(text), partitions, rate, load)
				}
			}
		}
	}
}

func checkSizes(t *testing.T, text string, partitions int, rate float64, load sizeLoad) {
	t.Helper()
	const begin, ticks = 4000, 20_000
	f := newFleet(t, text, Options{Partitions: partitions})
	f.chances = true
	c := newCrowd(f.plan, uint64(partitions))
	n := len(load.sizes)
	there, passed, chance, stands, spread := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	var list []Trace
	var out []fate
	spent, all, sum := 0.0, 0.0, 0.0
	for tick := range ticks {
		list = list[:0]
		c.who = c.who[:0]
		for range poisson(c.rnd, load.traces) {
			v := load.draw(c)
			list, c.who = append(list, c.trace(v)), append(c.who, v)
		}
		out = f.tick(statEpoch+int64(tick)*1000, list, out)
		if tick < begin {
			continue
		}
		for i, o := range out {
			k := c.who[i].route
			there[k]++
			chance[k] += o.p
			spread[k] += 1/o.p - 1
			all++
			sum += o.p
			if o.kept {
				passed[k]++
				stands[k] += 1 / o.p
				spent += float64(list[i].Spans)
			}
		}
	}
	_, lump := load.mean()
	held := spent / (rate * (ticks - begin))
	noise := math.Sqrt(2*float64(partitions)) * lump / (rate * (ticks - begin))
	const bias = 0.05
	t.Logf("%-6s %3d partitions, %s: %.3f of the rate +- %.3f", load.name, partitions, text[13:45], held, noise)
	if math.Abs(held-1) > 0.04+3*noise {
		t.Errorf("%s%s, %d partitions: %.3f of the rate passes, the noise is %.3f", text, load.name, partitions, held, noise)
	}
	for k, size := range load.sizes {
		p := chance[k] / there[k]
		off := (passed[k] - chance[k]) / math.Sqrt(chance[k])
		estimate := (stands[k] - there[k]) / math.Sqrt(spread[k]+1)
		t.Logf("    %4d spans: %6.0f traces, probability %.3f of that of all; passed %+.1f sigma, estimate %+.1f sigma", size, there[k], p/(sum/all), off,
			estimate)
		if math.Abs(p/(sum/all)-1) > bias || math.Abs(off) > 4.5 || math.Abs(estimate) > 4.5 {
			t.Errorf("%s%s, %d partitions, %d spans: probability %.3f of that of all; passed %+.1f sigma, estimate %+.1f sigma", text, load.name,
				partitions, size, p/(sum/all), off, estimate)
		}
	}
}
