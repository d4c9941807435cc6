package sampler

import (
	"bytes"

	"thresher/internal/wire"
)

// A Part is a part of a delivery.
type Part struct {
	Spans   int
	Payload []byte
}

// A Gathering picks the spans of a spilled delivery out of its records, read again in the order of Delivery.Offsets: what
// its payload would have been. It keeps the spans found and nothing else of a record.
type Gathering struct {
	id      wire.TraceID
	keys    *wire.KeySet
	mark    *marker
	want    int
	largest int
	scratch wire.Scratch

	seen            map[uint64]struct{}
	span            wire.Span
	headers         headerList
	resource, scope []byte
	pieces          []piece
}

// NewGathering begins to gather d. maxPayload is as in Limits.
func NewGathering(d *Delivery, maxPayload int) *Gathering {
	if maxPayload == 0 {
		maxPayload = defaultMaxPayload
	}
	return &Gathering{id: d.TraceID, keys: d.keys, mark: d.mark, want: d.Spans, largest: maxPayload, seen: make(map[uint64]struct{}, d.Spans)}
}

// Add takes the next record. The error says that it cannot be decoded, which it could when it was read first.
func (g *Gathering) Add(record []byte) error {
	return wire.Walk(record, &g.scratch, (*gatherer)(g))
}

// Parts returns the spans found in one or more parts, and whether they are all that the delivery has.
func (g *Gathering) Parts() (parts []Part, whole bool) {
	var asm wire.Assembler
	size := 0
	for i, p := range g.pieces {
		if g.mark != nil {
			_, p.span = g.mark.write(nil, p.span)
		}
		if size > 0 && size+len(p.span) > g.largest {
			parts = append(parts, Part{asm.Len(), nil})
			parts[len(parts)-1].Payload = asm.AppendTo(nil, &g.headers)
			size = 0
		}
		asm.Add(p.resource, p.scope, p.span)
		size += len(p.span)
		if i == len(g.pieces)-1 {
			parts = append(parts, Part{asm.Len(), nil})
			parts[len(parts)-1].Payload = asm.AppendTo(nil, &g.headers)
		}
	}
	return parts, len(g.pieces) == g.want
}

// gatherer is the visitor of a Gathering.
type gatherer Gathering

func (g *gatherer) Resource(h []byte) error {
	g.resource = h
	return nil
}

func (g *gatherer) Scope(h []byte) error {
	g.scope = h
	return nil
}

// Span takes the same spans as record.add did: those that can be scanned for the keys of the policies of then, each once, and
// no more than there were when the trace was decided.
func (g *gatherer) Span(raw []byte) error {
	sound := wire.ScanSpan(raw, g.keys, &g.span) == nil
	if !sound || g.span.TraceID != g.id || len(g.pieces) == g.want {
		return nil
	}
	k := spanKey(&g.span)
	if _, ok := g.seen[k]; ok {
		return nil
	}
	g.seen[k] = struct{}{}
	g.pieces = append(g.pieces, piece{resource: g.headers.add(g.resource), scope: g.headers.add(g.scope), span: bytes.Clone(raw)})
	return nil
}

// headerList holds distinct headers and gives them by number.
type headerList struct {
	all   [][]byte
	known map[string]uint32
}

func (l *headerList) add(h []byte) uint32 {
	if id, ok := l.known[string(h)]; ok {
		return id
	}
	if l.known == nil {
		l.known = map[string]uint32{}
	}
	id := uint32(len(l.all))
	l.all = append(l.all, bytes.Clone(h))
	l.known[string(h)] = id
	return id
}

// AppendTo appends the header of a number to dst.
func (l *headerList) AppendTo(dst []byte, id uint32) []byte { return append(dst, l.all[id]...) }
