package wire

import "slices"

// Tag bytes of the upper levels.
const (
	tagResourceSpans = fieldResourceSpans<<3 | wireLen
	tagScopeSpans    = fieldScopeSpans<<3 | wireLen
)

// maxKept is the number of elements up to which memory is kept for the next use. One giant trace or request should not
// leave its owner giant for ever.
const maxKept = 1 << 16

// Headers gives the bytes of resource and scope headers by number.
type Headers interface {
	// AppendTo appends the header with number id to dst.
	AppendTo(dst []byte, id uint32) []byte
}

// An Assembler puts spans together to one OTLP request: grouped by resource and then by scope, groups in the order in which
// they are first seen, spans of a group in the order in which they were added, lengths in shortest form. The zero value is
// ready; it is used again without allocating.
type Assembler struct {
	groups    numbering // resource and scope number
	resources numbering // resource number

	pieces []piece
	scopes []scopeGroup    // by number in groups
	outer  []resourceGroup // by number in resources
	buf    []byte          // headers
}

type piece struct {
	span []byte
	next uint32 // the next piece of the group plus 1, or 0
}

type scopeGroup struct {
	id          uint32
	resource    uint32
	first, last uint32 // pieces, plus 1
	next        uint32 // the next group of the resource plus 1, or 0
	lo, hi      int    // header in buf
	size        int    // of the ScopeSpans message
}

type resourceGroup struct {
	id          uint32
	first, last uint32 // groups, plus 1
	lo, hi      int    // header in buf
	size        int    // of the ResourceSpans message
}

// Add adds a span of the resource and scope with the given header numbers. The span is aliased until AppendTo or Reset. A
// scope number may occur under several resources; at most 2^32-2 spans may be added.
func (a *Assembler) Add(resource, scope uint32, span []byte) {
	g, fresh := a.groups.number(uint64(resource)<<32 | uint64(scope))
	if fresh {
		r, fresh := a.resources.number(uint64(resource))
		if fresh {
			a.outer = append(a.outer, resourceGroup{id: resource})
		}
		a.scopes = append(a.scopes, scopeGroup{id: scope, resource: uint32(r)})
		if out := &a.outer[r]; out.first == 0 {
			out.first, out.last = uint32(g)+1, uint32(g)+1
		} else {
			a.scopes[out.last-1].next = uint32(g) + 1
			out.last = uint32(g) + 1
		}
	}
	a.pieces = append(a.pieces, piece{span: span})
	n := uint32(len(a.pieces))
	group := &a.scopes[g]
	if group.first == 0 {
		group.first = n
	} else {
		a.pieces[group.last-1].next = n
	}
	group.last = n
	group.size += fieldLen(len(span))
}

// Len returns the number of spans added since the last AppendTo or Reset.
func (a *Assembler) Len() int { return len(a.pieces) }

// AppendTo appends the request made of the spans added to dst, and forgets them. Requests appended one after the other are
// together a request again. Nothing is appended if nothing was added.
func (a *Assembler) AppendTo(dst []byte, h Headers) []byte {
	total := 0
	for i := range a.outer {
		out := &a.outer[i]
		out.lo = len(a.buf)
		a.buf = h.AppendTo(a.buf, out.id)
		out.hi = len(a.buf)
		out.size = out.hi - out.lo
		for g := out.first; g != 0; {
			group := &a.scopes[g-1]
			group.lo = len(a.buf)
			a.buf = h.AppendTo(a.buf, group.id)
			group.hi = len(a.buf)
			group.size += group.hi - group.lo
			out.size += fieldLen(group.size)
			g = group.next
		}
		total += fieldLen(out.size)
	}
	dst = slices.Grow(dst, total)
	for i := range a.outer {
		out := &a.outer[i]
		dst = appendVarint(append(dst, tagResourceSpans), uint64(out.size))
		dst = append(dst, a.buf[out.lo:out.hi]...)
		for g := out.first; g != 0; {
			group := &a.scopes[g-1]
			dst = appendVarint(append(dst, tagScopeSpans), uint64(group.size))
			dst = append(dst, a.buf[group.lo:group.hi]...)
			for p := group.first; p != 0; {
				piece := &a.pieces[p-1]
				dst = appendField(dst, tagSpans, piece.span)
				p = piece.next
			}
			g = group.next
		}
	}
	a.Reset()
	return dst
}

// Held returns about the bytes that are kept for the next use.
func (a *Assembler) Held() int {
	return cap(a.pieces)*32 + cap(a.scopes)*56 + cap(a.outer)*48 + cap(a.buf) + a.groups.held() + a.resources.held()
}

// Reset forgets the spans added.
func (a *Assembler) Reset() {
	a.groups.reset()
	a.resources.reset()
	a.pieces = emptied(a.pieces)
	a.scopes = emptied(a.scopes)
	a.outer = emptied(a.outer)
	if cap(a.buf) > 64*maxKept {
		a.buf = nil
	}
	a.buf = a.buf[:0]
}

// emptied returns s without elements, or nil if it has become so large that its memory should not be kept. The elements are
// cleared, so that they do not hold on to the bytes they alias.
func emptied[T any](s []T) []T {
	if cap(s) > maxKept {
		return nil
	}
	clear(s)
	return s[:0]
}
