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

	// Reserve, if not nil, is asked before memory is taken in proportion to a request: for the list of its spans and headers as
	// it grows, and for its fragments. The request is given up with its error. Lists that were large are not kept, small ones
	// are asked for once.
	Reserve func(bytes int) error
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
	return &Splitter{o: o, starts: make([]uint32, o.Partitions+1), scratch: Scratch{reserve: o.Reserve}}
}

// Split cuts req into fragments, which it appends to dst. A span that cannot be taken is dropped and counted, and the others go
// on. The error is a *FormatError if the framing above the spans is damaged, so that it is not known where they are, and
// wraps ErrTooLarge if the fragments would exceed MaxOutput. Then no fragment is written.
func (s *Splitter) Split(dst, req []byte) (Split, error) {
	defer s.release()
	if err := Walk(req, &s.scratch, (*splitVisitor)(s)); err != nil {
		return Split{Bytes: dst}, err
	}
	if err := s.reserve(len(s.spans) * planBytes); err != nil {
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
	if free := cap(dst) - len(dst); free < total {
		if err := s.reserve(total - free); err != nil {
			return Split{Bytes: dst}, err
		}
	}
	s.write(slices.Grow(dst, total))
	return s.out, nil
}

func (s *Splitter) reserve(bytes int) error {
	if s.o.Reserve == nil || bytes == 0 {
		return nil
	}
	return s.o.Reserve(bytes)
}

// Bytes of the elements of lists on a machine of 64 bits.
const (
	headerBytes = 48
	scopeBytes  = headerBytes + 8
	spanBytes   = 32
	planBytes   = 4 + 2*8 + 16 // of a span in order, and in sizes and cuts if each is in a scope and a fragment of its own
)

// roomFor makes room for one more element of some bytes.
func roomFor[T any](s *Splitter, list []T, bytes int) ([]T, error) {
	if len(list) < cap(list) {
		return list, nil
	}
	more := max(4, len(list))
	if err := s.reserve(more * bytes); err != nil {
		return list, err
	}
	return append(make([]T, 0, len(list)+more), list...), nil
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
		s.scratch = Scratch{reserve: s.o.Reserve}
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
	var err error
	if v.resources, err = roomFor((*Splitter)(v), v.resources[:n], headerBytes); err != nil {
		return err
	}
	v.resources = append(v.resources, h)
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
	var err error
	if v.scopes, err = roomFor((*Splitter)(v), v.scopes[:n], scopeBytes); err != nil {
		return err
	}
	v.scopes = append(v.scopes, splitScope{h, uint32(r)})
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
	if v.spans, err = roomFor((*Splitter)(v), v.spans, spanBytes); err != nil {
		return err
	}
	p := Partition(ids.trace, v.o.Partitions)
	v.spans = append(v.spans, splitSpan{raw: raw, scope: uint32(n), partition: uint32(p)})
	scope.used = true
	v.resources[scope.resource].used = true
	return nil
}
