package policies

import "slices"

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
		b.answers[i], b.limits[i] = m.plan.valves[i%n].shut, Never
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
}

// stake tells what the answer of a valve would change for trace i. The trace is left loaded.
func (b *batch) stake(i, v int) stake {
	e, spec := b.load(i), &b.m.plan.valves[v]
	copy(e.answers[v:], spec.later[v:])
	if b.m.plan.strict {
		return stake{matters: e.reaches(v)}
	}
	last := len(b.m.plan.policies) - 1
	if b.m.plan.firstMatch && !b.m.plan.isDrop[spec.policy] {
		last = spec.policy
	}
	e.focus = v
	e.answers[v] = yes
	open := e.keeps(last)
	e.answers[v] = no
	closed := e.keeps(last)
	e.focus = -1
	return stake{open != closed, closed}
}

// reaches reports whether the Collector would ask the valve: it asks limiters that policies before it in the list or in the
// same and have not kept it from, whatever policies after them say.
func (e *evaluation) reaches(v int) bool {
	p := e.plan
	at := p.valves[v].policy
	e.answers[v] = yes
	e.asked, e.wasAsked = v, false
	if !p.isDrop[at] {
		for i := range p.policies {
			if p.isDrop[i] && p.policies[i].gate.open(e) == yes || p.firstMatch && i < at && p.policies[i].gate.open(e) == yes {
				e.asked = -1
				return false
			}
		}
	}
	p.policies[at].gate.open(e)
	e.asked = -1
	return e.wasAsked
}
