package sampler

import (
	"math"
	"slices"

	"thresher/buffer"
	"thresher/internal/wire"
)

// ghost is a decision that has left the map.
type ghost struct {
	LongTrace
	first int64 // partition time of the trace's first span
}

// rescue is a dropped trace that is kept since the record at an offset.
type rescue struct {
	id     wire.TraceID
	offset Offset
}

// Restore returns a machine that goes on from a checkpoint. It must be fed the log from c.ReplayFrom.Offset on. If the log begins behind
// that, Lost is to be called.
func Restore(l Limits, s Settings, c *Checkpoint) (*Machine, error) {
	if err := s.validate(&l); err != nil {
		return nil, err
	}
	m := newMachine(l, s, c.Rules[0])
	m.next, m.clock, m.dead, m.unsure = c.ReplayFrom.Offset, c.ReplayFrom.before, c.ReplayFrom.dead, c.Unsure
	m.resumed, m.until = c.Resume, c.Next
	m.restored = c
	if c.ReplayFrom.before.set || c.ReplayFrom.Time != 0 {
		m.starts = starts{c.ReplayFrom}
	}
	m.rules.pending = slices.Clone(c.Rules[1:])
	m.evictions.pending = slices.Clone(c.Evictions)
	m.rules.end(s.rules(&l, c.Next))
	if len(c.Delivered) > 0 {
		m.delivered = make(map[DeliveredKey]struct{}, len(c.Delivered))
		for _, k := range c.Delivered {
			m.delivered[k] = struct{}{}
		}
	}
	samePolicies := c.Policies == s.Plan.Fingerprint()
	m.snapshots.restore(m, c)
	for _, t := range c.Long {
		if t.Reread {
			if !samePolicies || int(t.Policy) >= len(m.stats.Policies) {
				t.Policy = 0
			}
			m.snapshots.recall(t)
			continue
		}
		if open, decided := m.traces.Find(&t.ID); open != 0 || decided != 0 || t.ID == (wire.TraceID{}) {
			continue // an earlier life of the trace comes first; later ones are read from the log
		}
		d := buffer.Decided{ID: t.ID, LastSeen: t.LastSeen, Kept: t.Kept, Share: t.Share, Rescued: t.Rescued, Dropped: t.Dropped, Age: age(t.LastSeen, c.ReplayFrom.Time-1)}
		if samePolicies && int(t.Policy) < len(m.stats.Policies) {
			d.Policy = t.Policy
		}
		m.traces.Remember(d)
		m.long = append(m.long, t.ID)
	}
	return m, nil
}

// ResumeAt returns a checkpoint for a place of which nothing is known but that what lies before it is settled. The log is read from a place
// a little before, so that some decisions can be remembered; as to the others see Machine.Lost.
func ResumeAt(l *Limits, s *Settings, from, resume Resume) *Checkpoint {
	return &Checkpoint{
		Resume: resume, Next: resume, ReplayFrom: Start{Offset: from, dead: math.MinInt64}, Policies: s.Plan.Fingerprint(),
		Rules: []Rules{s.rules(l, 0)}, Unsure: math.MaxInt64,
	}
}

// Lost tells a machine that was just restored that the log begins at a place behind the one to read from, because retention has deleted
// what was before: decisions cannot be made again whose traces began there. A span that comes for one of them looks like a new trace.
//
// What is lost or split then? Say that trace a was kept and b was dropped, both before the resume offset, and their first spans are
// gone. Late spans of both come within the window. If they were decided by themselves, that of a would be dropped: lost. So
// a trace without a root span that may be the rest of another one is kept, whatever policies say. That delivers the late span of b, too:
// too much rather than too little. A trace with its root span is taken for what it looks like.
func (m *Machine) Lost(begin Resume) {
	m.next = max(m.next, begin)
	m.unsure = math.MaxInt64 // until time is known
	m.starts = nil
}

// mayBeRest reports whether an open trace may be the rest of one whose decision nobody remembers.
func (m *Machine) mayBeRest(t *buffer.Trace) bool { return t.FirstTime < m.unsure && !t.HasRoot }

// isLong reports whether a decided trace has lived for longer than its wait, so that reading the log again may not tell how it was decided.
func (m *Machine) isLong(d *buffer.Decided) bool {
	return int64(d.Age) > m.waits.of(d.LastSeen-int64(d.Age))
}

// remember keeps a decision that leaves the map for the checkpoint, if it outlived the replayed part of the log and
// spans of its trace may be read again: because reading resumes at a time when it still held, or for the state.
func (m *Machine) remember(d *buffer.Decided) {
	if !m.isLong(d) {
		return
	}
	if _, at := m.resume(); d.LastSeen > at-m.rules.hold(at) || d.LastSeen >= m.snapshots.oldest() {
		if len(m.ghosts) > 0 && len(m.ghosts) >= m.mostGhosts() {
			m.ghosts = slices.Delete(m.ghosts, 0, (len(m.ghosts)+1)/2)
		}
		m.ghosts = append(m.ghosts, ghost{longTrace(d), d.LastSeen - int64(d.Age)})
	}
}

// CheckpointSize is about what a checkpoint taken now takes when it is encoded, and at most a little less. It costs nothing to ask.
func (m *Machine) CheckpointSize() int {
	const fixed, deliveredKey, longTrace, eviction = 64, 20, 28, 8
	_, at := m.resume()
	return fixed + min(m.queue.acked+len(m.delivered), maxDelivered)*deliveredKey + min(len(m.ghosts)+len(m.long), maxLong)*longTrace +
		(len(m.evictions.past)+len(m.evictions.pending))*eviction + len(m.snapshots.at(m.waits.replayFrom(at, m.limits.LateWindow)).state)
}

// Checkpoint returns what a restart needs. It is to be stored before its Resume is committed, and not to be stored
// while an acknowledgement that the machine was told of can still be taken back.
func (m *Machine) Checkpoint() *Checkpoint {
	if m.restored != nil {
		return m.restored // nothing was read since
	}
	r, at := m.resume()
	c := &Checkpoint{
		Resume: r, Next: max(m.next, m.resumed, m.until), ReplayFrom: Start{Offset: r, dead: math.MinInt64}, Policies: m.settings.Plan.Fingerprint(),
		Rules: m.rules.needed(math.MinInt64, r), Unsure: m.unsure,
	}
	if len(m.starts) == 0 { // nothing was read
		return c
	}
	wanted := m.waits.replayFrom(at, m.rules.hold(at))
	state := m.snapshots.at(wanted)
	c.ReplayFrom = m.starts.at(min(wanted, state.from))
	c.Rules = m.rules.needed(c.ReplayFrom.Time, r)
	c.Evictions = m.evictions.needed(m.starts[0].Offset)
	// What began before is not read again. What began before the state is as of is, and was decided without it or will be recalled.
	recalled := max(c.ReplayFrom.Time, state.at)
	if len(state.state) > 0 {
		c.State, c.StateAt = state.state, state.at
	}
	m.queue.each(func(_ uint64, it *item) bool {
		if it.state == delivered && !r.Settles(it.offset) {
			c.Delivered = append(c.Delivered, it.key())
		}
		return len(c.Delivered) < maxDelivered
	})
	// What the last checkpoint had and this machine has not decided again yet.
	again := len(c.Delivered)
	for k := range m.delivered {
		if !r.Settles(k.Offset) && len(c.Delivered) < maxDelivered {
			c.Delivered = append(c.Delivered, k)
		}
	}
	slices.SortFunc(c.Delivered[again:], DeliveredKey.compare)
	// What a record from the resume offset on has rescued is not rescued yet there.
	m.rescued = slices.DeleteFunc(m.rescued, func(x rescue) bool { return r.Settles(x.offset) })
	later := map[wire.TraceID]bool{}
	for _, x := range m.rescued {
		later[x.id] = true
	}
	numbers := m.active.fresh(m.stats.Policies)
	long := func(l LongTrace, first int64) {
		if first >= recalled || len(c.Long) == maxLong {
			return
		}
		if l.Reread = first >= c.ReplayFrom.Time; later[l.ID] {
			l.Kept, l.Policy, l.Share, l.Rescued = false, 0, 0, false
		}
		l.Policy = numbers[l.Policy]
		c.Long = append(c.Long, l)
	}
	// A decision matters if it holds at the resume offset, or if spans of its trace are read again before it.
	matters := func(lastSeen int64) bool {
		return lastSeen > at-m.rules.hold(at) || len(c.State) > 0 && lastSeen >= c.ReplayFrom.Time
	}
	// A ghost is an earlier life of its trace, so it stands before a later one of the same ID.
	ghosts := m.ghosts[:0]
	for _, g := range m.ghosts {
		if matters(g.LastSeen) {
			ghosts = append(ghosts, g)
			long(g.LongTrace, g.first)
		}
	}
	m.ghosts = ghosts
	living := m.long[:0]
	for _, id := range m.long {
		_, ref := m.traces.Find(&id)
		if ref == 0 {
			continue
		}
		d := m.traces.Decision(ref)
		if !m.isLong(d) || !matters(d.LastSeen) {
			continue
		}
		living = append(living, id)
		long(longTrace(d), d.LastSeen-int64(d.Age))
	}
	m.long = living
	return c
}

// age returns the milliseconds from first to last, as far as they fit.
func age(last, first int64) uint32 {
	return uint32(min(max(last-first, 0), math.MaxUint32))
}
