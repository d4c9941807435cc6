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

// Restore returns a machine that goes on from a checkpoint. It must be fed the log from the first record whose timestamp is
// not smaller than c.ReplayFrom, or from c.Resume if that comes first.
func Restore(l Limits, s Settings, c *Checkpoint) (*Machine, error) {
	if err := s.validate(&l); err != nil {
		return nil, err
	}
	for _, r := range c.Rules {
		l.LateWindow = max(l.LateWindow, r.DecisionWait)
	}
	m := newMachine(l, s, c.Rules[0])
	m.resumed, m.resumedAt, m.until = c.Resume, c.Time, c.Next
	m.rules.pending = slices.Clone(c.Rules[1:])
	m.rules.end(s.rules(c.Next))
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
		d := buffer.Decided{ID: t.ID, LastSeen: t.LastSeen, Kept: t.Kept, Share: t.Share, Rescued: t.Rescued, Dropped: t.Dropped, Age: age(t.LastSeen, c.ReplayFrom-1)}
		if samePolicies && int(t.Policy) < len(m.stats.Policies) {
			d.Policy = t.Policy
		}
		m.traces.Remember(d)
		m.long = append(m.long, t.ID)
	}
	return m, nil
}

// pass does what is to be done when reading reaches a record after a restart.
func (m *Machine) pass(o Offset) {
	m.follow(Resume(o))
	if m.resumedAt != 0 && !m.resumed.Settles(o) {
		// Before the restart a tick may have moved time further than the records tell. What was decided by then is settled.
		m.advance(m.resumedAt)
		m.resumedAt = 0
	}
}

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
	if _, at := m.resume(); d.LastSeen+m.limits.LateWindow > at || d.LastSeen >= m.snapshots.oldest() {
		m.ghosts = append(m.ghosts, ghost{longTrace(d), d.LastSeen - int64(d.Age)})
	}
}

// Checkpoint returns what a restart needs. It is to be stored before its Resume is committed, and not to be stored
// while an acknowledgement that the machine was told of can still be taken back.
func (m *Machine) Checkpoint() *Checkpoint {
	r, at := m.resume()
	c := &Checkpoint{
		Resume: r, Next: max(m.next, m.resumed, m.until), Time: at, ReplayFrom: at, Policies: m.settings.Plan.Fingerprint(),
		Rules: m.rules.needed(math.MinInt64, r),
	}
	if at == math.MinInt64 { // nothing was read
		c.Time, c.ReplayFrom = 0, 0
		return c
	}
	c.ReplayFrom = m.waits.replayFrom(at, m.limits.LateWindow)
	state := m.snapshots.at(c.ReplayFrom)
	c.ReplayFrom = min(c.ReplayFrom, state.from)
	c.Rules = m.rules.needed(c.ReplayFrom, r)
	// What began before is not read again. What began before the state is as of is, and was decided without it or will be recalled.
	recalled := max(c.ReplayFrom, state.at)
	if len(state.state) > 0 {
		c.State, c.StateAt = state.state, state.at
	}
	for n := m.queue.first; n < m.queue.end && len(c.Delivered) < maxDelivered; n++ {
		if it := m.queue.at(n); it.state == delivered && !r.Settles(it.offset) {
			c.Delivered = append(c.Delivered, DeliveredKey{it.offset, it.id, it.late})
		}
	}
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
	long := func(l LongTrace, first int64) {
		if first >= recalled || len(c.Long) == maxLong {
			return
		}
		if l.Reread = first >= c.ReplayFrom; later[l.ID] {
			l.Kept, l.Policy, l.Share, l.Rescued = false, 0, 0, false
		}
		l.Policy = m.active.fresh(m.stats.Policies[l.Policy].Name)
		c.Long = append(c.Long, l)
	}
	// A decision matters if it holds at the resume offset, or if spans of its trace are read again before it.
	matters := func(lastSeen int64) bool {
		return lastSeen+m.limits.LateWindow > at || len(c.State) > 0 && lastSeen >= c.ReplayFrom
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
