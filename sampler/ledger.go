package sampler

import (
	"slices"

	"thresher/buffer"
	"thresher/internal/wire"
)

// held tells what the machine holds, by what for.
func (m *Machine) held() Memory {
	h := m.traces.Held()
	b := Memory{Payload: h.Payload, Headers: h.Headers, Open: h.Open + m.deadlines.held(), Decisions: h.Decisions, KeptIDs: h.KeptIDs}
	b.Settlement = m.settlementBytes()
	b.Scratch = cap(m.bytes) + cap(m.marked) + cap(m.due)*4 + cap(m.evicted)*4 + m.asm.Held() +
		cap(m.fx.Deliveries)*deliveryBytes + (cap(m.rec.late)+cap(m.rec.moves))*gatheredBytes
	for _, s := range m.sets {
		if s == nil {
			continue
		}
		b.Headers += cap(s.resources)*8 + cap(s.known)
		b.Open += s.words.Held()
		b.Scratch += cap(s.batch)*competitorBytes + cap(s.shapes)
	}
	for _, s := range m.snapshots.taken {
		b.State += len(s.state)
	}
	return b
}

// The sizes of what there is much of.
const (
	deliveryBytes   = 240
	gatheredBytes   = 80
	competitorBytes = 144 // a policies.Trace
	ghostBytes      = 56
	rescueBytes     = 24
	evictionBytes   = 24
	keyBytes        = 64 // about what a DeliveredKey takes in a map
)

// settlementBytes is what is remembered because a restart would read from the resume offset, or before.
func (m *Machine) settlementBytes() int {
	return m.queue.held() + cap(m.ghosts)*ghostBytes + cap(m.rescued)*rescueBytes +
		cap(m.long)*16 + cap(m.evictions.past)*evictionBytes + len(m.delivered)*keyBytes
}

// mostGhosts is how many decisions are remembered for a checkpoint that have left the map. The oldest go first, half of them at once.
func (m *Machine) mostGhosts() int {
	if b := m.limits.SettlementBytes; b > 0 {
		return min(maxLong, b/4/ghostBytes)
	}
	return maxLong
}

// addLong notes a decided trace that has outlived its wait. Those of which nothing is known any more leave the list when a checkpoint is
// taken, or here, when they must be most of it.
func (m *Machine) addLong(id wire.TraceID) {
	m.long = append(m.long, id)
	if len(m.long) > 1024+2*m.traces.Decisions() {
		m.long = slices.DeleteFunc(m.long, func(id wire.TraceID) bool {
			_, ref := m.traces.Find(&id)
			return ref == 0 || !m.isLong(m.traces.Decision(ref))
		})
	}
}

// Full reports whether the runner is to read on only when a delivery has been acknowledged: so much is settled behind one that is not that no
// more of it can be remembered.
//
// It is never so while the oldest unsettled trace is undecided. Only more of the log lets time pass, and so decides it: to wait would be to
// wait for ever. That bounds what is behind it, because it is decided at its deadline; of what is delivered meanwhile no more is remembered than
// a checkpoint can have.
func (m *Machine) Full() bool {
	it, ok := m.queue.head()
	if !ok || it.state != waiting {
		return false
	}
	most := m.limits.SettlementBytes
	return m.queue.acked+m.queue.out >= maxDelivered || most > 0 && m.queue.held() > most
}

// payloadBytes is what Limits.BufferBytes bounds.
func (m *Machine) payloadBytes() int {
	return m.traces.Pages.Used() + m.headerBytes()
}

// headerBytes is what the headers take, with what policies say of each.
func (m *Machine) headerBytes() int {
	h := m.traces.Headers
	return h.Bytes() + h.Len()*8*m.active.Plan.Words()
}

// sweepHeaders frees the headers that no stored span stands in. Headers stay for as long as a trace may be open that began with them, and
// nobody counts by which they are used, so when most traces are spilled there would be a header for spans that are long gone. It looks at
// all that is stored, so it is done only over budget, and when enough of it can have become garbage: an eighth of the budget.
//
// It may only be called between records: the spans of one that come late refer to headers too.
func (m *Machine) sweepHeaders() {
	budget := m.limits.BufferBytes
	if budget == 0 || m.payloadBytes() <= budget {
		return
	}
	if m.headerBytes() < m.swept.headers+budget/8 {
		return
	}
	used := make([]bool, m.traces.Headers.Slots())
	m.traces.EachOpen(func(t *buffer.Trace) {
		if t.Spilled || t.Payload.Empty() {
			return
		}
		m.bytes = m.traces.Pages.AppendTo(m.bytes[:0], t.Payload)
		for b := m.bytes; len(b) > 0; {
			var p piece
			p, b = nextPiece(b)
			used[p.resource], used[p.scope] = true, true
		}
	})
	m.shrink()
	m.traces.Headers.Retain(func(id uint32) bool { return used[id] }, m.unknow)
	m.swept.headers = m.headerBytes()
}

// unknow forgets what policies say of a header whose number will be given to another.
func (m *Machine) unknow(id uint32) {
	for _, s := range m.sets {
		if s != nil && int(id) < len(s.known) {
			s.known[id] = false
		}
	}
}
