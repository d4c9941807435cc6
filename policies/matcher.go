package policies

import "thresher/internal/wire"

// A Matcher evaluates a Plan. It owns scratch space and bounded caches, so each goroutine needs its own; what it
// answers depends on its arguments alone.
type Matcher struct {
	plan   *Plan
	caches []patternCache
	e      evaluation
}

// An evaluation is what gates see of a trace.
type evaluation struct {
	trace  *Trace
	salts  []salt
	hashes []uint64 // of the trace ID, by salt
	hashed []bool   // whether the hash is known
}

// hash returns the hash of the trace ID with a salt.
func (e *evaluation) hash(salt int) uint64 {
	if !e.hashed[salt] {
		e.hashes[salt], e.hashed[salt] = e.salts[salt].hash(e.trace.ID), true
	}
	return e.hashes[salt]
}

// Plan returns the plan that the matcher evaluates.
func (m *Matcher) Plan() *Plan { return m.plan }

// MatchResource ORs into matches, which has Plan.Words words, the bits that a resource's attributes set. The keys of
// attrs are indices into Plan.Keys.
func (m *Matcher) MatchResource(attrs []wire.Attr, matches []uint64) { m.attributes(attrs, matches) }

// MatchSpan ORs into matches, which has Plan.Words words, the bits that a span sets. The keys of its attributes are
// indices into Plan.Keys.
func (m *Matcher) MatchSpan(s *wire.Span, matches []uint64) {
	if len(matches) == 0 {
		return
	}
	scan := &m.plan.scan
	if scan.fixed&^matches[0] != 0 {
		if uint32(s.Status) < uint32(len(scan.statuses)) {
			matches[0] |= scan.statuses[s.Status]
		}
		if s.Flags&1 != 0 {
			matches[0] |= scan.sampled
		}
	}
	if len(scan.states) > 0 && len(s.TraceState) > 0 {
		scan.matchStates(s.TraceState, matches)
	}
	m.attributes(s.Attrs, matches)
}

// Decide fills v with the verdict on t.
func (m *Matcher) Decide(t *Trace, v *Verdict) {
	p := m.plan
	m.e.trace = t
	clear(m.e.hashed)
	words := (len(p.policies) + 63) / 64
	if cap(v.Matched) < words {
		v.Matched = make([]uint64, words)
	}
	v.Matched = v.Matched[:words]
	clear(v.Matched)

	kept, dropped := -1, -1
	sure := false // a policy without chance would keep it
	for i := range p.policies {
		if !p.policies[i].gate.open(&m.e) {
			continue
		}
		v.Matched[i/64] |= 1 << (i % 64)
		if p.isDrop[i] {
			if dropped < 0 {
				dropped = i
			}
			continue
		}
		if kept < 0 {
			kept = i
		}
		sure = sure || !p.isRandom[i]
	}
	v.Dropped = dropped >= 0
	v.Keep = !v.Dropped && kept >= 0
	v.Policy = kept
	if v.Dropped {
		v.Policy = dropped
	}
	v.Probability = 1
	if v.Keep && (p.dropsRandom || !sure) {
		v.Probability = m.probability(0)
	}
	v.Complete = t.HasRoot
	m.e.trace = nil
}

// keeps reports whether the trace is kept, given the hashes set in the evaluation.
func (m *Matcher) keeps() bool {
	keep := false
	for i := range m.plan.policies {
		if isDrop := m.plan.isDrop[i]; (isDrop || !keep) && m.plan.policies[i].gate.open(&m.e) {
			if isDrop {
				return false
			}
			keep = true
		}
	}
	return keep
}

// probability returns the share of trace IDs with which the trace would be kept. The hashes for different salts are
// independent, and for one salt all hashes between two neighbouring thresholds give the same verdict: so it is the sum,
// over all combinations of such ranges, of their sizes' product. Hashes of salts before the given one are set.
func (m *Matcher) probability(salt int) float64 {
	if salt == len(m.e.salts) {
		if m.keeps() {
			return 1
		}
		return 0
	}
	share := 0.0
	for i := range m.e.salts[salt].ranges() {
		upper, size := m.e.salts[salt].hashRange(i)
		m.e.hashes[salt], m.e.hashed[salt] = upper, true
		// The conversion keeps the compiler from fusing the two operations, which would round differently on some machines.
		share += float64(size * m.probability(salt+1))
	}
	return share
}
