package policies

import (
	"math"
	"math/bits"
	"slices"
)

// A batch is the traces of a tick while they are decided.
type batch struct {
	m       *Matcher
	traces  []Trace
	turned  bool
	now     int64    // when they are due, Unix milliseconds of partition time
	answers []answer // of each trace, by valve
	limits  []uint64 // of each trace, by valve: the randomness from which on it would answer yes, other things being equal
}

// Settle decides the valves for traces that are due at the same time, Trace.Due. DecideSettled then tells the verdicts. It
// moves the state that later decisions depend on, so the order of calls counts, and due times must not go back.
func (m *Matcher) Settle(traces []Trace) {
	b, n := &m.batch, len(m.plan.valves)
	b.m, b.traces = m, traces
	if n == 0 || len(traces) == 0 {
		return
	}
	b.now = traces[0].Due
	b.answers = slices.Grow(b.answers[:0], n*len(traces))[:n*len(traces)]
	b.limits = slices.Grow(b.limits[:0], n*len(traces))[:n*len(traces)]
	for i := range b.limits {
		b.answers[i], b.limits[i] = m.plan.valves[i%n].unasked()
	}
	for v := range m.plan.valves {
		if m.plan.valves[v].least {
			b.turn()
		}
		m.states[v].settle(b, v)
		if b.turned {
			b.turn()
		}
	}
}

// turn makes the least random traces the most random ones, or back, for valves to compete by.
func (b *batch) turn() {
	b.turned = !b.turned
	for i := range b.traces {
		b.traces[i].Randomness = Never - 1 - b.traces[i].Randomness
	}
}

// set notes the answer of a valve for trace i.
func (b *batch) set(i, valve int, a answer, limit uint64) {
	at := i*len(b.m.plan.valves) + valve
	b.answers[at], b.limits[at] = a, limit
}

// pass notes what a valve would take to answer yes to trace i, to which its answer does not matter.
func (b *batch) pass(i, valve int, limit uint64) {
	b.limits[i*len(b.m.plan.valves)+valve] = limit
}

// load makes trace i the one that gates look at, with the answers that the valves have given so far.
func (b *batch) load(i int) *evaluation {
	e, n := &b.m.e, len(b.m.plan.valves)
	e.look(&b.traces[i])
	if b.turned {
		e.randomness = Never - 1 - e.randomness
	}
	copy(e.answers, b.answers[i*n:])
	copy(e.limits, b.limits[i*n:])
	return e
}

// A stake says what a valve means to a trace.
type stake struct {
	matters bool // it decides whether the trace is kept
	kept    bool // the trace is kept without it
	// from and to are between which randomness it decides: less has not come this far, or cannot pass, and more is kept
	// without it.
	from, to uint64
}

// limit turns the randomness from which on a share of all passes into that from which on the same share of those passes that
// it decides about. Policies before it have kept the most random ones, and who sampled the trace before has dropped the least
// random ones; if that were not looked at, none or all of the others would pass.
func (s stake) limit(of uint64) uint64 {
	if of == 0 || of >= Never {
		return of
	}
	hi, lo := bits.Mul64(Never-of, s.to-s.from)
	return s.to - (hi<<8 | lo>>56)
}

// stake tells what the answer of a valve would change for trace i. The trace is left loaded.
func (b *batch) stake(i, v int) stake {
	p := b.m.plan
	e, spec := b.load(i), &p.valves[v]
	copy(e.answers[v:], spec.later[v:])
	if p.strict {
		return stake{matters: e.reaches(v), to: Never}
	}
	last := len(p.policies) - 1
	if p.firstMatch && !p.isDrop[spec.policy] {
		last = spec.policy
	}
	e.focus = v
	defer func() { e.focus = -1 }()
	if spec.alone && !e.movesOwn(v) {
		return stake{from: e.trace.Head, to: Never}
	}
	open, closed := e.without(v, last)
	s := stake{matters: open != closed, kept: closed, from: e.trace.Head, to: Never}
	if s.matters || !closed || !e.isSure(last) {
		e.atStake(v, last, &s)
	}
	if b.turned {
		s.from, s.to = Never-s.to, Never-s.from
	}
	return s
}

// movesOwn reports whether the answer of a valve changes that of its own policy.
func (e *evaluation) movesOwn(v int) bool {
	gate := e.plan.policies[e.plan.valves[v].policy].gate
	e.answers[v] = yes
	open := gate.open(e)
	e.answers[v] = no
	return open != gate.open(e)
}

// without reports whether the trace is kept with a valve open, and with it closed.
func (e *evaluation) without(v, last int) (open, closed bool) {
	e.answers[v] = yes
	open = e.keeps(last)
	e.answers[v] = no
	return open, e.keeps(last)
}

// isSure reports whether a policy without chance keeps the trace.
func (e *evaluation) isSure(last int) bool {
	for i := range last + 1 {
		if !e.plan.isRandom[i] && !e.plan.isDrop[i] && e.plan.policies[i].gate.open(e) == yes {
			return true
		}
	}
	return false
}

// atStake finds between which randomness a valve decides about the loaded trace, given the limits of those before it. If
// chance by hashes has kept the trace, it is asked for the hashes with which it would not have been.
func (e *evaluation) atStake(v, last int, s *stake) {
	steps := e.steps(v)
	if len(steps) == 1 && s.matters {
		return
	}
	own, limited := e.randomness, e.byLimits
	e.byLimits = v
	found := e.walk(steps, v, last, s)
	for _, hash := range []uint64{math.MaxUint64, 0} {
		if found || e.explicit || len(e.hashes) == 0 {
			break
		}
		for i := range e.hashes {
			e.hashes[i], e.hashed[i] = hash, true
		}
		found = e.walk(steps, v, last, s)
	}
	clear(e.hashed)
	e.randomness, e.byLimits = own, limited
}

// walk looks at one randomness between any two steps.
func (e *evaluation) walk(steps []uint64, v, last int, s *stake) (found bool) {
	for i, from := range steps {
		to := uint64(Never)
		if i+1 < len(steps) {
			to = steps[i+1]
		}
		e.randomness = from
		if open, closed := e.without(v, last); open != closed {
			if !found {
				s.from = from
			}
			s.to, found = to, true
		}
	}
	return found
}

// reaches reports whether the Collector would ask the valve: it asks limiters that policies before it in the list or in the
// same and have not kept it from, whatever policies after them say.
func (e *evaluation) reaches(v int) bool {
	p := e.plan
	at := p.valves[v].policy
	e.answers[v] = yes
	e.asked, e.wasAsked = v, false
	for i := range p.policies {
		before := i < at && (p.isDrop[i] == p.isDrop[at])
		if p.isDrop[i] && (before || !p.isDrop[at]) || p.firstMatch && before {
			if p.policies[i].gate.open(e) == yes {
				e.asked = -1
				return false
			}
		}
	}
	p.policies[at].gate.open(e)
	e.asked = -1
	return e.wasAsked
}
