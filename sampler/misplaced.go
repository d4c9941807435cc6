package sampler

import (
	"thresher/buffer"
	"thresher/internal/wire"
)

// A Move is spans of a trace that one record had though the trace belongs to another partition, or a part of them. The runner
// writes them to that partition, in a record that says that it was moved (see Machine.Moved), and calls Machine.Ack once for each
// part AFTER Kafka has acknowledged it. A crash before that moves them again; the partition where they belong recognises the
// copies by their span IDs.
type Move struct {
	Seq       uint64 // for Ack
	TraceID   wire.TraceID
	Offset    Offset // of the record they came in
	Partition int    // where the trace belongs
	Spans     int
	Payload   []byte // as in Delivery
}

// Misplaced is a trace that was found where it does not belong.
type Misplaced struct {
	TraceID   wire.TraceID
	Offset    Offset // of the record with its span
	Partition int    // where it belongs
}

// Moved is Record for a record that a machine of another partition has moved here. What is in it and does not belong here either
// stays: versions, or numbers of partitions, disagree, and would send it to and fro for ever.
func (m *Machine) Moved(o Offset, timestamp int64, value []byte) error {
	m.rec.moved = true
	defer func() { m.rec.moved = false }()
	return m.Record(o, timestamp, value)
}

// TakeMisplaced returns the latest trace that was found misplaced since the last call, if there is one.
func (m *Machine) TakeMisplaced() (Misplaced, bool) {
	x := m.misplaced
	m.misplaced = Misplaced{}
	return x, x != Misplaced{}
}

// leaves looks where the current span belongs, whose trace is not known here, and reports whether it is not to begin one because it is
// moved. Of a trace that is known, and so for nearly all spans, nobody asks: it stays together with what there is of it.
func (r *record) leaves(raw []byte) bool {
	m := r.m
	l := &m.limits
	r.astray = false
	if l.Partitions == 0 {
		return false
	}
	to := wire.Partition(r.span.TraceID, l.Partitions)
	if to == l.Partition {
		return false
	}
	move := l.MoveMisplaced && !r.moved
	if r.settled {
		// It was moved, or decided in parts by other settings. In both cases its record is settled.
		if move {
			m.stats.Rebuilt++
		}
		return move
	}
	m.misplaced = Misplaced{TraceID: r.span.TraceID, Offset: r.offset, Partition: to}
	if !move {
		r.astray = true
		m.stats.MisplacedTraces++
		return false
	}
	m.stats.Received++
	m.stats.Moved++
	m.stats.Misplaced++
	m.stats.BytesIn += uint64(len(raw))
	i, known := r.moveOf[r.span.TraceID]
	if !known {
		if r.moveOf == nil {
			r.moveOf = map[wire.TraceID]int{}
		}
		i = len(r.moves)
		r.moves = append(r.moves, gathered{id: r.span.TraceID, to: to})
		r.moveOf[r.span.TraceID] = i
	}
	r.gather(&r.moves[i], raw)
	return true
}

// moveOut hands out what of one record is to be moved. Each trace has an item in the queue of what is to be settled, as late spans
// have.
func (r *record) moveOut() {
	m := r.m
	for i := range r.moves {
		g := &r.moves[i]
		it := item{id: g.id, offset: r.offset, time: m.clock.now, kind: MovedAway}
		seq := m.queue.add(it)
		if m.wasDelivered(it.key()) {
			m.queue.set(seq, delivered)
		} else {
			parts := m.payloads(g.chain, nil)
			m.queue.wait(seq, len(parts))
			for _, p := range parts {
				m.fx.Moves = append(m.fx.Moves, Move{
					Seq: seq, TraceID: g.id, Offset: r.offset, Partition: g.to, Spans: p.Spans, Payload: p.Payload,
				})
			}
		}
		m.traces.Pages.Free(&g.chain, buffer.PagesFor(g.stored))
	}
	clear(r.moves)
	r.moves = r.moves[:0]
	if len(r.moveOf) > 1000 {
		r.moveOf = nil
	}
	clear(r.moveOf)
}
