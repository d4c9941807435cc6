package otlpjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"thresher/internal/wire"
)

// MaxDepth is how deeply arrays and objects may be nested. It admits every request whose attribute values are nested no deeper
// than wire.MaxDepth. A map value takes four levels of JSON: {"kvlistValue":{"values":[{"value": and so on.
const MaxDepth = 4*wire.MaxDepth + 16

// maxUnknown is how many unknown names a Result has.
const maxUnknown = 3

// A Grow returns b with room for n more bytes behind its length, as slices.Grow does, or an error that ends the transcoding.
type Grow func(b []byte, n int) ([]byte, error)

// A Result is a request in protobuf.
type Result struct {
	// Bytes is what was given to append to, or memory that took its place, with the request appended. It is set after an
	// error too.
	Bytes []byte
	Spans int
	// Unknown are the first names that are not of OTLP, as JSON pointers.
	Unknown []string
}

// Append appends the request that body is in JSON to dst in protobuf. All memory for it comes from grow; nil stands for
// slices.Grow. body is not changed.
func Append(dst, body []byte, grow Grow) (Result, error) {
	if grow == nil {
		grow = func(b []byte, n int) ([]byte, error) { return slices.Grow(b, n), nil }
	}
	t := transcoder{
		// From a bytes.Buffer the decoder reads in place. It would keep the names of an object to find duplicates; protobuf
		// defines what several fields of one number mean.
		in:   jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
		out:  dst,
		grow: grow,
	}
	err := t.request(body)
	return Result{Bytes: t.out, Spans: t.spans, Unknown: t.unknown}, err
}

// A transcoder is at one place of the input. What has been read is in out. Behind its length is the room in which strings lose
// their escapes before they are written.
type transcoder struct {
	in      *jsontext.Decoder
	out     []byte
	grow    Grow
	spans   int
	unknown []string
}

func (t *transcoder) request(body []byte) error {
	if err := t.object(request); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && len(bytes.TrimSpace(body)) == 0 {
			return errors.New("the body is empty")
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
		t.out, err = t.grow(t.out, n)
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
