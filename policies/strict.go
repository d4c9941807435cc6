package policies

import (
	"math"

	"thresher/internal/wire"
)

// This file has what the Collector's processor (v0.161.0) answers where we would not, for `compat: strict`.

// strictAttributes ORs into matches what attributes set in the Collector: a key counts once, the first time, and a value of
// another type than asked for is read as "", 0 or false. Empty text is looked at on resources, not on spans.
func (m *Matcher) strictAttributes(attrs []wire.Attr, matches []uint64, resource bool) {
	columns := m.plan.scan.columns
next:
	for i := range attrs {
		a := &attrs[i]
		for j := range i {
			if attrs[j].Key == a.Key {
				continue next
			}
		}
		var text []byte
		var whole int64
		var truth uint64
		switch a.Value.Kind {
		case wire.ValueString:
			text = a.Value.Bytes
		case wire.ValueInt:
			whole = int64(a.Value.Num)
		case wire.ValueBool:
			truth = a.Value.Num & 1
		}
		for j := range columns[a.Key] {
			col := &columns[a.Key][j]
			if len(text) > 0 {
				matches[col.word] |= col.exactly(text) | m.like(col, text)
			} else if resource {
				matches[col.word] |= col.match(nil)
			}
			matches[col.word] |= col.whole(whole) | col.boolean[truth]
		}
	}
}

// strictLatency is met if the duration that a trace had at any time on the way, by the spans so far, is within the bounds. A
// start of 0 stands for 1970 until the next span comes.
type strictLatency struct {
	above, upTo int64
	bit         *spanBit
}

// durationWords is the number of words behind the slots that hold the smallest start and the largest end so far.
const durationWords = 2

func (c *compiler) strictLatency(r *latency) *spanBit {
	for _, l := range c.latencies {
		if l.above == r.above && l.upTo == r.upTo {
			return l.bit
		}
	}
	l := strictLatency{r.above, r.upTo, &spanBit{}}
	c.latencies = append(c.latencies, l)
	return l.bit
}

// lasts takes the times of a span into the duration of its trace.
func (p *Plan) lasts(s *wire.Span, duration, matches []uint64) {
	if duration[0] == 0 || s.Start < duration[0] {
		duration[0] = s.Start
	}
	duration[1] = max(duration[1], s.End)
	ms := saturatingSub(int64(duration[1]), int64(duration[0])) / 1_000_000
	for i := range p.latencies {
		if l := &p.latencies[i]; ms > l.above && (l.upTo == 0 || ms <= l.upTo) {
			matches[l.bit.word] |= l.bit.mask
		}
	}
}

func saturatingSub(a, b int64) int64 {
	d := a - b
	if (a < b) != (d < 0) {
		if a < b {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return d
}

// strictBounds are what the Collector makes of bounds: whole numbers, and 0 is none.
func strictBounds(b *bound) *bound {
	if b == nil {
		return nil
	}
	whole := b.whole
	if !b.isWhole {
		whole = int64(b.fraction)
	}
	if whole == 0 {
		return nil
	}
	return &bound{isWhole: true, whole: whole}
}
