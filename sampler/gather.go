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
// its payload would have been. It hands them out as soon as they make a part, so it holds the spans of one part, the keys of all, and
// nothing else of a record, however large the trace is.
type Gathering struct {
	id      wire.TraceID
	keys    *wire.KeySet
	picks   []uint32 // nil: all spans of the trace
	mark    *marker
	want    int
	largest int
	scratch wire.Scratch

	no, found       int // spans so far: of all traces, and taken
	seen            map[uint64]struct{}
	span            wire.Span
	resource, scope []byte
	part            part
	parts           []Part
}

// part is what is gathered of the next part.
type part struct {
	asm     wire.Assembler
	headers headerList
	bytes   int // of spans
}

// NewGathering begins to gather d. maxPayload is as in Limits.
func NewGathering(d *Delivery, maxPayload int) *Gathering {
	if maxPayload == 0 {
		maxPayload = defaultMaxPayload
	}
	return &Gathering{id: d.TraceID, keys: d.keys, picks: d.picks, mark: d.mark, want: d.Spans, largest: maxPayload, seen: map[uint64]struct{}{}}
}

// Add takes the next record and returns the parts that are complete with it. The error says that it cannot be decoded, which it
// could when it was read first.
func (g *Gathering) Add(record []byte) ([]Part, error) {
	err := wire.Walk(record, &g.scratch, (*gatherer)(g))
	g.resource, g.scope = nil, nil
	parts := g.parts
	g.parts = nil
	return parts, err
}

// End returns the last part, none if nothing is left, and whether all spans were found that the delivery has.
func (g *Gathering) End() (last []Part, whole bool) {
	if g.part.asm.Len() > 0 {
		last = append(last, g.part.take())
	}
	return last, g.found == g.want
}

func (p *part) add(resource, scope, span []byte) {
	p.asm.Add(p.headers.add(resource), p.headers.add(scope), span)
	p.bytes += len(span)
}

func (p *part) take() Part {
	out := Part{Spans: p.asm.Len(), Payload: p.asm.AppendTo(nil, &p.headers)}
	p.headers, p.bytes = headerList{}, 0
	return out
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
// no more than there were when the trace was decided. Late spans are picked by their numbers.
func (g *gatherer) Span(raw []byte) error {
	no := g.no
	g.no++
	if g.found == g.want || g.picks != nil && int(g.picks[g.found]) != no {
		return nil
	}
	if g.picks == nil && !g.isNew(raw) {
		return nil
	}
	g.found++
	var edited []byte
	span := raw
	if g.mark != nil {
		edited, span = g.mark.write(nil, raw)
	}
	if g.part.bytes > 0 && g.part.bytes+len(span) > g.largest {
		g.parts = append(g.parts, g.part.take())
	}
	if edited == nil { // the span as it is, which belongs to the record
		span = bytes.Clone(raw)
	}
	g.part.add(g.resource, g.scope, span)
	return nil
}

// isNew reports whether a span is of the trace and has not come before.
func (g *gatherer) isNew(raw []byte) bool {
	if wire.ScanSpan(raw, g.keys, &g.span) != nil || g.span.TraceID != g.id {
		return false
	}
	k := spanKey(&g.span)
	_, seen := g.seen[k]
	g.seen[k] = struct{}{}
	return !seen
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
