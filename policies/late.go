package policies

import "thresher/internal/wire"

// Rescues reports which of the policies of rescue_on a late span matches by itself: its index, -1 if none.
func (m *Matcher) Rescues(s *wire.Span, c *Context, bytes int) int {
	p := m.plan
	if len(p.rescue) == 0 {
		return -1
	}
	m.lone(s, c, bytes)
	defer func() { m.e.trace = nil }()
	for i := range p.rescue {
		if p.rescue[i].gate.open(&m.e) == yes {
			return i
		}
	}
	return -1
}

// Misses reports which policy would have kept a trace that no policy kept, and no drop policy dropped, had this late span of it come
// before the decision: the index of the policy, -1 if that cannot be said of any. It can be said only of policies that one span is
// enough for, whatever the others are: an error is, a number of spans, a limit or chance is not.
func (m *Matcher) Misses(s *wire.Span, c *Context, bytes int) int {
	p := m.plan
	if len(p.telling) == 0 {
		return -1
	}
	m.lone(s, c, bytes)
	defer func() { m.e.trace = nil }()
	kept, forced, dropped := -1, -1, false
	for _, i := range p.telling {
		if p.policies[i].gate.open(&m.e) != yes {
			continue
		}
		switch {
		case p.isDrop[i]:
			dropped = true
			continue
		case p.isForce[i] && forced < 0:
			forced = i
		}
		if kept < 0 {
			kept = i
		}
	}
	if dropped {
		return forced // no other policy would have kept it
	}
	return kept
}

// lone makes a trace of the late span alone the one that gates look at.
func (m *Matcher) lone(s *wire.Span, c *Context, bytes int) {
	if m.late == nil {
		m.late = make([]uint64, m.plan.words)
	}
	clear(m.late)
	m.MatchSpan(s, c, m.late)
	m.single = Trace{
		ID: s.TraceID, Randomness: Randomness(s.TraceID), Spans: 1, Bytes: uint64(bytes), Start: s.Start, End: s.End,
		Matches: m.late, HasRoot: s.Root(), Now: c.Now,
	}
	m.e.look(&m.single)
}

// tells reports whether one span that passes the policy makes every trace pass that it is in: nothing that the other spans are can
// undo it, and neither chance nor other traces have a say.
func (p *Policy) tells() bool {
	switch r := p.rule.(type) {
	case *statusCode, *traceState, traceFlags:
		return true
	case *ottlCondition:
		return !r.strict || !r.propagate // there a span before it that failed can undo it
	case *stringAttribute:
		return !r.invert
	case *numericAttribute:
		return !r.invert
	case *booleanAttribute:
		return !r.invert
	case *latency:
		return r.upTo == 0 // a trace lasts at least as long as each of its spans
	case *andRule, *orRule, *dropRule, *forceRule:
		for i := range p.Sub {
			if !p.Sub[i].tells() {
				return false
			}
		}
		return true
	}
	return false
}
