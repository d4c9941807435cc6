package wire

import "encoding/binary"

// The functions of this file tell how large a message is once pdata has decoded it and writes it again, as a Collector does
// with all that passes it. Unlike the bytes that came, those have no field twice, none that is unknown, none that says
// nothing, and no number longer than needed; but they always have the IDs of spans and links, the status of a span, and
// the value of an attribute, be they empty. Sizes are of contents, without the tag and length in front: FieldSize has those.
//
// A message that pdata cannot decode has the size that it has.

// FieldSize returns the size of a length-delimited field with a content of n bytes. The field's number is below 16.
func FieldSize(n int) int { return fieldLen(n) }

// RemarshalledSpan returns the size of the Span message in raw as pdata writes it.
func RemarshalledSpan(raw []byte) int {
	size := fieldSizes{1: emptyField, 2: emptyField, 4: emptyField, 15: emptyField}
	if !size.read(raw, shapeSpan) {
		return len(raw)
	}
	return size.sum()
}

// RemarshalledResource returns the size of the Resource message in header as pdata writes it. header is what Walk gives to
// Visitor.Resource.
func RemarshalledResource(header []byte) int { return headerSize(header, shapeResource) }

// RemarshalledScope returns the size of the InstrumentationScope message in header as pdata writes it. header is what Walk gives
// to Visitor.Scope.
func RemarshalledScope(header []byte) int { return headerSize(header, shapeScope) }

// headerSize returns the size of field 1 of a header, of which several are merged.
func headerSize(header []byte, s shape) int {
	var size fieldSizes
	for pos := 0; pos < len(header); {
		num, wt, body, next := readField(header, pos)
		if next < 0 || num == 1 && (wt != wireLen || !size.read(header[body:next], s)) {
			return len(header)
		}
		pos = next
	}
	return size.sum()
}

// emptyField is the size of a length-delimited field without content.
const emptyField = 2

// fieldSizes are what the fields of a message take, by number: of one that is there only once the last that was read, of
// others all together.
type fieldSizes [len(messageShape{}.fields)]int

func (f *fieldSizes) sum() (n int) {
	for _, size := range f {
		n += size
	}
	return n
}

// read merges the message in b into f. It reports whether pdata would decode it, as far as it has been looked at.
func (f *fieldSizes) read(b []byte, s shape) bool {
	var status statusSize
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 {
			return false
		}
		field := s.field(num)
		switch {
		case !field.known:
		case field.wire != wt:
			return false
		case wt == wireVarint:
			v, _ := readVarint(b, body)
			f[num] = varintSize(s, num, v)
		case wt == wireI64:
			f[num] = fixedSize(1+8, binary.LittleEndian.Uint64(b[body:]))
		case wt == wireI32:
			f[num] = fixedSize(varintLen(uint64(num)<<3)+4, uint64(binary.LittleEndian.Uint32(b[body:])))
		case s == shapeEntityRef && num >= 3: // lists of texts: empty ones are written
			f[num] += fieldLen(next - body)
		case field.sub == shapeNone:
			f[num] = textSize(next - body)
		case field.sub == shapeTraceID || field.sub == shapeSpanID:
			f[num] = idSize(b[body:next])
		case field.sub == shapeKeyValue:
			f[num] += fieldLen(keyValueSize(b[body:next], 0))
		case field.sub == shapeStatus:
			f[num] = fieldLen(status.read(b[body:next]))
		default:
			f[num] += fieldLen(messageSize(b[body:next], field.sub))
		}
		pos = next
	}
	return true
}

// messageSize returns the size of an Event, a Link or an EntityRef.
func messageSize(b []byte, s shape) int {
	var size fieldSizes
	if s == shapeLink {
		size[1], size[2] = emptyField, emptyField
	}
	if !size.read(b, s) {
		return len(b)
	}
	return size.sum()
}

// statusSize has the sizes of the fields of a Status: several messages are merged.
type statusSize struct{ message, code int }

// read merges the Status message in b and returns the size of all so far.
func (s *statusSize) read(b []byte) int {
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 || num == 2 && wt != wireLen || num == 3 && wt != wireVarint {
			return len(b)
		}
		switch num {
		case 2:
			s.message = textSize(next - body)
		case 3:
			v, _ := readVarint(b, body)
			s.code = numberSize(signed(v))
		}
		pos = next
	}
	return s.message + s.code
}

func textSize(n int) int {
	if n == 0 {
		return 0
	}
	return fieldLen(n)
}

func idSize(b []byte) int {
	for _, c := range b {
		if c != 0 {
			return fieldLen(len(b))
		}
	}
	return emptyField
}

func fixedSize(size int, v uint64) int {
	if v == 0 {
		return 0
	}
	return size
}

// varintSize returns the size of a number other than that of an AnyValue: a count of 32 bits, or the kind of a span.
func varintSize(s shape, num int32, v uint64) int {
	if s == shapeSpan && num == 6 {
		return numberSize(signed(v))
	}
	return numberSize(uint64(uint32(v)))
}

func numberSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + varintLen(v)
}

// signed is what is written of a number of 32 bits that has a sign: negative ones take ten bytes.
func signed(v uint64) uint64 { return uint64(int64(int32(v))) }
