package wire

import "math"

// Field numbers of the upper levels.
const (
	fieldResourceSpans        = 1 // in a request
	fieldScopeSpans           = 2 // in ResourceSpans
	fieldSpans                = 2 // in ScopeSpans
	fieldDeprecatedScopeSpans = 1000

	tagSpans = fieldSpans<<3 | wireLen
)

// A Visitor is given the parts of a request in wire order, except that the header of a ResourceSpans or ScopeSpans message comes
// before its content wherever it stands on the wire. Headers are valid until the next Walk with the same Scratch and as
// long as the request, spans as long as the request. An error ends the walk.
type Visitor interface {
	// Resource begins a ResourceSpans message. header holds its fields other than scope_spans.
	Resource(header []byte) error
	// Scope begins a ScopeSpans message of the latest resource. header holds its fields other than spans.
	Scope(header []byte) error
	// Span is a span of the latest scope. Its inside has not been looked at.
	Span(raw []byte) error
}

// Scratch is memory that Walk uses again. The zero value is ready.
type Scratch struct {
	buf []byte // headers that are not contiguous on the wire

	// tails has, for each ScopeSpans of the request, the offset of the first field that stands behind a span and is not one,
	// or 0. So a scope's header is known without a second look at its spans.
	tails []uint32

	// reserve, if not nil, is asked about memory beyond charged.
	reserve func(bytes int) error
	charged int
}

// charge asks about what has been taken since the last time. It is called often enough that no more than as much again has been
// taken meanwhile.
func (s *Scratch) charge() error {
	held := cap(s.buf) + 4*cap(s.tails)
	if s.reserve == nil || held <= s.charged {
		return nil
	}
	more := held - s.charged
	s.charged = held
	return s.reserve(more)
}

// Walk shows the content of an ExportTraceServiceRequest or TracesData message to v. The framing of the request, its
// ResourceSpans and its ScopeSpans is checked to the end before v is called: on a *FormatError, v has seen nothing. The
// contents of resources, scopes and spans are not checked. Fields of the request other than resource_spans are skipped.
// An error of v ends the walk and is returned as it is. scratch must not be nil.
func Walk(req []byte, scratch *Scratch, v Visitor) error {
	scratch.buf, scratch.tails = scratch.buf[:0], scratch.tails[:0]
	if len(req) > math.MaxInt32 {
		return &FormatError{Message: "request", Err: ErrTooLarge}
	}
	if err := scratch.checkRequest(req); err != nil {
		return err
	}
	tails := scratch.tails
	for pos := 0; pos < len(req); {
		num, _, body, end := readField(req, pos)
		pos = end
		if num != fieldResourceSpans {
			continue
		}
		header := scratch.header(req[:end], body, 0)
		if err := scratch.charge(); err != nil {
			return err
		}
		if err := v.Resource(header); err != nil {
			return err
		}
		for at := body; at < end; {
			num, _, body, scopeEnd := readField(req, at)
			at = scopeEnd
			if num != fieldScopeSpans {
				continue
			}
			tail := tails[0]
			tails = tails[1:]
			if err := scratch.visitScope(req[:scopeEnd], body, int(tail), v); err != nil {
				return err
			}
		}
	}
	return nil
}

// visitScope visits the ScopeSpans message from body to the end of b, which checkRequest has found well framed.
func (s *Scratch) visitScope(b []byte, body, tail int, v Visitor) error {
	var header []byte
	pos := body
	if tail == 0 {
		header = leadingHeader(b, body)
		pos += len(header)
	} else {
		header = s.header(b, body, tail)
		if err := s.charge(); err != nil {
			return err
		}
	}
	if err := v.Scope(header); err != nil {
		return err
	}
	for pos < len(b) {
		num, _, start, next := readField(b, pos)
		pos = next
		if num != fieldSpans {
			continue
		}
		if err := v.Span(b[start:next:next]); err != nil {
			return err
		}
	}
	return nil
}

// leadingHeader returns the fields before the first span of a ScopeSpans message that has no others.
func leadingHeader(b []byte, body int) []byte {
	pos := body
	for pos < len(b) && b[pos] != tagSpans {
		num, _, _, next := readField(b, pos)
		if num == fieldSpans {
			break
		}
		pos = next
	}
	return b[body:pos:pos]
}

// header returns the fields other than number 2 of the message from body to the end of b. They are copied only if they
// are not contiguous. A tail other than 0 is the offset of the first such field behind one of number 2.
func (s *Scratch) header(b []byte, body, tail int) []byte {
	lo, hi := body, body // a run of fields not copied yet
	start := len(s.buf)
	for pos := body; pos < len(b); {
		num, _, _, next := readField(b, pos)
		if num == 2 {
			if pos < tail {
				next = tail
			}
			pos = next
			continue
		}
		if pos != hi {
			s.buf = append(s.buf, b[lo:hi]...)
			lo = pos
		}
		hi = next
		pos = next
	}
	if len(s.buf) == start {
		return b[lo:hi:hi]
	}
	s.buf = append(s.buf, b[lo:hi]...)
	return s.buf[start:len(s.buf):len(s.buf)]
}
