package policies

import (
	"cmp"
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

	// foreseen are the limits that valves after it look at. They are the same but for a valve whose limits hang on how random other
	// traces are: what these other traces get must not come back to a trace by another valve.
	foreseen []uint64

	stakes   []stake   // of each trace, in the valve that is settled
	segments []segment // room for limits
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
	b.foreseen = slices.Grow(b.foreseen[:0], n*len(traces))[:n*len(traces)]
	for i := range b.limits {
		b.answers[i], b.limits[i] = m.plan.valves[i%n].unasked()
		b.foreseen[i] = b.limits[i]
	}
	b.stakes = slices.Grow(b.stakes[:0], len(traces))[:len(traces)]
	for v := range m.plan.valves {
		if m.plan.valves[v].least {
			b.turn()
		}
		m.states[v].settle(b, v)
		if b.turned {
			b.turn()
		}
	}
	const usual = 16
	for i := range b.stakes {
		if s := &b.stakes[i]; cap(s.segments) > usual {
			s.segments = nil // traces with many hashes are not what all this memory is for
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

// sortByRandomness puts the most random of some traces first.
func (b *batch) sortByRandomness(traces []int) {
	slices.SortFunc(traces, func(x, y int) int {
		return cmp.Or(cmp.Compare(b.traces[y].Randomness, b.traces[x].Randomness), cmp.Compare(x, y))
	})
}

// set notes the answer of a valve for trace i, and the limit that it comes from.
func (b *batch) set(i, valve int, a answer, limit uint64) {
	at := i*len(b.m.plan.valves) + valve
	b.answers[at] = a
	b.pass(i, valve, limit)
}

// pass notes what a valve would take to answer yes to trace i, to which its answer does not matter.
func (b *batch) pass(i, valve int, limit uint64) {
	at := i*len(b.m.plan.valves) + valve
	b.limits[at], b.foreseen[at] = limit, limit
}

// moot notes what a valve would take if nothing else kept trace i, to which its answer does not matter. Other valves do not look at that.
func (b *batch) moot(i, valve int, limit uint64) { b.limits[i*len(b.m.plan.valves)+valve] = limit }

// foresee notes the limit that other valves take this one to have for trace i.
func (b *batch) foresee(i, valve int, limit uint64) { b.foreseen[i*len(b.m.plan.valves)+valve] = limit }

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
	exposure
	matters bool // it decides whether the trace is kept
	kept    bool // the trace is kept without it
	// moot is set if the valve never decides about the trace, but would if no other policy kept it.
	moot bool
}

// limitOf returns from which randomness on a trace passes if a share of what is at stake does.
func (b *batch) limitOf(s *stake, share float64) uint64 { return s.limit(share, 0, &b.segments) }

// stake tells what a valve means to trace i, which is left loaded. What it tells is good until the next valve is settled.
func (b *batch) stake(i, v int) *stake {
	p, s := b.m.plan, &b.stakes[i]
	e, spec := b.load(i), &p.valves[v]
	*s = stake{exposure: exposure{segments: s.segments[:0], head: e.trace.Head, top: Never}}
	copy(e.answers[v:], spec.later[v:])
	if p.strict { // no probability is told
		if s.matters = e.reaches(v); s.matters {
			s.share = certain
		}
		return s
	}
	last := len(p.policies) - 1
	if p.firstMatch && !p.isDrop[spec.policy] {
		last = spec.policy
	}
	copy(e.limits, b.foreseen[i*len(p.valves):])
	if spec.ranks {
		e.closeRanks(v)
	}
	e.focus = v
	if e.guarded(spec) || spec.alone && !e.movesOwn(v) {
		// It has no say, whatever the trace's randomness.
	} else if open, closed := e.without(v, last); open && closed && !p.dropsRandom && e.isSure(last) {
		s.kept, s.keptShare, s.moot = true, certain, e.movesOwn(v)
	} else {
		s.matters, s.kept = open != closed, closed
		var within *compositeGate
		if throttle, ok := spec.share.(*compositeValve); ok {
			within = throttle.gate
		}
		e.exposed(v, last, within, &s.exposure)
		s.moot = s.share == 0 && e.movesOwn(v)
	}
	e.focus, e.byLimits = -1, 0
	if b.turned {
		s.turn()
	}
	return s
}

// closeRanks makes the loaded trace one that is kept by its own randomness alone. What other valves that go by ranks have answered hangs
// on the randomness of others, so a valve that does itself takes them to answer what makes itself matter most.
func (e *evaluation) closeRanks(v int) {
	e.byLimits = v
	for j := range e.plan.valves {
		if w := &e.plan.valves[j]; w.ranks && j != v {
			e.answers[j] = e.plan.valves[v].later[j]
			e.limits[j] = Never
			if e.answers[j] == yes {
				e.limits[j] = 0
			}
		}
	}
}

// guarded reports whether a condition beside the valve is not met, so that it has no say. One that must know who is kept is asked all the same.
func (e *evaluation) guarded(v *valve) bool {
	if v.ranks {
		return false
	}
	for _, g := range v.guards {
		if g.open(e) != yes {
			return true
		}
	}
	return false
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

// isSure reports whether a policy without chance matches that would keep the trace.
func (e *evaluation) isSure(last int) bool {
	for i := range last + 1 {
		if !e.plan.isRandom[i] && !e.plan.isDrop[i] && e.plan.policies[i].gate.open(e) == yes {
			return true
		}
	}
	return false
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
