package sampler

import (
	"thresher/buffer"
	"thresher/policies"
)

// decide asks the policies about an open trace that is in no deadline list any more, hands it out, and remembers the decision.
func (m *Machine) decide(ref buffer.Ref, early bool) {
	t := m.traces.Trace(ref)
	s := m.sets[t.Set]
	v := &s.verdict
	m.trace = policies.Trace{
		ID: t.ID, Spans: uint64(t.Spans), Bytes: t.SpanBytes, Start: t.Start, End: t.End,
		Matches: s.words.At(t.Matches), HasRoot: t.HasRoot,
	}
	s.matcher.Decide(&m.trace, v)
	policy := uint32(0)
	if v.Policy >= 0 {
		policy = s.policyNo[v.Policy]
	}
	if !t.Rebuilt {
		m.countDecision(t, v.Keep, early, policy)
		switch {
		case !v.Keep && !m.limits.DeliverDropped:
			m.queue.set(t.Seq, settled)
		case m.wasDelivered(DeliveredKey{Offset(t.FirstOffset), t.ID, false}):
			m.queue.set(t.Seq, delivered)
		default:
			m.deliver(t, s, early, policy)
		}
	}
	s.words.Free(t.Matches)
	if s != m.active && s.words.Len() == 0 {
		m.sets[s.no] = nil
	}
	m.traces.Decide(ref, buffer.Decided{
		LastSeen: t.LastSeen, Age: age(t.LastSeen, t.FirstTime), Policy: policy, Kept: v.Keep,
	})
}

func (m *Machine) countDecision(t *buffer.Trace, keep, early bool, policy uint32) {
	st := &m.stats
	st.InFlight -= uint64(t.Spans)
	if early {
		st.EarlyTraces++
	}
	if !t.HasRoot {
		st.RootlessTraces++
	}
	waited := m.tau - t.FirstTime
	if !early {
		waited = t.Deadline - t.FirstTime // when it was due, whenever the log told that the time had come
	}
	i := 0
	for i < len(AgeBounds) && waited > AgeBounds[i] {
		i++
	}
	st.DecisionAge[i]++
	st.DecisionAgeSum += uint64(waited)
	p := &st.Policies[policy]
	if keep {
		st.KeptTraces++
		st.Kept += uint64(t.Spans)
		st.BytesKept += t.SpanBytes
		p.KeptTraces++
		p.KeptSpans += uint64(t.Spans)
		p.KeptBytes += t.SpanBytes
		return
	}
	st.DroppedTraces++
	st.Dropped += uint64(t.Spans)
	p.DroppedTraces++
	p.DroppedSpans += uint64(t.Spans)
}

func (m *Machine) wasDelivered(k DeliveredKey) bool {
	if len(m.delivered) == 0 {
		return false
	}
	if _, ok := m.delivered[k]; !ok {
		return false
	}
	delete(m.delivered, k)
	m.stats.Redelivered++
	return true
}

// deliver hands out a decided trace.
func (m *Machine) deliver(t *buffer.Trace, s *policySet, early bool, policy uint32) {
	v := &s.verdict
	d := Delivery{
		Seq: t.Seq, TraceID: t.ID, Offset: Offset(t.FirstOffset), Kept: v.Keep,
		Policy: m.stats.Policies[policy].Name, Probability: v.Probability, Complete: v.Complete, Early: early,
	}
	for i, name := range s.Plan.Names() {
		if v.Matches(i) {
			d.Matched = append(d.Matched, name)
		}
	}
	if t.Spilled {
		m.queue.wait(t.Seq, 1)
		d.Spans, d.Offsets, d.keys = int(t.Spans), m.offsets(t), s.Plan.Keys()
		m.fx.Deliveries = append(m.fx.Deliveries, d)
		return
	}
	m.emit(d, m.payloads(t.Payload))
}

// deliverLate hands out the late spans that one record had for a trace.
func (m *Machine) deliverLate(g *gathered) {
	seq := m.queue.add(item{id: g.id, offset: m.rec.offset, time: m.tau, late: true})
	if m.wasDelivered(DeliveredKey{m.rec.offset, g.id, true}) {
		m.queue.set(seq, delivered)
	} else {
		d := Delivery{
			Seq: seq, TraceID: g.id, Offset: m.rec.offset, Late: true,
			Kept: g.kept, Policy: m.stats.Policies[g.policy].Name,
		}
		m.emit(d, m.payloads(g.chain))
	}
	m.traces.Pages.Free(&g.chain, buffer.PagesFor(g.stored))
}

func (m *Machine) emit(d Delivery, parts []Part) {
	m.queue.wait(d.Seq, len(parts))
	for _, p := range parts {
		d.Spans, d.Payload = p.Spans, p.Payload
		m.fx.Deliveries = append(m.fx.Deliveries, d)
	}
}
