package policies

import (
	"fmt"
	"strconv"
	"strings"
)

// limiter passes traces up to a number of spans, or bytes, a second: rate_limiting and bytes_limiting. The traces of a tick
// compete by their randomness. Only those are charged that this policy keeps, and no other.
type limiter struct {
	unit       string  // spans or bytes
	rate       float64 // a second, of all partitions
	burst      float64
	partitions int
	strict     bool
	size       *traceSize // of bytes that the Collector would count; nil: those of the spans on the wire
}

func readRateLimiting(m *mapping) rule { return readLimiter(m, "spans", "1000") }

func readBytesLimiting(m *mapping) rule { return readLimiter(m, "bytes", "1000000") }

func readLimiter(m *mapping, unit, example string) rule {
	r := &limiter{unit: unit, partitions: max(m.p.options.Partitions, 1), strict: m.p.options.Strict}
	r.rate = m.rate(unit+"_per_second", example)
	r.burst = m.burst(2 * r.rate) // as the Collector
	return r
}

// leastRate is the least number a second that a limit may have: the share of one of many partitions is still a number.
const leastRate = 0.01

// rate returns a required field that holds a number a second. The Collector's are whole.
func (m *mapping) rate(key, example string) float64 {
	m.expected(key, example)
	if m.p.options.Strict {
		v, n := m.whole(key)
		if n != nil && v == 0 {
			m.slip(n, m.sub(key), "is 0; write at least 1")
		}
		return float64(max(v, 0)) // nothing passes then
	}
	v, n := m.number(key)
	if n == nil {
		return 1
	}
	if v < leastRate {
		m.p.errorf(n, m.sub(key), "is %s; write at least %g", n.Value, leastRate)
		return 1
	}
	return v
}

// burst returns what a limit saves up at most: the field burst_capacity, or a default if it is absent or 0.
func (m *mapping) burst(byDefault float64) float64 {
	const key = "burst_capacity"
	burst := 0.0
	if m.p.options.Strict {
		whole, _ := m.whole(key)
		burst = float64(whole)
	} else if v, n := m.number(key); n != nil {
		if burst = v; v < 0 {
			m.p.errorf(n, m.sub(key), "must not be negative, but is %s", n.Value)
		}
	}
	if burst <= 0 {
		return byDefault
	}
	return burst
}

func (r *limiter) text() string { return r.phrase(inPlural) }

func (r *limiter) phrase(number func(int64, string) string) string {
	return fmt.Sprintf("up to %s a second, %s at once%s", amount(r.rate, strings.TrimSuffix(r.unit, "s"), number), plainNumber(r.burst),
		together(r.partitions))
}

// amount writes a number of something that may have a fraction.
func amount(n float64, what string, number func(int64, string) string) string {
	if whole := int64(n); float64(whole) == n {
		return number(whole, what)
	}
	return plainNumber(n) + " " + what + "s"
}

func plainNumber(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// largest returns what the largest trace may cost that ever passes in a strict list.
func (r *limiter) largest() uint64 { return uint64(r.burst / float64(r.partitions)) }

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
	return c.valve(r, r.text()+limitState, 0)
}

// limitState tells the states of limits from those of an earlier program, which had no usual demand: these begin anew.
const limitState = " 2"

func (r *limiter) newState() valveState {
	p := float64(r.partitions)
	return &limiterState{limiter: r, account: newAccount(r.rate/p, r.burst/p)}
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
	account account
	owed    int64 // in the last tick, for people who ask
	order   []int // strict: of the traces that it matters to
}

func (s *limiterState) settle(b *batch, v int) {
	if s.strict {
		s.oneByOne(b, v)
		return
	}
	g := s.account.grant(b.now)
	s.owed = s.account.owed()
	for i := range b.traces {
		g.ask(s.cost(&b.traces[i]), b.stake(i, v).share)
	}
	all := g // as if what others keep had asked too
	for i := range b.traces {
		if b.stakes[i].moot {
			all.ask(s.cost(&b.traces[i]), certain)
		}
	}
	spent := int64(0)
	for i := range b.traces {
		t, k := &b.traces[i], &b.stakes[i]
		cost := s.cost(t)
		c := g.claim(cost, k.share)
		limit := b.limitOf(k, s.account.share(&c))
		if !k.matters {
			b.pass(i, v, limit)
			if k.moot {
				c = all.claim(cost, certain)
				b.moot(i, v, b.limitOf(k, s.account.share(&c)))
			}
			continue
		}
		passes := t.Randomness >= limit
		if passes {
			spent = charge(spent, cost)
		}
		b.set(i, v, isTrue(passes), limit)
	}
	s.account.settle(&g.asked, spent)
}

// charge adds a cost to what is spent, parts.
func charge(spent int64, cost uint64) int64 { return min(spent+int64(chargeable(cost))*unit, mostDebt) }

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
		if s.account.allows(s.cost(&b.traces[i]), b.now) {
			b.set(i, v, yes, 0)
		} else {
			b.set(i, v, no, Never)
		}
	}
}

func (s *limiterState) appendTo(b []byte) []byte { return s.account.appendTo(b) }

func (s *limiterState) decode(d *stateDecoder) { s.account.decode(d) }
