package policies

import "fmt"

// baselineLatency passes traces that are slower than others with the same keys lately were.
type baselineLatency struct {
	keys     []string
	quantile float64
	least    int64 // traces that must be known of a kind before it passes any
	halfLife int64 // milliseconds
	maxKeys  int64

	by   keyed
	plan *Plan
}

func readBaselineLatency(m *mapping) rule {
	r := &baselineLatency{quantile: 0.99}
	const example = "[service.name, http.route]"
	m.required("keys", example)
	r.keys = readKeys(m, "keys", example)
	if q, n := m.number("quantile"); n != nil {
		if q <= 0 || q >= 1 {
			m.p.errorf(n, m.sub("quantile"), "must lie between 0 and 1, but is %s; write such as 0.99", n.Value)
		}
		r.quantile = q
	}
	r.least = m.positive("min_traces", 100)
	r.halfLife = m.period("half_life", 600_000)
	r.maxKeys = m.upTo("max_keys", 200, 2_000)
	return r
}

func (r *baselineLatency) text() string { return r.phrase(inPlural) }

func (r *baselineLatency) phrase(number func(int64, string) string) string {
	return fmt.Sprintf("slower than the %g quantile of its %s, by at least %s, half of the weight %s old, at most %s",
		r.quantile, joinedKeys(r.keys), number(r.least, "trace"), inWords(r.halfLife), number(r.maxKeys, "kind"))
}

func (r *baselineLatency) compile(c *compiler) gate {
	r.plan, r.by = c.plan, c.keyed(r.keys)
	random := c.random
	g := c.valve(r, r.text(), 0)
	c.random = random // it depends on other traces, and not on the trace ID
	return g
}

// idleHalfLives is how long a kind is remembered that does not occur any more.
const idleHalfLives = 8

func (r *baselineLatency) newState() valveState {
	return &baselineState{r, newSketchTable(r.halfLife, int(r.maxKeys), idleHalfLives), nil}
}

type baselineState struct {
	*baselineLatency
	table *sketchTable
	known map[uint64]uint64 // by kind: what is slow, in this tick
}

// settle measures all traces of the tick by those before, and then adds them, whatever becomes of them.
func (s *baselineState) settle(b *batch, v int) {
	s.table.roll(b.now)
	s.known = make(map[uint64]uint64)
	for i := range b.traces {
		t := &b.traces[i]
		kind := s.by.of(s.plan, t)
		slow, known := s.known[kind]
		if !known {
			slow = ^uint64(0)
			if q, count := s.table.quantile(kind, s.quantile); count >= uint64(s.least) {
				slow = q
			}
			s.known[kind] = slow
		}
		if t.duration() > slow {
			b.set(i, v, yes, 0)
		} else {
			b.set(i, v, no, Never)
		}
	}
	for i := range b.traces {
		if d := b.traces[i].duration(); d > 0 {
			s.table.add(s.by.of(s.plan, &b.traces[i]), d)
		}
	}
}

func (s *baselineState) appendTo(b []byte) []byte { return s.table.appendTo(b) }

func (s *baselineState) decode(d *stateDecoder) { s.table.decode(d) }
