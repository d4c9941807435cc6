package policies

import (
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

// shapeOf returns the hash of a trace's shape.
func shapeOf(shape []byte) uint64 {
	type span struct{ id, parent, what uint64 }
	spans := make([]span, 0, len(shape)/shapeBytes)
	at := make(map[uint64]uint64, len(shape)/shapeBytes)
	for ; len(shape) >= shapeBytes; shape = shape[shapeBytes:] {
		s := span{
			binary.LittleEndian.Uint64(shape), binary.LittleEndian.Uint64(shape[8:]), binary.LittleEndian.Uint64(shape[16:]),
		}
		spans = append(spans, s)
		// A server span may have its client's ID: then it is the parent of the spans below, and so is whoever has the larger hash.
		at[s.id] = max(at[s.id], s.what)
	}
	edges := make([]uint64, 0, len(spans))
	var b [16]byte
	for _, s := range spans {
		parent := uint64(1) // not among the spans
		if s.parent == 0 {
			parent = 0
		} else if what, ok := at[s.parent]; ok {
			parent = what
		}
		binary.LittleEndian.PutUint64(b[:], parent)
		binary.LittleEndian.PutUint64(b[8:], s.what)
		edges = append(edges, xxhash.Sum64(b[:]))
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var d xxhash.Digest
	d.Reset()
	for _, e := range edges {
		binary.LittleEndian.PutUint64(b[:], e)
		_, _ = d.Write(b[:8])
	}
	return d.Sum64()
}
