package sampler

import (
	"encoding/binary"

	"thresher/buffer"
	"thresher/internal/wire"
)

// store keeps the current span for delivery: the span itself, or where to find it if the trace was over budget.
func (r *record) store(t *buffer.Trace, raw []byte) {
	m := r.m
	if t.Spilled {
		if int64(r.offset) != t.LastOffset {
			m.storeOffset(t, uint64(int64(r.offset)-t.LastOffset))
		}
		return
	}
	t.Stored += r.append(&t.Payload, uint64(int64(r.offset)-t.FirstOffset), raw)
	if b := m.limits.BufferBytes; b > 0 && m.payloadBytes() > b {
		m.spill(t)
	}
}

// append adds a span to a chain behind the numbers of its headers, the distance of its record from the first one, and
// its length; it returns the number of bytes added.
func (r *record) append(c *buffer.Chain, distance uint64, raw []byte) uint64 {
	var head [4 * binary.MaxVarintLen64]byte
	b := binary.AppendUvarint(head[:0], uint64(r.resourceID))
	b = binary.AppendUvarint(b, uint64(r.scopeID))
	b = binary.AppendUvarint(b, distance)
	b = binary.AppendUvarint(b, uint64(len(raw)))
	r.m.traces.Pages.Append(c, b)
	r.m.traces.Pages.Append(c, raw)
	return uint64(len(b) + len(raw))
}

// storeOffset notes that the next record with spans of the trace comes a distance behind the last one.
func (m *Machine) storeOffset(t *buffer.Trace, distance uint64) {
	var b [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(b[:], distance)
	m.traces.Pages.Append(&t.Payload, b[:n])
	t.Stored += uint64(n)
}

// spill replaces the stored spans of a trace by the offsets of their records.
func (m *Machine) spill(t *buffer.Trace) {
	m.bytes = m.traces.Pages.AppendTo(m.bytes[:0], t.Payload)
	m.traces.Pages.Free(&t.Payload, buffer.PagesFor(t.Stored))
	t.Stored, t.Spilled = 0, true
	m.stats.SpilledTraces++
	last := uint64(0)
	for b := m.bytes; len(b) > 0; {
		var p piece
		p, b = nextPiece(b)
		if p.distance != last {
			m.storeOffset(t, p.distance-last)
			last = p.distance
		}
	}
	t.LastOffset = t.FirstOffset + int64(last)
	m.shrink()
}

// offsets returns the records in which the spans of a spilled trace are.
func (m *Machine) offsets(t *buffer.Trace) []Offset {
	at := Offset(t.FirstOffset)
	offs := []Offset{at}
	m.bytes = m.traces.Pages.AppendTo(m.bytes[:0], t.Payload)
	for b := m.bytes; len(b) > 0; {
		d, n := binary.Uvarint(b)
		b = b[n:]
		at += Offset(d)
		offs = append(offs, at)
	}
	return offs
}

// picks returns the numbers in their record of gathered spans.
func (m *Machine) picks(c buffer.Chain) (list []uint32) {
	m.bytes = m.traces.Pages.AppendTo(m.bytes[:0], c)
	for b := m.bytes; len(b) > 0; {
		var p piece
		p, b = nextPiece(b)
		list = append(list, uint32(p.distance))
	}
	m.shrink()
	return list
}

// piece is a stored span.
type piece struct {
	resource, scope uint32
	distance        uint64 // of its record from the first of the trace; of gathered spans, the number in the record
	span            []byte
}

// nextPiece cuts the first span off stored bytes.
func nextPiece(b []byte) (p piece, rest []byte) {
	var v [4]uint64
	for i := range v {
		if b[0] < 0x80 {
			v[i], b = uint64(b[0]), b[1:]
			continue
		}
		u, n := binary.Uvarint(b)
		v[i], b = u, b[n:]
	}
	return piece{uint32(v[0]), uint32(v[1]), v[2], b[:v[3]:v[3]]}, b[v[3]:]
}

// payloads assembles the spans stored in a chain into one or more parts, of at most limits.MaxPayload unless a single
// span is larger. mark, if not nil, writes on them.
func (m *Machine) payloads(c buffer.Chain, mark *marker) []Part {
	m.bytes, m.marked = m.traces.Pages.AppendTo(m.bytes[:0], c), m.marked[:0]
	var out []Part
	n := 0
	for b := m.bytes; len(b) > 0; {
		var p piece
		p, b = nextPiece(b)
		if n > 0 && n+len(p.span) > m.limits.MaxPayload {
			out = append(out, m.assemble())
			n = 0
		}
		if mark != nil {
			m.marked, p.span = mark.write(m.marked, p.span)
		}
		m.asm.Add(p.resource, p.scope, p.span)
		n += len(p.span)
	}
	out = append(out, m.assemble())
	m.shrink()
	return out
}

func (m *Machine) assemble() Part {
	n := m.asm.Len()
	return Part{n, m.asm.AppendTo(nil, m.traces.Headers)}
}

// shrink gives scratch space back that a giant trace needed: each partition has its own.
func (m *Machine) shrink() {
	const most = 256 << 10
	if cap(m.bytes) > most {
		m.bytes = nil
	}
	if cap(m.marked) > most {
		m.marked = nil
	}
	if m.asm.Held() > most {
		m.asm = wire.Assembler{}
	}
}
