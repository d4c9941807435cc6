package policies

import "thresher/internal/wire"

// An evaluation is what gates see of a trace.
type evaluation struct {
	plan   *Plan
	trace  *Trace
	hashes []uint64 // of the trace ID, by salt
	hashed []bool   // whether the hash is known
	until  []uint64 // by salt: the largest hash that gates have not told apart from it

	randomness uint64   // of the trace, or of another that is like it in everything else
	explicit   bool     // percentages go by the randomness, as whoever sampled the trace before did
	answers    []answer // by valve
	limits     []uint64 // by valve: the randomness from which on it answers yes
	byLimits   int      // valves before this one go by their limits, not by their answers

	room     []uint64  // for steps
	segments []segment // for exposures

	focus    int // the valve that is settled, -1: none
	asked    int // the valve of which to note that it was asked, -1: none
	wasAsked bool
}

// look makes t the trace that gates look at.
func (e *evaluation) look(t *Trace) {
	e.trace, e.randomness, e.explicit = t, t.Randomness, t.Explicit && !e.plan.strict
	clear(e.hashed)
}

// random returns how random the trace is; least: how little.
func (e *evaluation) random(least bool) uint64 {
	if least {
		return Never - 1 - e.randomness
	}
	return e.randomness
}

// hash returns the hash of the trace ID with a salt.
func (e *evaluation) hash(salt int) uint64 {
	if !e.hashed[salt] {
		e.hashes[salt], e.hashed[salt] = e.plan.salts[salt].hash(e.trace.ID), true
	}
	return e.hashes[salt]
}

// keeps reports whether the policies up to the one with index last keep the trace. Force policies and drop policies count
// wherever they stand.
func (e *evaluation) keeps(last int) bool {
	p, keep := e.plan, false
	for _, i := range p.forces {
		if p.policies[i].gate.open(e) == yes {
			return true
		}
	}
	for i := range p.policies {
		if isDrop := p.isDrop[i]; (isDrop || !keep && i <= last) && p.policies[i].gate.open(e) == yes {
			if isDrop {
				return false
			}
			keep = true
		}
	}
	return keep
}

// Decide fills v with the verdict on t by itself: policies that depend on other traces match nothing.
func (m *Matcher) Decide(t *Trace, v *Verdict) {
	m.alone(t)
	m.decide(v)
}

// alone makes t the trace that gates look at, without others.
func (m *Matcher) alone(t *Trace) {
	m.e.look(t)
	for i := range m.e.limits {
		m.e.answers[i], m.e.limits[i] = m.plan.valves[i].unasked()
	}
}

// DecideSettled fills v with the verdict on trace i of the last Settle.
func (m *Matcher) DecideSettled(i int, v *Verdict) {
	m.batch.load(i)
	m.decide(v)
}

func (m *Matcher) decide(v *Verdict) {
	p, e := m.plan, &m.e
	v.reset(p)
	v.findErrors(p, e.trace.Matches)

	kept, dropped, forced := -1, -1, -1
	sure := false // a policy without chance would keep it
	keepers, forcers := 0, 0
	for i := range p.policies {
		if kept >= 0 && p.firstMatch && !p.isDrop[i] && !p.isForce[i] {
			continue
		}
		if a := p.policies[i].gate.open(e); a != yes {
			if a == failed {
				v.Failed[i/64] |= 1 << (i % 64)
			}
			continue
		}
		v.Matched[i/64] |= 1 << (i % 64)
		switch {
		case p.isDrop[i]:
			if dropped < 0 {
				dropped = i
			}
			continue
		case p.isForce[i]:
			if forcers++; forced < 0 {
				forced = i
			}
		}
		if kept < 0 {
			kept = i
		}
		keepers++
		sure = sure || !p.isRandom[i]
	}
	v.Dropped = dropped >= 0 && forced < 0
	v.Keep = !v.Dropped && kept >= 0
	v.Policy = kept
	switch {
	case v.Dropped:
		v.Policy = dropped
	case dropped >= 0:
		v.Policy = forced // no other policy would have kept it
	}
	v.Probability = 1
	if v.Keep && !p.uncounted && (p.dropsRandom || dropped >= 0 || !sure) {
		v.Probability = e.probability()
	}
	v.Complete = e.trace.HasRoot
	if dropped >= 0 {
		keepers = forcers
	}
	v.Sole = v.Keep && !p.firstMatch && keepers == 1 && !e.another(v.Policy, dropped >= 0)
	e.trace = nil
}

// another reports whether another policy, a force policy if it must be one, would keep the trace: limits are not asked for what is kept anyway, but they know what they
// would have answered.
func (e *evaluation) another(than int, force bool) bool {
	p := e.plan
	if len(p.valves) == 0 || p.strict { // in strict lists all are asked
		return false
	}
	e.byLimits = len(p.valves)
	defer func() { e.byLimits = 0 }()
	for i := range p.policies {
		if i != than && !p.isDrop[i] && (p.isForce[i] || !force) && p.isRandom[i] && p.policies[i].gate.open(e) == yes {
			return true
		}
	}
	return false
}

// Randomness returns the number that a trace has by its ID, if its tracestate gives no other: the low 56 bits (W3C Trace
// Context level 2, OTEP 235).
func Randomness(id wire.TraceID) uint64 {
	var r uint64
	for _, b := range id[9:] {
		r = r<<8 | uint64(b)
	}
	return r
}
