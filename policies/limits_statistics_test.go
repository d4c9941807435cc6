//go:build !race

package policies

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// A load is traffic of about 120 traces a second, of 7.4 spans on average and 20 at most, without bursts.
type statLoad struct {
	name string
	at   func(tick int) (rates []float64, factor float64)
}

func statLoads() []statLoad {
	steady := zipf(30, 120)
	return []statLoad{
		{"steady", func(int) ([]float64, float64) { return steady, 1 }},
		{"one route", func(int) ([]float64, float64) { return []float64{120}, 1 }},
		{"bursts", func(tick int) ([]float64, float64) {
			if tick%60 >= 50 {
				return steady, 10
			}
			return steady, 1
		}},
		{"key explosion", func(tick int) ([]float64, float64) {
			if tick < 100 {
				return steady, 1
			}
			return slices.Repeat([]float64{120. / 4000}, 4000), 1
		}},
	}
}

const (
	statLargest = 20  // spans
	statLump    = 11  // spans of the trace in which a span is, on average
	statSize    = 500 // bytes a span
)

// Limits of spans and of bytes are held by all partitions together.
//
// In a minute no more than 5 % above what one bucket for all would pass, or 8 % if a partition's share is some traces a second, and 15 % if it is
// less than one in ten seconds; in no time more than the rate, the burst, four large traces for each partition, and chance. No less than
// 92 % of it, or 85 % if what is offered is about the limit and a partition has less than a trace a second: then its share is now too small,
// and now not used.
func TestLimitsAreHeld(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		text string
		size int // of a span
	}{{"rate_limiting, rate_limiting: {spans_per_second: %d}", 1}, {"bytes_limiting, bytes_limiting: {bytes_per_second: %d}", statSize}} {
		for _, partitions := range []int{1, 16, 256} {
			for _, rate := range []int{50, 1000, 4000} {
				for i, load := range statLoads() {
					if kind.size > 1 && i != 2 {
						continue // the same as for spans, but for the count
					}
					checkLimit(t, policyList(fmt.Sprintf(kind.text, rate*kind.size)), partitions, float64(rate), load)
				}
			}
		}
	}
}

func checkLimit(t *testing.T, text string, partitions int, rate float64, load statLoad) {
	t.Helper()
	f := newFleet(t, text, Options{Partitions: partitions})
	c := newCrowd(f.plan, uint64(rate))
	var out []fate
	level, most := 0.0, 0.0 // of a bucket that leaks at the rate, in which all that passes is put
	bucket := 2 * rate      // one for all
	var passed, ideal [5]float64
	for tick := range 240 {
		list, _ := c.visits(load.at(tick))
		out = f.tick(statEpoch+int64(tick)*1000, list, out)
		var offered, spent float64
		for i, o := range out {
			offered += float64(list[i].Spans)
			if o.kept {
				spent += float64(list[i].Spans)
			}
		}
		level = max(level+spent-rate, 0)
		most = max(most, level)
		passed[tick/60] += spent
		bucket = min(bucket+rate, 2*rate)
		ideal[tick/60] += min(bucket, offered)
		bucket -= min(bucket, offered)
	}
	high, low := 1.05, 0.92
	if partitions == 256 {
		high, low = 1.08, 0.85
	}
	if rate/float64(partitions) < 0.75 {
		high = 1.15
	}
	least, largest := math.Inf(1), 0.0
	for minute := 1; minute < 4; minute++ { // in the first, buckets are full
		share := passed[minute] / ideal[minute]
		least, largest = min(least, share), max(largest, share)
	}
	bound := 2*rate + float64(partitions)*4*statLump + 4*math.Sqrt(2*rate*statLargest)
	t.Logf("%3d partitions, %4g spans/s, %-13s: in a minute %.3f to %.3f of one bucket for all; %4.0f spans at once, bound %.0f", partitions, rate,
		load.name, least, largest, most, bound)
	if least < low || largest > high || most > bound {
		t.Errorf("%s%d partitions, %s: a minute has %.3f to %.3f, and %.0f spans (bound %.0f) come at once", text, partitions, load.name, least,
			largest, most, bound)
	}
}
