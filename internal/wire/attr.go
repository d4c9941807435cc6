package wire

import "encoding/binary"

// Tag bytes of KeyValue and AnyValue.
const (
	tagKey   = 1<<3 | wireLen
	tagValue = 2<<3 | wireLen

	tagString = 1<<3 | wireLen
	tagBool   = 2<<3 | wireVarint
	tagInt    = 3<<3 | wireVarint
	tagDouble = 4<<3 | wireI64
)

// skipAttrs skips the attributes at pos as far as they have a usual encoding, and returns where it stopped.
func skipAttrs(b []byte, pos int) int {
	for pos+2 <= len(b) && b[pos] == tagAttribute {
		n, body := int(b[pos+1]), pos+2
		if n >= 0x80 {
			if body == len(b) || b[body] >= 0x80 {
				break
			}
			n = n&0x7f | int(b[body])<<7
			body++
		}
		if n > len(b)-body {
			break
		}
		pos = body + n
	}
	return pos
}

// scanAttrs reads the attributes at pos as long as they have a shape that encoders write: a key and a value, in either
// order (SDKs write fields forward, the Collector backward), and nothing else. It returns where it stopped.
func (s *Span) scanAttrs(b []byte, pos int, keys *KeySet) int {
	lens := keys.lens
	for pos+6 <= len(b) && b[pos] == tagAttribute {
		// The attribute ends at end; its first field is at pos+2, its second at mid. One-byte lengths here: within 127 bytes
		// a longer one cannot add up to end.
		n := int(b[pos+1])
		mid := pos + 4 + int(b[pos+3])
		end := pos + 2 + n
		if n >= 0x80 || end > len(b) || mid+2 > end || mid+2+int(b[mid+1]) != end {
			next := s.scanLongAttr(b, pos, keys)
			if next == pos {
				break
			}
			pos = next
			continue
		}
		var key, value []byte
		switch {
		case b[pos+2] == tagKey && b[mid] == tagValue:
			if lens>>((mid-pos-4)&63)&1 == 0 {
				pos = end
				continue
			}
			key, value = b[pos+4:mid], b[mid+2:end]
		case b[pos+2] == tagValue && b[mid] == tagKey:
			if lens>>((end-mid-2)&63)&1 == 0 {
				pos = end
				continue
			}
			key, value = b[mid+2:end], b[pos+4:mid]
		default:
			return pos
		}
		if i := keys.find(key); i >= 0 && !s.addAttr(i, value) {
			return pos
		}
		pos = end
	}
	return pos
}

// scanLongAttr is the step of scanAttrs for lengths up to 16383. It returns pos if the attribute has another shape.
func (s *Span) scanLongAttr(b []byte, pos int, keys *KeySet) int {
	body, end := shortLen(b, pos+1)
	if end == 0 || end-body < 4 {
		return pos
	}
	b0 := b[:end]
	first, mid := shortLen(b0, body+1)
	if mid == 0 || mid+2 > end {
		return pos
	}
	second, last := shortLen(b0, mid+1)
	if last != end {
		return pos
	}
	key, value := b0[first:mid], b0[second:]
	switch {
	case b[body] == tagValue && b[mid] == tagKey:
		key, value = value, key
	case b[body] != tagKey || b[mid] != tagValue:
		return pos
	}
	if i := keys.Index(key); i >= 0 && !s.addAttr(i, value) {
		return pos
	}
	return end
}

// shortLen reads a length of one or two bytes and returns where the content begins and ends, 0, 0 if it is longer or the
// content is not there.
func shortLen(b []byte, pos int) (body, end int) {
	if pos >= len(b) {
		return 0, 0
	}
	n, body := int(b[pos]), pos+1
	if n >= 0x80 {
		if body == len(b) || b[body] >= 0x80 {
			return 0, 0
		}
		n = n&0x7f | int(b[body])<<7
		body++
	}
	if n > len(b)-body {
		return 0, 0
	}
	return body, body + n
}

// addAttr adds an attribute if its AnyValue message b consists of one scalar in its usual encoding, and says whether it
// did. It fills the element in place: building a Value and copying it costs more than all the rest.
func (s *Span) addAttr(key int, b []byte) bool {
	n := len(s.Attrs)
	if n < cap(s.Attrs) {
		s.Attrs = s.Attrs[:n+1]
	} else {
		s.Attrs = append(s.Attrs, Attr{})
	}
	a := &s.Attrs[n]
	a.Key = key
	a.Value.Num = 0
	a.Value.Bytes = nil
	if len(b) >= 2 {
		switch b[0] {
		case tagString:
			if body, end := shortLen(b, 1); end == len(b) {
				a.Value.Kind = ValueString
				a.Value.Bytes = b[body:end:end]
				return true
			}
		case tagBool:
			if len(b) == 2 && b[1] < 2 {
				a.Value.Kind = ValueBool
				a.Value.Num = uint64(b[1])
				return true
			}
		case tagInt:
			if v, next := readVarint(b, 1); next == len(b) {
				a.Value.Kind = ValueInt
				a.Value.Num = v
				return true
			}
		case tagDouble:
			if len(b) == 9 {
				a.Value.Kind = ValueDouble
				a.Value.Num = binary.LittleEndian.Uint64(b[1:])
				return true
			}
		}
	}
	s.Attrs = s.Attrs[:n]
	return false
}
