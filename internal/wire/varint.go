package wire

import "math/bits"

// Wire types of protobuf.
const (
	wireVarint = 0
	wireI64    = 1
	wireLen    = 2
	wireStart  = 3
	wireEnd    = 4
	wireI32    = 5
)

const maxFieldNumber = 1<<29 - 1

// readVarint returns the varint at pos and the position behind it. Bits beyond the 64th are dropped, as pdata does.
func readVarint(b []byte, pos int) (v uint64, next int) {
	if uint(pos) < uint(len(b)) && b[pos] < 0x80 {
		return uint64(b[pos]), pos + 1
	}
	return readLongVarint(b, pos)
}

func readLongVarint(b []byte, pos int) (v uint64, next int) {
	for shift := uint(0); shift < 64; shift += 7 {
		if uint(pos) >= uint(len(b)) {
			return 0, faultTruncated
		}
		c := b[pos]
		pos++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, pos
		}
	}
	if pos >= len(b) {
		return 0, faultTruncated
	}
	return 0, faultVarint
}

// readLen reads the length at pos and returns where the content begins and ends.
func readLen(b []byte, pos int) (body, end int) {
	n, body := readVarint(b, pos)
	if body < 0 {
		return 0, body
	}
	if n > uint64(len(b)-body) {
		return 0, faultTruncated
	}
	return body, body + int(n)
}

// readTag returns the field number and the wire type of the tag at pos.
func readTag(b []byte, pos int) (num int32, wt byte, next int) {
	tag, next := readVarint(b, pos)
	if next < 0 {
		return 0, 0, next
	}
	if tag < 1<<3 || tag>>3 > maxFieldNumber {
		return 0, 0, faultFieldNumber
	}
	return int32(tag >> 3), byte(tag & 7), next
}

// readField reads the field at pos: next is behind it. The content of a length-delimited field begins at body and ends at
// next; other values begin at body.
func readField(b []byte, pos int) (num int32, wt byte, body, next int) {
	num, wt, body = readTag(b, pos)
	if body < 0 {
		return 0, 0, 0, body
	}
	if wt == wireLen {
		body, next = readLen(b, body)
		return num, wt, body, next
	}
	return num, wt, body, skipValue(b, body, wt)
}

// skipValue returns the position behind the value of the given wire type at pos.
func skipValue(b []byte, pos int, wt byte) int {
	switch wt {
	case wireVarint:
		_, next := readVarint(b, pos)
		return next
	case wireI64:
		return within(b, pos+8)
	case wireLen:
		_, next := readLen(b, pos)
		return next
	case wireI32:
		return within(b, pos+4)
	case wireStart, wireEnd:
		return faultGroup
	default:
		return faultWireType
	}
}

func within(b []byte, pos int) int {
	if pos > len(b) {
		return faultTruncated
	}
	return pos
}

// appendVarint appends v in its shortest form.
func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// varintLen returns the number of bytes of v in its shortest form.
func varintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// fieldLen returns the size of a length-delimited field with n bytes of content and a tag of one byte.
func fieldLen(n int) int { return 1 + varintLen(uint64(n)) + n }

// appendField appends a length-delimited field.
func appendField(dst []byte, tag byte, content []byte) []byte {
	return append(appendVarint(append(dst, tag), uint64(len(content))), content...)
}
