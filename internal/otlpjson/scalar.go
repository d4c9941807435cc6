package otlpjson

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
)

// scalar reads a value that is neither object nor array and writes it, unless it is zero and that need not be said.
func (t *transcoder) scalar(f field, evenZero bool) error {
	switch f.kind {
	case text:
		if t.in.PeekKind() == jsontext.KindNull {
			if err := t.skip(); err != nil {
				return err
			}
			return t.bytes(f, nil, evenZero)
		}
		s, err := t.stringValue()
		if err != nil {
			return err
		}
		return t.bytes(f, s, evenZero)
	case base64Bytes:
		s, err := t.stringValue()
		if err != nil {
			return err
		}
		most := base64.StdEncoding.DecodedLen(len(s))
		if err := t.room(spare + most); err != nil {
			return err
		}
		// Where s is if it had escapes. Decoding writes behind where it reads.
		start := len(t.out) + spare
		decoded := t.out[start : start+most]
		n, err := base64.StdEncoding.Decode(decoded, s)
		if err != nil {
			return t.bad(err.Error())
		}
		return t.bytes(f, decoded[:n], evenZero)
	case traceID:
		return t.id(f, 16, "trace", evenZero)
	case spanID:
		return t.id(f, 8, "span", evenZero)
	}
	v, err := t.number(f.kind)
	if err != nil || v == 0 && !evenZero {
		return err
	}
	if err := t.room(tagRoom + 10); err != nil {
		return err
	}
	switch f.kind {
	case fixed32:
		t.out = protowire.AppendFixed32(protowire.AppendTag(t.out, f.number, protowire.Fixed32Type), uint32(v))
	case fixed64, double:
		t.out = protowire.AppendFixed64(protowire.AppendTag(t.out, f.number, protowire.Fixed64Type), v)
	default:
		t.out = protowire.AppendVarint(protowire.AppendTag(t.out, f.number, protowire.VarintType), v)
	}
	return nil
}

// bytes writes a field of bytes.
func (t *transcoder) bytes(f field, b []byte, evenZero bool) error {
	if len(b) == 0 && !evenZero {
		return nil
	}
	if err := t.room(spare + len(b)); err != nil {
		return err
	}
	t.out = protowire.AppendBytes(protowire.AppendTag(t.out, f.number, protowire.BytesType), b)
	return nil
}

// id reads an ID of some bytes, in hexadecimal. The empty string stands for none.
func (t *transcoder) id(f field, size int, of string, evenZero bool) error {
	s, err := t.stringValue()
	if err != nil {
		return err
	}
	if len(s) == 0 {
		return t.bytes(f, nil, evenZero)
	}
	var id [16]byte
	if len(s) == hex.EncodedLen(size) {
		if _, err := hex.Decode(id[:size], s); err == nil {
			return t.bytes(f, id[:size], evenZero)
		}
	}
	hint := ""
	if b, err := base64.StdEncoding.DecodeString(string(s[:min(len(s), 64)])); err == nil && len(b) == size {
		hint = "; this looks like base64, which OTLP does not use for IDs"
	}
	return t.bad(fmt.Sprintf("%s is no %s ID: write %d hexadecimal digits, and leading zeros too%s",
		shortened(strconv.Quote(string(s[:min(len(s), 2*maxShown)]))), of, hex.EncodedLen(size), hint))
}

// number reads a number, in quotes or not, an enum or a boolean, as the bits that it has on the wire.
func (t *transcoder) number(k kind) (uint64, error) {
	in := t.in.PeekKind()
	switch {
	case k == boolean:
		if in != jsontext.KindTrue && in != jsontext.KindFalse {
			return 0, t.unexpected(in, "true or false")
		}
		if in == jsontext.KindTrue {
			return 1, t.skip()
		}
		return 0, t.skip()
	case in != jsontext.KindNumber && in != jsontext.KindString:
		return 0, t.unexpected(in, "a number")
	}
	quoted := in == jsontext.KindString
	s, err := t.value(quoted)
	if err != nil {
		return 0, err
	}
	if len(s) > maxNumber {
		return 0, t.bad(shortened(string(s[:2*maxShown])) + " is not a number")
	}
	var v uint64
	var i int64
	switch k {
	case varint32:
		i, err = strconv.ParseInt(string(s), 10, 32)
		v = uint64(i)
	case varint64:
		i, err = strconv.ParseInt(string(s), 10, 64)
		v = uint64(i)
	case uvarint32, fixed32:
		v, err = strconv.ParseUint(string(s), 10, 32)
	case fixed64:
		v, err = strconv.ParseUint(string(s), 10, 64)
	case double:
		var d float64
		d, err = strconv.ParseFloat(string(s), 64)
		v = math.Float64bits(d)
	case spanKind, statusCode:
		if quoted {
			n, known := enum(k, s)
			if !known {
				return 0, t.bad(shortened(strconv.Quote(string(s))) + " is not a name of " + enumNames(k))
			}
			return n, nil
		}
		i, err = strconv.ParseInt(string(s), 10, 32)
		v = uint64(i)
	}
	if err != nil {
		if n, ok := errors.AsType[*strconv.NumError](err); ok {
			err = n.Err
		}
		return 0, t.bad(fmt.Sprintf("%s as a number: %v", shortened(string(s)), err))
	}
	return v, nil
}

// maxNumber is how long a number may be. A double needs at most 767 digits to be told from its neighbours.
const maxNumber = 1100

func enum(k kind, name []byte) (uint64, bool) {
	if k == statusCode {
		switch string(name) {
		case "STATUS_CODE_UNSET":
			return 0, true
		case "STATUS_CODE_OK":
			return 1, true
		case "STATUS_CODE_ERROR":
			return 2, true
		}
		return 0, false
	}
	switch string(name) {
	case "SPAN_KIND_UNSPECIFIED":
		return 0, true
	case "SPAN_KIND_INTERNAL":
		return 1, true
	case "SPAN_KIND_SERVER":
		return 2, true
	case "SPAN_KIND_CLIENT":
		return 3, true
	case "SPAN_KIND_PRODUCER":
		return 4, true
	case "SPAN_KIND_CONSUMER":
		return 5, true
	}
	return 0, false
}

func enumNames(k kind) string {
	if k == statusCode {
		return "a status code, such as STATUS_CODE_ERROR (or the number 2)"
	}
	return "a span kind, such as SPAN_KIND_SERVER (or the number 2)"
}

// stringValue reads a string. It is valid until something is written or read.
func (t *transcoder) stringValue() ([]byte, error) {
	if k := t.in.PeekKind(); k != jsontext.KindString {
		return nil, t.unexpected(k, "a string")
	}
	return t.value(true)
}

// value reads a string without its quotes and escapes, or a number as it stands.
func (t *transcoder) value(quoted bool) ([]byte, error) {
	raw, err := t.in.ReadValue()
	if err != nil {
		return nil, t.syntax(err)
	}
	if !quoted {
		return raw, nil
	}
	return t.unquoted(raw)
}

// unquoted takes quotes and escapes off a string. It is valid until something is written or read.
func (t *transcoder) unquoted(raw []byte) ([]byte, error) {
	valid := utf8.Valid(raw)
	if valid && bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	// Escapes only get shorter. U+FFFD takes three bytes and stands for one that is not UTF-8.
	most := len(raw)
	if !valid {
		most *= 3
	}
	if err := t.room(spare + most); err != nil {
		return nil, err
	}
	// The error is about what is not UTF-8.
	s, _ := jsontext.AppendUnquote(t.out[len(t.out)+spare:len(t.out)+spare], raw)
	return s, nil
}

// spare is left in front of an unescaped string for the tag and the length that it is written with, so that writing it moves it
// to the left and never needs other memory.
const spare = tagRoom + 5

// unexpected is the error for a value of the wrong kind.
func (t *transcoder) unexpected(k jsontext.Kind, want string) error {
	if k == jsontext.KindInvalid {
		return t.skip() // it says what is wrong
	}
	if err := t.skip(); err != nil {
		return err
	}
	return t.bad("there is " + k.String() + " where " + want + " belongs")
}

// bad is the error for what has been read last.
func (t *transcoder) bad(what string) error {
	if at := string(t.in.StackPointer()); at != "" {
		return fmt.Errorf("%s: %s", shortened(at), what)
	}
	return errors.New(what)
}

// maxShown is how much of a stranger's text goes into a message.
const maxShown = 100

func shortened(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return s[:maxShown] + "..."
}
