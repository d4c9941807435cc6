package sampler

import (
	"thresher/buffer"
	"thresher/internal/wire"
	"thresher/policies"
)

// why explains the verdict on a trace. competed is its place in the batch of its set, -1 if it has none.
func (m *Machine) why(t *buffer.Trace, s *policySet, competed int) []policies.Explanation {
	spans := m.seen(t, s.Plan.Keys())
	if competed >= 0 {
		return s.matcher.ExplainSettled(competed, spans)
	}
	v := m.trace(t, s, t.Deadline)
	return s.matcher.Explain(&v, spans)
}

// seen returns the spans of a trace, nil if only their places are known.
func (m *Machine) seen(t *buffer.Trace, keys *wire.KeySet) []policies.Seen {
	if t.Spilled {
		return nil
	}
	var spans []policies.Seen
	for b := m.traces.Pages.AppendTo(nil, t.Payload); len(b) > 0; {
		var p piece
		p, b = nextPiece(b)
		var s policies.Seen
		s.ResourceHeader, s.ScopeHeader = m.traces.Headers.AppendTo([]byte{}, p.resource), m.traces.Headers.AppendTo(nil, p.scope)
		s.Resource, _ = wire.ScanResource(s.ResourceHeader, keys, nil) // what is stored was scanned before
		_ = wire.ScanSpan(p.span, keys, &s.Span)
		spans = append(spans, s)
	}
	return spans
}
