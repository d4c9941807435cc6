package wire

import (
	"errors"
	"fmt"
	"slices"
)

// SplitOptions says how a Splitter cuts requests.
type SplitOptions struct {
	Partitions  int  // number of partitions of the log, at least 1
	MaxFragment int  // bytes of the largest fragment, 0: no limit
	Deep        bool // validate spans and headers to the bottom, not only framing and IDs

	// MaxOutput is how many bytes the fragments of one request may have together; 0 means 64 MiB plus four times the
	// request. Each fragment repeats the resources and scopes of its spans, so a small request with a large resource and
	// many traces could otherwise be made to fill the memory.
	MaxOutput int
}

// A Splitter cuts requests into fragments, each with spans of one partition only. It is used again and again and allocates
// nothing in steady state besides the bytes of the fragments, if it is not given memory for them.
type Splitter struct {
	o       SplitOptions
	scratch Scratch

	resources []splitHeader
	scopes    []splitScope
	spans     []splitSpan
	starts    []uint32 // by partition: where its spans begin in order
	order     []uint32 // spans by partition, otherwise as on the wire
	sizes     []int    // of the ResourceSpans and ScopeSpans messages of all fragments, in the order in which they begin
	cuts      []cut
	fragments []Fragment
	out       Split
}

type splitHeader struct {
	bytes []byte
	err   error // why the spans under it cannot be taken
	used  bool  // a span under it was taken; otherwise the next one takes its place
}

type splitScope struct {
	splitHeader
	resource uint32
}

type splitSpan struct {
	raw       []byte
	scope     uint32
	partition uint32
}

// A cut is a fragment that has not been written yet.
type cut struct {
	lo, hi uint32 // in order
	size   int
}

// A Fragment is a valid OTLP request with spans of one partition.
type Fragment struct {
	Partition int
	Spans     int
	Bytes     []byte // part of Split.Bytes
}

// A Split is the outcome of splitting a request.
type Split struct {
	// Fragments are in ascending order of partition. Several of one partition keep the order of the request. The slice is
	// valid until the next call of the Splitter; the bytes belong to the caller.
	Fragments []Fragment
	// Bytes is the memory that was given to Split, or memory that took its place, with all fragments appended.
	Bytes []byte

	Spans     int // in fragments
	Damaged   int // dropped because they, their resource or their scope cannot be decoded
	NoTraceID int // dropped because the trace ID is absent or zero
	NoSpanID  int // dropped because the span ID is absent or zero
	Oversized int // dropped because the span alone makes a fragment larger than MaxFragment

	// Reason says why the first span that was dropped for being invalid, or if there is none the first that is oversized,
	// was dropped. It is nil if none was. errors.Is tells which of the package's errors it is.
	Reason error
}

// Dropped returns the number of spans that are in no fragment.
func (s *Split) Dropped() int { return s.Damaged + s.NoTraceID + s.NoSpanID + s.Oversized }

// NewSplitter returns a Splitter. It panics if there is no partition.
func NewSplitter(o SplitOptions) *Splitter {
	if o.Partitions < 1 {
		panic("wire: a Splitter needs at least one partition")
	}
	return &Splitter{o: o, starts: make([]uint32, o.Partitions+1)}
}

// Split cuts req into fragments, which it appends to dst. A span that cannot be taken is dropped and counted, and the others go
// on. The error is a *FormatError if the framing above the spans is damaged, so that it is not known where they are, and
// wraps ErrTooLarge if the fragments would exceed MaxOutput. Then no fragment is written.
func (s *Splitter) Split(dst, req []byte) (Split, error) {
	defer s.release()
	if err := Walk(req, &s.scratch, (*splitVisitor)(s)); err != nil {
		return Split{Bytes: dst}, err
	}
	s.sort()
	limit := s.o.MaxOutput
	if limit == 0 {
		limit = 64<<20 + 4*len(req)
	}
	total, ok := s.plan(limit)
	if !ok {
		return Split{Bytes: dst}, fmt.Errorf("fragments of a request of %d bytes, which repeat its resources and scopes: "+
			"%w (limit %d bytes)", len(req), ErrTooLarge, limit)
	}
	s.write(slices.Grow(dst, total))
	return s.out, nil
}

// release lets go of the bytes of the request.
func (s *Splitter) release() {
	s.resources = emptied(s.resources)
	s.scopes = emptied(s.scopes)
	s.spans = emptied(s.spans)
	s.order = emptied(s.order)
	s.sizes = emptied(s.sizes)
	s.cuts = emptied(s.cuts)
	s.out = Split{}
	if cap(s.scratch.buf) > 16*maxKept || cap(s.scratch.tails) > maxKept {
		s.scratch = Scratch{}
	}
}

// drop counts a span that is not taken.
func (s *Splitter) drop(err error) {
	switch {
	case errors.Is(err, ErrTraceID):
		s.out.NoTraceID++
	case errors.Is(err, ErrSpanID):
		s.out.NoSpanID++
	default:
		s.out.Damaged++
	}
	if s.out.Reason == nil {
		s.out.Reason = err
	}
}

// splitVisitor collects the spans of a request for a Splitter.
type splitVisitor Splitter

func (v *splitVisitor) Resource(header []byte) error {
	// A message without spans takes two bytes on the wire. Millions of them must not fill the memory with headers.
	n := len(v.resources)
	if n > 0 && !v.resources[n-1].used {
		n--
	}
	h := splitHeader{bytes: header}
	if v.o.Deep {
		h.err = ValidateResource(header)
	}
	v.resources = append(v.resources[:n], h)
	return nil
}

func (v *splitVisitor) Scope(header []byte) error {
	r := len(v.resources) - 1
	h := splitHeader{bytes: header, err: v.resources[r].err}
	if v.o.Deep && h.err == nil {
		h.err = ValidateScope(header)
	}
	n := len(v.scopes)
	if n > 0 && !v.scopes[n-1].used {
		n--
	}
	v.scopes = append(v.scopes[:n], splitScope{h, uint32(r)})
	return nil
}

func (v *splitVisitor) Span(raw []byte) error {
	n := len(v.scopes) - 1
	scope := &v.scopes[n]
	err := scope.err
	var ids spanIDs
	if err == nil {
		err = ids.scan(raw, v.o.Deep)
	}
	if err == nil {
		err = ids.present()
	}
	if err != nil {
		(*Splitter)(v).drop(err)
		return nil
	}
	p := Partition(ids.trace, v.o.Partitions)
	v.spans = append(v.spans, splitSpan{raw: raw, scope: uint32(n), partition: uint32(p)})
	scope.used = true
	v.resources[scope.resource].used = true
	return nil
}
