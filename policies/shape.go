package policies

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"thresher/internal/wire"
)

// The shape of a trace is the set of its edges: service, operation and status of a span's parent, and of the span. How
// often an edge occurs does not matter, nor do times.

// ShapeBytes is what a span takes in Trace.Shape, 0 if no policy looks at shapes.
func (p *Plan) ShapeBytes() int {
	if p.shapes {
		return shapeBytes
	}
	return 0
}

const (
	shapeBytes = 24
	// MostShaped is the number of spans from which on the shape of a trace is not looked at any more: the shape is that of
	// its first spans then.
	MostShaped = 4096
)

// AppendShape appends what a span contributes to the shape of its trace. It may be called only if ShapeBytes is not 0.
func (p *Plan) AppendShape(shape []byte, s *wire.Span, c *Context) []byte {
	var b [shapeBytes]byte
	copy(b[:8], s.SpanID[:])
	copy(b[8:16], s.ParentID[:])
	service := uint64(0)
	if i := p.service; len(c.Matches) > 0 {
		service = c.Matches[p.bitWords+i]
	}
	binary.LittleEndian.PutUint64(b[16:], hashOf(wire.ValueInt, service^uint64(s.Status)*31, s.Name))
	return append(shape, b[:]...)
}

type shapeSpan struct{ id, parent, what, edge uint64 }

// shapeOf returns the hash of a trace's shape, and the room it needed, for the next.
func shapeOf(shape []byte, room []shapeSpan) (uint64, []shapeSpan) {
	spans := room[:0]
	for ; len(shape) >= shapeBytes; shape = shape[shapeBytes:] {
		spans = append(spans, shapeSpan{
			binary.LittleEndian.Uint64(shape), binary.LittleEndian.Uint64(shape[8:]), binary.LittleEndian.Uint64(shape[16:]), 0,
		})
	}
	// A server span may have its client's ID: whoever has the larger hash is the parent of the spans below.
	slices.SortFunc(spans, func(x, y shapeSpan) int { return cmp.Or(cmp.Compare(x.id, y.id), cmp.Compare(y.what, x.what)) })
	var b [16]byte
	for i, s := range spans {
		parent := uint64(1) // not among the spans
		if s.parent == 0 {
			parent = 0
		} else if at, ok := slices.BinarySearchFunc(spans, s.parent, func(x shapeSpan, id uint64) int { return cmp.Compare(x.id, id) }); ok {
			parent = spans[at].what
		}
		binary.LittleEndian.PutUint64(b[:], parent)
		binary.LittleEndian.PutUint64(b[8:], s.what)
		spans[i].edge = xxhash.Sum64(b[:])
	}
	slices.SortFunc(spans, func(x, y shapeSpan) int { return cmp.Compare(x.edge, y.edge) })
	var d xxhash.Digest
	d.Reset()
	for i, s := range spans {
		if i == 0 || s.edge != spans[i-1].edge {
			binary.LittleEndian.PutUint64(b[:], s.edge)
			_, _ = d.Write(b[:8])
		}
	}
	return d.Sum64(), spans
}
