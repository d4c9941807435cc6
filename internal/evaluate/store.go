package evaluate

import (
	"fmt"
	"math"
	"slices"

	"thresher/internal/wire"
)

// A Store holds spans by trace. The zero value is ready; it belongs to one goroutine.
type Store struct {
	traces []stored
	byID   map[wire.TraceID]uint32
	spans  []span
	slabs  [][]byte

	headers  [][]byte
	numbers  map[string]uint32
	messages uint64 // ResourceSpans and ScopeSpans messages so far
	scratch  wire.Scratch
}

// stored is a trace.
type stored struct {
	id          wire.TraceID
	first, last uint32 // spans, plus 1
	spans       int
	bytes       uint64
	start, end  uint64 // Unix nanoseconds; the smallest and largest known, 0: none

	resourceNo, scopeNo uint64 // of the messages that its last span came in
}

// span is a span message in a slab.
type span struct {
	slab, at, size  uint32
	resource, scope uint32
	next            uint32 // the next span of the trace plus 1, or 0

	newResource, newScope bool // it came in another message than the span of the trace before it
}

// slabSize is what memory for spans comes in. A larger span has a slab of its own.
const slabSize = 4 << 20

// Add takes the spans of a TracesData message. The error says why some of them are left out, or all.
func (s *Store) Add(otlp []byte) error {
	a := adder{s: s}
	if err := wire.Walk(otlp, &s.scratch, &a); err != nil {
		return err
	}
	switch a.refused {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("a span is left out: %w", a.reason)
	}
	return fmt.Errorf("%d spans are left out, the first because: %w", a.refused, a.reason)
}

// Len returns the number of traces.
func (s *Store) Len() int { return len(s.traces) }

// Find returns the IDs of the traces whose ID in hexadecimal begins with a text. Zeros in front may be left out, as in the IDs of
// 64 bits that Jaeger shows.
func (s *Store) Find(prefix string) []wire.TraceID {
	var whole, short []wire.TraceID
	for i := range s.traces {
		id := s.traces[i].id
		text := fmt.Sprintf("%x", id)
		if len(text) >= len(prefix) && text[:len(prefix)] == prefix {
			whole = append(whole, id)
		} else if text = trimZeros(text); len(text) >= len(prefix) && text[:len(prefix)] == prefix {
			short = append(short, id)
		}
	}
	if len(whole) == 0 {
		return short
	}
	return whole
}

func trimZeros(id string) string {
	for len(id) > 1 && id[0] == '0' {
		id = id[1:]
	}
	return id
}

// adder is the visitor of a message.
type adder struct {
	s               *Store
	resource, scope []byte
	resourceID      uint32 // plus 1; 0: not known yet
	scopeID         uint32
	resourceNo      uint64 // of the message
	scopeNo         uint64
	damaged         error // the resource or scope, so no span of it can be taken
	ofResource      error
	scan            wire.Span

	refused int
	reason  error
}

func (a *adder) Resource(header []byte) error {
	a.resource, a.resourceID = header, 0
	a.s.messages++
	a.resourceNo = a.s.messages
	a.ofResource = wire.ValidateResource(header)
	return nil
}

func (a *adder) Scope(header []byte) error {
	a.scope, a.scopeID = header, 0
	a.s.messages++
	a.scopeNo = a.s.messages
	if a.damaged = a.ofResource; a.damaged == nil {
		a.damaged = wire.ValidateScope(header)
	}
	return nil
}

func (a *adder) Span(raw []byte) error {
	err := a.damaged
	if err == nil {
		err = wire.Validate(raw)
	}
	if err == nil {
		err = wire.ScanSpan(raw, nil, &a.scan)
	}
	if err == nil && len(a.s.spans) == math.MaxUint32-1 {
		err = fmt.Errorf("there are more than %d spans", len(a.s.spans))
	}
	if err != nil {
		if a.refused++; a.reason == nil {
			a.reason = err
		}
		return nil
	}
	if a.resourceID == 0 {
		a.resourceID = a.s.number(a.resource) + 1
	}
	if a.scopeID == 0 {
		a.scopeID = a.s.number(a.scope) + 1
	}
	a.s.add(raw, a)
	return nil
}

// number returns the number of a header.
func (s *Store) number(header []byte) uint32 {
	n, ok := s.numbers[string(header)]
	if !ok {
		if s.numbers == nil {
			s.numbers = map[string]uint32{}
		}
		n = uint32(len(s.headers))
		s.headers = append(s.headers, slices.Clone(header))
		s.numbers[string(header)] = n
	}
	return n
}

// add takes the span that was scanned last.
func (s *Store) add(raw []byte, from *adder) {
	scan := &from.scan
	no, ok := s.byID[scan.TraceID]
	if !ok {
		if s.byID == nil {
			s.byID = map[wire.TraceID]uint32{}
		}
		no = uint32(len(s.traces))
		s.byID[scan.TraceID] = no
		s.traces = append(s.traces, stored{id: scan.TraceID})
	}
	slab, at := s.copy(raw)
	t := &s.traces[no]
	s.spans = append(s.spans, span{
		slab: slab, at: at, size: uint32(len(raw)), resource: from.resourceID - 1, scope: from.scopeID - 1,
		newResource: t.resourceNo != from.resourceNo, newScope: t.scopeNo != from.scopeNo,
	})
	t.resourceNo, t.scopeNo = from.resourceNo, from.scopeNo
	number := uint32(len(s.spans))
	if t.first == 0 {
		t.first = number
	} else {
		s.spans[t.last-1].next = number
	}
	t.last = number
	t.spans++
	t.bytes += uint64(len(raw))
	if scan.Start != 0 && (t.start == 0 || scan.Start < t.start) {
		t.start = scan.Start
	}
	t.end = max(t.end, scan.End, scan.Start)
}

func (s *Store) copy(raw []byte) (slab, at uint32) {
	n := len(s.slabs) - 1
	if n < 0 || len(s.slabs[n])+len(raw) > cap(s.slabs[n]) {
		s.slabs = append(s.slabs, make([]byte, 0, max(slabSize, len(raw))))
		n++
	}
	at = uint32(len(s.slabs[n]))
	s.slabs[n] = append(s.slabs[n], raw...)
	return uint32(n), at
}

func (s *Store) raw(sp *span) []byte { return s.slabs[sp.slab][sp.at : sp.at+sp.size : sp.at+sp.size] }

// record puts a trace together as one record of the log. Spans stay in the order and in the messages in which they came: with
// compat: strict the duration that a latency policy goes by depends on the order, and the size that a limit on bytes goes by on
// how often a resource and a scope are there.
func (s *Store) record(t *stored, asm *wire.Assembler, dst []byte) []byte {
	p := piece{store: s}
	for n := t.first; n != 0; {
		sp := &s.spans[n-1]
		if sp.newResource {
			dst = asm.AppendTo(dst, &p)
			p.scopes = p.scopes[:0]
		}
		if sp.newScope {
			p.scopes = append(p.scopes, sp.scope)
		}
		asm.Add(sp.resource, uint32(len(s.headers)+len(p.scopes)-1), s.raw(sp))
		n = sp.next
	}
	return asm.AppendTo(dst, &p)
}

// A piece of a trace is what came in one ResourceSpans message. It is the wire.Headers of its spans: the numbers behind those of
// all headers are those of its ScopeSpans messages, so that two with equal headers are not put together.
type piece struct {
	store  *Store
	scopes []uint32 // their headers
}

func (p *piece) AppendTo(dst []byte, id uint32) []byte {
	if n := int(id) - len(p.store.headers); n >= 0 {
		id = p.scopes[n]
	}
	return append(dst, p.store.headers[id]...)
}
