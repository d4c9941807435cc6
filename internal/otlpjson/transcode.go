package otlpjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"thresher/internal/wire"
)

// MaxDepth is how deeply arrays and objects may be nested. It admits every request whose attribute values are nested no deeper
// than wire.MaxDepth. A map value takes four levels of JSON: {"kvlistValue":{"values":[{"value": and so on.
const MaxDepth = 4*wire.MaxDepth + 16

// maxUnknown is how many unknown names a Result has.
const maxUnknown = 3

// Memory is where a transcoder has its memory from. An error ends the transcoding.
type Memory interface {
	// Grow returns b with room for n more bytes behind its length, as slices.Grow does.
	Grow(b []byte, n int) ([]byte, error)
	// Take is told that n more bytes are held until the end of the transcoding.
	Take(n int) error
}

// A Result is a request in protobuf.
type Result struct {
	// Bytes is what was given to append to, or memory that took its place, with the request appended. It is set after an
	// error too.
	Bytes []byte
	Spans int
	// Unknown are the first names that are not of OTLP, as JSON pointers.
	Unknown []string
}

// Append reads a request in JSON and appends it to dst in protobuf. A *bytes.Buffer is read in place and keeps its content.
// An error of the reader comes back as it is; the others are about the JSON.
func Append(dst []byte, from io.Reader, memory Memory) (Result, error) {
	t := transcoder{out: dst, memory: memory}
	source := &source{from: from, t: &t}
	if _, ok := from.(*bytes.Buffer); !ok {
		from = source
	}
	// The decoder would keep the names of an object to find duplicates; protobuf defines what several fields of one number mean.
	t.in = jsontext.NewDecoder(from, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	err := t.request()
	if source.err != nil {
		err = source.err
	}
	return Result{Bytes: t.out, Spans: t.spans, Unknown: t.unknown}, err
}

// A source is what the decoder reads from. The decoder keeps what it has read of a token, in a buffer that doubles.
type source struct {
	from io.Reader
	t    *transcoder
	read int64
	held int   // what has been taken for the decoder's buffer
	err  error // of from or of memory
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if pending := int(s.read - s.t.in.InputOffset()); 2*(pending+len(p)) > s.held {
		more := max(2*(pending+len(p)), 2*s.held) - s.held
		if s.err = s.t.memory.Take(more); s.err != nil {
			return 0, s.err
		}
		s.held += more
	}
	n, err := s.from.Read(p)
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// A transcoder is at one place of the input. What has been read is in out. Behind its length is the room in which strings lose
// their escapes before they are written.
type transcoder struct {
	in      *jsontext.Decoder
	out     []byte
	memory  Memory
	spans   int
	unknown []string
}

func (t *transcoder) request() error {
	if err := t.object(request); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && t.in.InputOffset() == 0 {
			return errors.New("the request ends before it has begun")
		}
		return err
	}
	if _, err := t.in.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the request, which ends at byte %d, there is something else", t.in.InputOffset())
	}
	return nil
}

// object reads an object, or null for one without fields, and writes its fields.
func (t *transcoder) object(m message) error {
	switch k := t.in.PeekKind(); k {
	case jsontext.KindNull:
		return t.skip()
	case jsontext.KindBeginObject:
	default:
		return t.unexpected(k, "an object")
	}
	if err := t.skip(); err != nil {
		return err
	}
	var written uint32 // fields, as bits
	for t.in.PeekKind() == jsontext.KindString {
		name, err := t.name()
		if err != nil {
			return err
		}
		f := m.lookup(name)
		if f.kind == unknown {
			if len(t.unknown) < maxUnknown {
				t.unknown = append(t.unknown, t.at(name))
			}
			if err := t.skipDeep(); err != nil {
				return err
			}
			continue
		}
		// Fields that are zero are left out, unless they take back what an earlier field of the name said.
		bit := uint32(1) << f.number
		if err := t.field(f, f.oneof || written&bit != 0); err != nil {
			return err
		}
		written |= bit
	}
	return t.skip()
}

// field reads the value of a field and writes it.
func (t *transcoder) field(f field, evenZero bool) error {
	switch f.kind {
	case object:
		return t.nested(f)
	case objects:
		return t.array(func() error {
			if f.of == span {
				t.spans++
			}
			return t.nested(f)
		})
	case texts:
		return t.array(func() error { return t.scalar(field{number: f.number, kind: text}, true) })
	}
	return t.scalar(f, evenZero)
}

// array reads an array, or null for an empty one.
func (t *transcoder) array(element func() error) error {
	switch k := t.in.PeekKind(); k {
	case jsontext.KindNull:
		return t.skip()
	case jsontext.KindBeginArray:
	default:
		return t.unexpected(k, "an array")
	}
	if err := t.skip(); err != nil {
		return err
	}
	for {
		switch t.in.PeekKind() {
		case jsontext.KindEndArray:
			return t.skip()
		case jsontext.KindInvalid:
			return t.skip() // it says what is wrong
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// nested reads an object and writes it as a field: tag, length, fields. The length is known at the end, so room is left for a
// short one, and what has been written moves when it is not. No byte moves more often than it is nested deep.
func (t *transcoder) nested(f field) error {
	if err := t.room(tagRoom + 1); err != nil {
		return err
	}
	t.out = append(protowire.AppendTag(t.out, f.number, protowire.BytesType), 0)
	start := len(t.out)
	if err := t.object(f.of); err != nil {
		return err
	}
	n := len(t.out) - start
	more := protowire.SizeVarint(uint64(n)) - 1
	if more > 0 {
		if err := t.room(more); err != nil {
			return err
		}
		t.out = t.out[:len(t.out)+more]
		copy(t.out[start+more:], t.out[start:start+n])
	}
	protowire.AppendVarint(t.out[:start-1], uint64(n))
	return nil
}

// tagRoom is the longest tag: field numbers are below 2048.
const tagRoom = 2

// room makes room for n more bytes of output.
func (t *transcoder) room(n int) (err error) {
	if cap(t.out)-len(t.out) < n {
		t.out, err = t.memory.Grow(t.out, n)
	}
	return err
}

// at is where the field of the name is, which has just been read.
func (t *transcoder) at(name []byte) string {
	if len(name) > maxShown { // the pointer would be as long
		return shortened(string(name[:maxShown+1]))
	}
	return shortened(string(t.in.StackPointer()))
}

// maxName is how long a name may be. The decoder copies names into its errors.
const maxName = 16 << 10

// name reads the name of a field.
func (t *transcoder) name() ([]byte, error) {
	raw, err := t.in.ReadValue()
	if err != nil {
		return nil, t.syntax(err)
	}
	if len(raw) > maxName {
		return nil, fmt.Errorf("the name of a field has %d bytes: %s", len(raw), shortened(string(raw[:maxShown+1])))
	}
	return t.unquoted(raw)
}

// skip reads a token that says nothing by itself.
func (t *transcoder) skip() error {
	if _, err := t.in.ReadToken(); err != nil {
		return t.syntax(err)
	}
	if t.in.StackDepth() > MaxDepth {
		return fmt.Errorf("arrays and objects are nested deeper than %d levels", MaxDepth)
	}
	return nil
}

// skipDeep reads a value whatever it is.
func (t *transcoder) skipDeep() error {
	depth := t.in.StackDepth()
	for {
		var err error
		if t.in.PeekKind() != jsontext.KindString {
			err = t.skip()
		} else if in, n := t.in.StackIndex(t.in.StackDepth()); in == jsontext.KindBeginObject && n%2 == 0 {
			_, err = t.name()
		} else {
			_, err = t.in.ReadValue()
			err = t.syntax(err)
		}
		if err != nil {
			return err
		}
		if t.in.StackDepth() <= depth {
			return nil
		}
	}
}

func (t *transcoder) syntax(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
