package policies

import (
	"fmt"
	"math"
	"strings"
)

// limiter passes traces up to a number of spans, or bytes, a second: rate_limiting and bytes_limiting. The traces of a tick
// compete by their randomness. Only those are charged that this policy keeps, and no other.
type limiter struct {
	unit       string // spans or bytes
	rate       int64  // a second, of all partitions
	burst      int64
	partitions int
	strict     bool
	size       *traceSize // of bytes that the Collector would count; nil: those of the spans on the wire
}

func readRateLimiting(m *mapping) rule { return readLimiter(m, "spans", "1000") }

func readBytesLimiting(m *mapping) rule { return readLimiter(m, "bytes", "1000000") }

func readLimiter(m *mapping, unit, example string) rule {
	r := &limiter{unit: unit, partitions: max(m.p.options.Partitions, 1), strict: m.p.options.Strict}
	m.required(unit+"_per_second", example)
	r.rate = m.positive(unit+"_per_second", 1)
	r.burst, _ = m.whole("burst_capacity")
	if r.burst == 0 {
		r.burst = 2 * min(r.rate, math.MaxInt64/2) // as the Collector
	}
	return r
}

func (r *limiter) text() string { return r.phrase(inPlural) }

func (r *limiter) phrase(number func(int64, string) string) string {
	return fmt.Sprintf("up to %s a second, %d at once%s", number(r.rate, strings.TrimSuffix(r.unit, "s")), r.burst, together(r.partitions))
}

// largest returns what the largest trace may cost that ever passes.
func (r *limiter) largest() uint64 {
	if r.strict {
		return uint64(r.burst / int64(r.partitions))
	}
	return min(uint64(r.burst), mostTokens)
}

// together says that a number is for all partitions.
func together(partitions int) string {
	if partitions == 1 {
		return ""
	}
	return fmt.Sprintf(" (%d partitions together)", partitions)
}

func (r *limiter) compile(c *compiler) gate {
	if r.strict && r.unit == "bytes" {
		r.size = c.traceSize()
	}
	return c.valve(r, r.text(), 0)
}

func (r *limiter) newState() valveState {
	p := float64(r.partitions)
	return &limiterState{limiter: r, budget: newBudget(float64(r.rate)/p, float64(r.burst)/p, uint64(r.burst))}
}

func (r *limiter) cost(t *Trace) uint64 {
	switch {
	case r.size != nil:
		return r.size.of(t.Matches)
	case r.unit == "bytes":
		return t.Bytes
	}
	return t.Spans
}

type limiterState struct {
	*limiter
	budget *budget
	order  []int // strict: of the traces that it matters to
}

func (s *limiterState) settle(b *batch, v int) {
	if s.strict {
		s.oneByOne(b, v)
		return
	}
	g := s.budget.grant(nil, b.now)
	for i := range b.traces {
		g.ask(s.cost(&b.traces[i]), b.stake(i, v).share)
	}
	all := g // as if what others keep had asked too
	for i := range b.traces {
		if b.stakes[i].moot {
			all.add(s.cost(&b.traces[i]), certain)
		}
	}
	share, mootShare, spent := g.share(), all.share(), int64(0)
	for i := range b.traces {
		t, k := &b.traces[i], &b.stakes[i]
		cost, limit := s.cost(t), uint64(Never)
		if g.fits(cost) {
			limit = b.limitOf(k, share)
		}
		if !k.matters {
			b.pass(i, v, limit)
			if k.moot && g.fits(cost) {
				b.moot(i, v, b.limitOf(k, mootShare))
			}
			continue
		}
		passes := t.Randomness >= limit
		if passes {
			spent += int64(cost) * unit
		}
		b.set(i, v, isTrue(passes), limit)
	}
	s.budget.charge(spent)
}

// oneByOne asks for each trace as the Collector does: one that does not fit does not keep a smaller one from passing.
func (s *limiterState) oneByOne(b *batch, v int) {
	s.order = s.order[:0]
	for i := range b.traces {
		if b.stake(i, v).matters {
			s.order = append(s.order, i)
		}
	}
	b.sortByRandomness(s.order)
	for _, i := range s.order {
		if s.budget.allows(s.cost(&b.traces[i]), b.now) {
			b.set(i, v, yes, 0)
		} else {
			b.set(i, v, no, Never)
		}
	}
}

func (s *limiterState) appendTo(b []byte) []byte { return s.budget.appendTo(b) }

func (s *limiterState) decode(d *stateDecoder) { s.budget.decode(d) }
