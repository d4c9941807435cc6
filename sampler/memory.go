package sampler

import (
	"math"
	"slices"

	"thresher/internal/wire"
)

// memory keeps what policies that depend on other traces knew at earlier times.
//
// A restart reads the log again from before the resume offset and makes the decisions of then again. They come out the same
// only from the state of then: a checkpoint has the state as of a time from which on the log tells all traces whole, and all
// decisions due later are made again from it. So states are kept for as long as a restart may go back, by far not all of them:
// one from a little earlier costs only that more of the log is read.
type memory struct {
	taken []snapshot // oldest first
	began bool
	last  int64 // the last time of which a snapshot was due, whether it was taken or not

	// After a restart: decisions due up to from were made without the state that the machine has, and are recalled.
	from     int64
	state    []byte // as of from, for policies that come into force again before it
	recalled map[wire.TraceID]LongTrace
}

// A snapshot is the state after all decisions due at or before a partition time, and before others.
type snapshot struct {
	at int64
	// from is where to read from, so that from then on the same traces compete. All spans of a trace that is due after at come at or
	// after at-wait. A trace that began before from, and of which only the end is read, must not compete: it is due by at
	// if all its spans came within a wait, since from is two waits before; otherwise it is in Checkpoint.Long.
	from  int64
	state []byte // nil if no policy depended on other traces
}

const (
	snapshotEvery = 30_000 // milliseconds of partition time
	mostSnapshots = 16
)

// begin takes the first snapshot, of the state that the machine has at its first input. Reading again begins there.
func (h *memory) begin(m *Machine) {
	if h.began {
		return
	}
	h.began = true
	if m.active.Plan.Stateful() && len(h.taken) == 0 {
		h.taken = append(h.taken, snapshot{m.clock.now, m.clock.now, m.active.matcher.AppendState(nil)})
	}
}

// use takes a first snapshot when policies come into force that depend on other traces, and those before did not.
func (h *memory) use(m *Machine) {
	if h.began && len(h.taken) == 0 && m.active.Plan.Stateful() {
		h.taken = append(h.taken, snapshot{m.clock.now, m.clock.now - 2*m.maxWait, m.active.matcher.AppendState(nil)})
	}
}

// before takes a snapshot if one is due before decisions of partition time t are made.
func (h *memory) before(m *Machine, t int64) {
	if !m.active.Plan.Stateful() && len(h.taken) == 0 {
		return
	}
	if m.clock.now > h.from {
		h.state = nil
	}
	if len(h.recalled) > 0 && t > h.from+m.maxWait {
		h.recalled = nil // nothing that is open can be due by then
	}
	at := (t - 1) - (t-1)%snapshotEvery
	if n := len(h.taken); at <= h.from || at <= h.last || n > 0 && at <= h.taken[n-1].at {
		return
	}
	h.last = at
	if m.others() {
		return // their state would be needed too; a restart reads from an earlier one
	}
	s := snapshot{at: at, from: at - 2*m.maxWait}
	if m.active.Plan.Stateful() {
		s.state = m.active.matcher.AppendState(nil)
	}
	h.taken = append(h.taken, s)
	_, resume := m.resume()
	h.forget(m.waits.replayFrom(resume, m.rules.hold(resume)))
	if !m.active.Plan.Stateful() && !slices.ContainsFunc(h.taken, func(s snapshot) bool { return s.state != nil }) {
		h.taken = nil // nothing that may be read again knew of other traces
	}
}

// forget drops the snapshots that no checkpoint needs any more, and every other one if there are too many.
func (h *memory) forget(needed int64) {
	first := 0
	for first+1 < len(h.taken) && h.taken[first+1].at <= needed {
		first++
	}
	h.taken = slices.Delete(h.taken, 0, first)
	if len(h.taken) > mostSnapshots {
		kept := h.taken[:1]
		for i := 2; i < len(h.taken); i += 2 {
			kept = append(kept, h.taken[i])
		}
		clear(h.taken[len(kept):])
		h.taken = kept
	}
}

// oldest returns the time from which on a restart may have to read, for the state.
func (h *memory) oldest() int64 {
	if len(h.taken) == 0 {
		return math.MaxInt64
	}
	return h.taken[0].from
}

// at returns the newest snapshot that is not after t, or the oldest.
func (h *memory) at(t int64) snapshot {
	if len(h.taken) == 0 {
		return snapshot{at: math.MinInt64, from: math.MaxInt64}
	}
	i := 0
	for i+1 < len(h.taken) && h.taken[i+1].at <= t {
		i++
	}
	return h.taken[i]
}

// restore takes over the state of a checkpoint. Policies whose state cannot be read, because a version before wrote it, begin anew.
func (h *memory) restore(m *Machine, c *Checkpoint) {
	if len(c.State) == 0 {
		return
	}
	h.began, h.from, h.state = true, c.StateAt, c.State
	if m.active.Plan.Stateful() {
		_ = m.active.matcher.SetState(c.State)
	}
	h.taken = append(h.taken, snapshot{c.StateAt, c.ReplayFrom.Time, c.State})
}

// into gives a set that comes into force what its policies knew: those that the set before has too go on. While what was decided by the
// time of a checkpoint is read again, that is what the checkpoint says.
func (h *memory) into(set, old *policySet, now int64) {
	state := h.state
	if now > h.from || len(state) == 0 {
		state = old.matcher.AppendState(nil)
	}
	_ = set.matcher.SetState(state) // what was just written, or read, can be read
}

func (h *memory) recall(t LongTrace) {
	if h.recalled == nil {
		h.recalled = map[wire.TraceID]LongTrace{}
	}
	if _, earlier := h.recalled[t.ID]; !earlier {
		h.recalled[t.ID] = t
	}
}

// covers reports whether a decision is made from the state: not one that was due before the state is as of.
func (h *memory) covers(due int64) bool { return due > h.from }
