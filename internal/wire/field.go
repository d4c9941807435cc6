package wire

import "encoding/binary"

// scanField reads the field at pos in whatever legal encoding it has, and returns the position behind it or a fault.
func (s *Span) scanField(b []byte, pos int, keys *KeySet) int {
	num, wt, body, next := readField(b, pos)
	if next < 0 {
		return next
	}
	switch num {
	case 1, 2, 4, 3, 5, 9, 11, 13, 15:
		if wt != wireLen {
			return faultWireType
		}
	case 6, 10, 12, 14:
		if wt != wireVarint {
			return faultWireType
		}
	case 7, 8:
		if wt != wireI64 {
			return faultWireType
		}
	case 16:
		if wt != wireI32 {
			return faultWireType
		}
	}
	switch num {
	case 1:
		switch next - body {
		case 0:
			s.TraceID = TraceID{}
		case len(s.TraceID):
			s.TraceID = TraceID(b[body:next])
		default:
			return faultIDLength
		}
	case 2, 4:
		id := &s.SpanID
		if num == 4 {
			id = &s.ParentID
		}
		switch next - body {
		case 0:
			*id = SpanID{}
		case len(id):
			*id = SpanID(b[body:next])
		default:
			return faultIDLength
		}
	case 3:
		s.TraceState = b[body:next:next]
	case 5:
		s.Name = b[body:next:next]
	case 6:
		v, _ := readVarint(b, body)
		s.Kind = int32(v)
	case 7:
		s.Start = binary.LittleEndian.Uint64(b[body:])
	case 8:
		s.End = binary.LittleEndian.Uint64(b[body:])
	case 9:
		if keys.Len() == 0 {
			break
		}
		var fault int
		if s.Attrs, fault = appendAttr(s.Attrs, b[body:next], keys); fault < 0 {
			return fault
		}
	case 15:
		if fault := s.scanStatus(b[body:next]); fault < 0 {
			return fault
		}
	case 16:
		s.Flags = binary.LittleEndian.Uint32(b[body:])
	}
	return next
}

// scanStatus merges a Status message into s.
func (s *Span) scanStatus(b []byte) int {
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 {
			return next
		}
		switch num {
		case 2:
			if wt != wireLen {
				return faultWireType
			}
		case 3:
			if wt != wireVarint {
				return faultWireType
			}
			v, _ := readVarint(b, body)
			s.Status = int32(v)
		}
		pos = next
	}
	return 0
}

// appendAttr appends the attribute in the KeyValue message b to attrs if its key is in keys. The second result is a fault
// or 0.
func appendAttr(attrs []Attr, b []byte, keys *KeySet) ([]Attr, int) {
	// The key may stand behind the value, and may be repeated, so it is known only at the end. Framing first.
	var key []byte
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 {
			return attrs, next
		}
		switch num {
		case 1:
			if wt != wireLen {
				return attrs, faultWireType
			}
			key = b[body:next]
		case 2:
			if wt != wireLen {
				return attrs, faultWireType
			}
		case 3:
			if wt != wireVarint {
				return attrs, faultWireType
			}
		}
		pos = next
	}
	i := keys.Index(key)
	if i < 0 {
		return attrs, 0
	}
	attr := Attr{Key: i}
	for pos := 0; pos < len(b); {
		num, _, body, next := readField(b, pos)
		if num == 2 { // repeated values are merged: the last variant set counts
			if fault := attr.Value.read(b[body:next]); fault < 0 {
				return attrs, fault
			}
		}
		pos = next
	}
	return append(attrs, attr), 0
}

// read merges the AnyValue message b into v. It returns a fault or 0.
func (v *Value) read(b []byte) int {
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 {
			return next
		}
		if num <= 8 && wt != anyValueWire[num] {
			return faultWireType
		}
		switch num {
		case 1:
			*v = Value{Kind: ValueString, Bytes: b[body:next:next]}
		case 2:
			n, _ := readVarint(b, body)
			*v = Value{Kind: ValueBool}
			if n != 0 {
				v.Num = 1
			}
		case 3:
			n, _ := readVarint(b, body)
			*v = Value{Kind: ValueInt, Num: n}
		case 4:
			*v = Value{Kind: ValueDouble, Num: binary.LittleEndian.Uint64(b[body:])}
		case 5:
			*v = Value{Kind: ValueArray}
		case 6:
			*v = Value{Kind: ValueMap}
		case 7:
			*v = Value{Kind: ValueBytes, Bytes: b[body:next:next]}
		case 8: // an index into the string table of profiles: in traces it means nothing
			*v = Value{}
		}
		pos = next
	}
	return 0
}

// anyValueWire has the wire type of each field of AnyValue.
var anyValueWire = [9]byte{0, wireLen, wireVarint, wireVarint, wireI64, wireLen, wireLen, wireLen, wireVarint}
