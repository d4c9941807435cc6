package sampler

import (
	"cmp"
	"math"
	"slices"

	"thresher/buffer"
)

// What is known of open traces has a budget of its own (Limits.OpenBytes): the log cannot stand in for a span's ID as it does for the span,
// and to pause is no answer either, because only more of the log lets the time pass that decides traces. So the oldest traces are decided
// before their time, by what came of them so far.
//
// What the budget is compared with is computed from the traces, not asked of the heap: so it does not depend on how the memory came to be
// as it is, or on which traces have given their payloads up, and a machine that was restored from a checkpoint computes the same as one that
// was not, as soon as it has read all that is open.
//
// While it has not, it cannot: a trace that was decided long ago, and of which only the end is read again, looks like one that is open.
// Therefore a machine remembers where in the log it decided early, and up to which offset; a checkpoint has this, and a machine that reads
// that part of the log again decides just the same traces there. Since always the oldest are decided, one offset says it all, whichever
// traces they were and whatever the budget was.

// An Eviction is a place in the log where traces were decided early for lack of memory: behind the first Spans spans of the record at At, all that
// were open and had begun at or before Through.
type Eviction struct {
	At      Offset
	Spans   uint32
	Through Offset
}

func (e Eviction) compare(at Offset, spans uint32) int {
	return cmp.Or(cmp.Compare(e.At, at), cmp.Compare(e.Spans, spans))
}

// evictions are those of a machine.
type evictions struct {
	past    []Eviction // what a restart may come by again
	pending []Eviction // of before a restart, for places that reading has not reached again
}

// mostEvictions bounds what is remembered. An eviction needs an eighth of the budget in new spans, so there are some a second at most; without
// those that are left out, a restart decides some settled traces otherwise, so that late spans of them go another way.
const mostEvictions = 20_000

// What an open trace counts. The map, the deadlines and the queue take 400 to 550 bytes a trace. A span ID is a word in a table that is between three eighths and three quarters full.
const (
	openCost = 512
	spanCost = 24
)

func (s *policySet) traceCost() int { return openCost + 8*s.Plan.Words() }

func shapeCost(t *buffer.Trace) int { return buffer.PagesFor(uint64(t.Shaped)) * buffer.PageSize }

// cost is what an open trace counts in Machine.opened.
func (s *policySet) cost(t *buffer.Trace) int {
	return s.traceCost() + int(t.Spans)*spanCost + shapeCost(t)
}

// evict decides the oldest traces behind so many spans of a record, if it was done there before a restart, or if they are over budget.
func (m *Machine) evict(at Offset, spans uint32) {
	e := &m.evictions
	for len(e.pending) > 0 && e.pending[0].compare(at, spans) <= 0 {
		p := e.pending[0]
		e.pending = e.pending[1:]
		m.evictOldest(p.Through, math.MinInt)
		e.add(p)
	}
	limit := m.limits.OpenBytes
	if m.until.Settles(at) {
		// The evictions of this part of the log are known. What is over budget all the same is open for a short time, or the budget was
		// larger then. Only so much: to use up the memory would not bring the decisions of then back either.
		limit += min(limit, math.MaxInt-limit)
	}
	if m.opened <= limit {
		return
	}
	through := m.evictOldest(math.MaxInt64, limit-limit/8)
	e.add(Eviction{at, spans, through})
	m.traces.IDs.Trim() // time may stand still, and the traces to come be of another size
}

func (e *evictions) add(x Eviction) {
	e.past = append(e.past, x)
	if n := len(e.past) - mostEvictions; n > 0 {
		e.past = slices.Delete(e.past, 0, n+mostEvictions/8)
	}
}

// needed returns the evictions of a checkpoint, and forgets those before the earliest place that the log is ever read from again.
func (e *evictions) needed(from Resume) []Eviction {
	e.past = slices.DeleteFunc(e.past, func(x Eviction) bool { return from.Settles(x.At) })
	return slices.Concat(e.past, e.pending)
}

// evictOldest decides the oldest traces, all of a record together, until those that began at or before an offset are decided or the rest counts no
// more than left. It returns the offset of the last.
func (m *Machine) evictOldest(through Offset, left int) (last Offset) {
	m.evicted = m.evicted[:0]
	counted := m.opened
	last = -1
	for {
		it, ok := m.queue.oldest()
		if !ok || it.offset > through || counted <= left && it.offset != last {
			break
		}
		ref := it.ref()
		t := m.traces.Trace(ref)
		counted -= m.sets[t.Set].cost(t)
		last = it.offset
		m.evicted = append(m.evicted, ref)
		m.queue.aged++
	}
	for _, ref := range m.evicted {
		t := m.traces.Trace(ref)
		m.deadlines.remove(t)
		t.Evicted = true
		if s := m.sets[t.Set]; !s.isAlone() { // they compete among themselves; the next tick may be far
			t.Deadline = min(t.Deadline, s.deadline(m.clock.now+1))
		}
	}
	m.compete(m.evicted)
	for _, ref := range m.evicted {
		m.decide(ref)
	}
	return last
}
