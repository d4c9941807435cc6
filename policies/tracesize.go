package policies

import "thresher/internal/wire"

// A traceSize adds up the size of traces as the Collector counts it: that of a request with nothing but the
// trace, as pdata writes it. Each ResourceSpans message that has spans of the trace is a piece of its own, with its resource
// and, for each of its ScopeSpans, the scope; a span that comes twice is there twice.
type traceSize struct {
	word int // the first of sizeWords words
}

// The words of a trace. Spans come message by message, so only the last piece, and its last scope, can still grow.
const (
	sizeClosed = iota // of the pieces before the open one
	sizeBodies        // of these, without the tag and length of each
	sizePiece         // of the open piece, its tag and length and its open scope not included
	sizeScope         // of its open scope, tag and length not included
	sizeLast          // 1 more than the number of the open scope; 0: there was no span yet
	sizeWords
)

// Size returns the size of a trace as the Collector counts it for maximum_trace_size_bytes, that of its pieces by themselves, by
// what MatchSpan left of its spans. It is 0 if the plan was made without Options.Sizes, or without Options.Strict.
func (p *Plan) Size(matches []uint64) uint64 {
	if !p.sizes {
		return 0
	}
	return p.scan.size.bodies(matches)
}

func (c *compiler) traceSize() *traceSize {
	if c.size == nil {
		c.size = &traceSize{}
	}
	return c.size
}

// add takes a span into the size of its trace.
func (z *traceSize) add(s *wire.Span, c *Context, matches []uint64, scope *scopeSize) {
	w := matches[z.word : z.word+sizeWords]
	if w[sizeLast] != c.ScopeNo+1 {
		if w[sizeLast] <= c.ResourceNo { // a scope of an earlier resource, or none
			w[sizeClosed], w[sizeBodies] = z.of(matches), z.bodies(matches)
			w[sizePiece] = z.ofResource(c)
		} else {
			w[sizePiece] += fieldSize(int(w[sizeScope]))
		}
		w[sizeScope] = scope.of(c)
		w[sizeLast] = c.ScopeNo + 1
	}
	w[sizeScope] += fieldSize(wire.RemarshalledSpan(s.Raw))
}

// A scopeSize is the size of the last scope, tag and length included: many traces can have spans of it.
type scopeSize struct{ no, size uint64 }

func (z *scopeSize) of(c *Context) uint64 {
	if no := c.ScopeNo + 1; z.no != no {
		*z = scopeSize{no, fieldSize(wire.RemarshalledScope(c.Scope))}
	}
	return z.size
}

// ofResource returns the size of a resource, tag and length included. It is kept in a word of the resource, which traces use for
// theirs: the next trace with spans of it need not measure it again.
func (z *traceSize) ofResource(c *Context) uint64 {
	if len(c.Matches) == 0 {
		return fieldSize(wire.RemarshalledResource(c.Resource))
	}
	kept := &c.Matches[z.word+sizePiece]
	if *kept == 0 {
		*kept = fieldSize(wire.RemarshalledResource(c.Resource))
	}
	return *kept
}

// of returns the size of a trace.
func (z *traceSize) of(matches []uint64) uint64 {
	w := matches[z.word : z.word+sizeWords]
	if w[sizeLast] == 0 {
		return 0
	}
	return w[sizeClosed] + fieldSize(int(w[sizePiece]+fieldSize(int(w[sizeScope]))))
}

// bodies returns the same without the tag and length of each piece.
func (z *traceSize) bodies(matches []uint64) uint64 {
	w := matches[z.word : z.word+sizeWords]
	if w[sizeLast] == 0 {
		return 0
	}
	return w[sizeBodies] + w[sizePiece] + fieldSize(int(w[sizeScope]))
}

func fieldSize(n int) uint64 { return uint64(wire.FieldSize(n)) }
