package sampler

import (
	"thresher/buffer"
	"thresher/policies"
)

// isAlone reports whether traces of the set are decided one by one, and need not wait for others.
func (s *policySet) isAlone() bool { return s.tick == 1 && !s.Plan.Stateful() }

// refuses reports whether no policy is asked about a trace: the Collector does not keep what is too large.
func (s *policySet) refuses(t *buffer.Trace) bool { return t.Early && s.Plan.Strict() }

// compete lets traces that are to be decided, and in no deadline list any more, compete: those of each set among themselves.
func (m *Machine) compete(refs []buffer.Ref) {
	for _, s := range m.sets {
		if s == nil || !s.Plan.Stateful() {
			continue
		}
		s.batch, s.shapes, s.decided = s.batch[:0], s.shapes[:0], 0
		for _, ref := range refs {
			if t := m.traces.Trace(ref); t.Set == s.no && !s.refuses(t) {
				s.batch = append(s.batch, m.trace(t, s, t.Deadline))
			}
		}
		if len(s.batch) > 0 && m.snapshots.covers(s.batch[0].Due) {
			s.matcher.Settle(s.batch)
		}
	}
}

// trace returns what policies see of an open trace.
func (m *Machine) trace(t *buffer.Trace, s *policySet, due int64) policies.Trace {
	v := policies.Trace{
		ID: t.ID, Randomness: t.Randomness, Head: head(t), Explicit: t.Explicit, Spans: uint64(t.Spans), Bytes: t.SpanBytes, Start: t.Start, End: t.End,
		Matches: s.words.At(t.Matches), Due: due, Now: m.clock.stamped(due), HasRoot: t.HasRoot,
	}
	if s.Plan.Strict() {
		v.Spans += uint64(t.Repeats)
	}
	if !t.Shape.Empty() {
		start := len(s.shapes)
		s.shapes = m.traces.Pages.AppendTo(s.shapes, t.Shape)
		v.Shape = s.shapes[start:]
	}
	return v
}

// head returns the threshold of an earlier sampler. One that the trace is below does not tell the truth.
func head(t *buffer.Trace) uint64 {
	if t.Head > t.Randomness {
		return 0
	}
	return t.Head
}

// decide asks the policies about an open trace that is in no deadline list any more, hands it out, and remembers the decision.
func (m *Machine) decide(ref buffer.Ref) {
	t := m.traces.Trace(ref)
	s := m.sets[t.Set]
	v := &s.verdict
	due := t.Deadline
	if (t.Early || t.Evicted) && s.isAlone() {
		due = m.clock.now
	}
	covered, competed := m.snapshots.covers(due), -1
	switch {
	case s.refuses(t):
		v.Refuse()
	case covered && s.Plan.Stateful():
		competed = s.decided
		s.decided++
		s.matcher.DecideSettled(competed, v)
	default:
		m.single = m.trace(t, s, due)
		s.matcher.Decide(&m.single, v)
	}
	keep, policy, share := v.Keep, uint32(0), v.Probability
	if v.Policy >= 0 {
		policy = s.policyNo[v.Policy]
	}
	if l, ok := m.snapshots.recalled[t.ID]; ok && !covered && s.Plan.Stateful() {
		keep, policy, share = l.Kept, l.Policy, l.Share
		v.Keep, v.Dropped, v.Probability, v.Sole = l.Kept, l.Dropped, l.Share, false
		clear(v.Matched) // nobody remembers what did
	}
	if !keep && !v.Dropped && m.mayBeRest(t) {
		keep, policy, share = true, 0, 1
		v.Keep, v.Probability, v.Sole = true, 1, false
		if !t.Rebuilt {
			m.stats.UnsureTraces++
		}
	}
	m.opened -= s.cost(t)
	if t.Rebuilt {
		m.queue.set(t.Seq, settled)
	} else {
		m.countDecision(t, s, policy)
		switch {
		case !keep && !m.limits.DeliverDropped:
			m.queue.set(t.Seq, settled)
		case m.wasDelivered(DeliveredKey{Offset(t.FirstOffset), t.ID, Decided}):
			m.queue.set(t.Seq, delivered)
		default:
			m.deliver(t, s, policy, competed)
		}
	}
	s.words.Free(t.Matches)
	if s != m.active && s.words.Len() == 0 {
		m.retire(s)
	}
	decided := m.traces.Decide(ref, buffer.Decided{
		LastSeen: t.LastSeen, Age: age(t.LastSeen, t.FirstTime), Policy: policy, Kept: keep, Share: share, Dropped: v.Dropped,
	})
	m.boundIDs(decided)
}

// boundIDs forgets span IDs of kept traces over budget. The last is the trace that has just got some.
func (m *Machine) boundIDs(last buffer.Ref) {
	if most := m.limits.KeptIDBytes; most > 0 && m.traces.KeptIDs() > most {
		m.stats.ForgottenIDs += uint64(m.traces.ForgetIDs(most/4*3, last))
	}
}

func (m *Machine) countDecision(t *buffer.Trace, s *policySet, policy uint32) {
	st := &m.stats
	st.InFlight -= uint64(t.Spans)
	if t.Early {
		st.EarlyTraces++
	}
	if t.Evicted {
		st.EvictedTraces++
	}
	if !t.HasRoot {
		st.RootlessTraces++
	}
	waited := m.clock.now - t.FirstTime
	if !t.Early && !t.Evicted {
		waited = t.Deadline - t.FirstTime // when it was due, whenever the log told that the time had come
	}
	st.DecisionAge[ageBucket(waited)]++
	st.DecisionAgeSum += uint64(waited)
	v := &s.verdict
	if len(v.Erred) > 0 {
		for i, no := range s.policyNo {
			if v.HasFailed(i) {
				st.Policies[no].Failed++
			}
			if v.HasErred(i) {
				st.Policies[no].Erred++
			}
		}
	}
	p := &st.Policies[policy]
	if v.Keep {
		if v.Sole {
			p.SoleTraces++
			p.SoleSpans += uint64(t.Spans)
			p.SoleBytes += t.SpanBytes
		}
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

// deliver hands out a decided trace. competed is its place in the batch of its set, -1 if it has none.
func (m *Machine) deliver(t *buffer.Trace, s *policySet, policy uint32, competed int) {
	v := &s.verdict
	d := Delivery{
		Seq: t.Seq, TraceID: t.ID, Offset: Offset(t.FirstOffset), Kept: v.Keep,
		Policy: m.stats.Policies[policy].Name, Probability: v.Probability, Complete: v.Complete, Early: t.Early || t.Evicted,
		Sole: v.Sole,
	}
	for i, name := range s.names {
		if v.Matches(i) {
			d.Matched = append(d.Matched, name)
		}
		if v.HasErred(i) {
			d.Erred = append(d.Erred, name)
		}
	}
	if explain := m.limits.Explain; explain != nil && explain(t.ID) {
		d.Why = m.why(t, s, competed)
	}
	if d.Kept {
		d.mark = newMarker(s.Marks, &d, t)
	}
	if !t.Spilled && m.handsMuch(t.Stored) {
		m.spill(t)
	}
	if t.Spilled {
		m.queue.wait(t.Seq, 1)
		d.Spans, d.Offsets, d.keys = int(t.Spans), m.offsets(t), s.Plan.Keys()
		m.fx.Deliveries = append(m.fx.Deliveries, d)
		return
	}
	m.emit(d, m.payloads(t.Payload, d.mark))
}

// deliverLate hands out the late spans that one record had for a trace.
func (m *Machine) deliverLate(g *gathered) {
	it := item{id: g.id, offset: m.rec.offset, time: m.clock.now, kind: LateDropped}
	if g.kept {
		it.kind = LateKept
	}
	seq := m.queue.add(it)
	if m.wasDelivered(it.key()) {
		m.queue.set(seq, delivered)
	} else {
		d := Delivery{
			Seq: seq, TraceID: g.id, Offset: m.rec.offset, Late: true,
			Kept: g.kept, Policy: m.stats.Policies[g.policy].Name, Rescued: g.rescued, Probability: g.share,
		}
		if d.Kept {
			d.mark = newMarker(m.active.Marks, &d, nil)
		}
		if m.handsMuch(g.stored) {
			m.queue.wait(seq, 1)
			d.Spans, d.Offsets, d.picks = g.spans, []Offset{m.rec.offset}, m.picks(g.chain)
			m.fx.Deliveries = append(m.fx.Deliveries, d)
		} else {
			m.emit(d, m.payloads(g.chain, d.mark))
		}
	}
	m.traces.Pages.Free(&g.chain, buffer.PagesFor(g.stored))
}

// handsMuch reports whether a delivery is to be read again from the log, because with its payload too much would be handed out at once: a
// giant trace; or traces that one record makes be decided, or has late spans for, each with a copy of a large resource.
func (m *Machine) handsMuch(stored uint64) bool {
	b := m.limits.BufferBytes
	if b == 0 {
		return false
	}
	most := max(m.limits.MaxPayload, b/8)
	return m.handed > most || stored > uint64(most)
}

func (m *Machine) emit(d Delivery, parts []Part) {
	m.queue.wait(d.Seq, len(parts))
	for _, p := range parts {
		d.Spans, d.Payload = p.Spans, p.Payload
		m.handed += len(p.Payload)
		m.fx.Deliveries = append(m.fx.Deliveries, d)
	}
}
