package wire

import (
	"encoding/binary"
	"math"
	"slices"
)

// The attributes that say why a span was kept.
const (
	KeyPolicy      = "thresher.policy"      // string: the name of the policy
	KeyProbability = "thresher.probability" // double: with which it was kept
)

// An Edit is what delivery writes on a kept span.
type Edit struct {
	TraceState  []byte  // nil: as it is; empty: none
	Policy      []byte  // the attribute KeyPolicy; nil: both attributes are as they are
	Probability float64 // the attribute KeyProbability, if Policy is not nil
}

// AppendEdited appends to dst the span in raw as e says. All other fields, known or not, keep their bytes and their order;
// what is written comes after them, in place of what the span had. Editing again with the same e changes nothing.
//
// raw must be a span that ScanSpan accepts, and not overlap with dst. An attribute that cannot be read is kept as it is.
func AppendEdited(dst, raw []byte, e *Edit) []byte {
	dst = slices.Grow(dst, len(raw)+e.size())
	if e.TraceState == nil && e.Policy == nil {
		return append(dst, raw...)
	}
	// As in ScanSpan, the usual encodings `continue`; whatever is unusual, or may have to go, falls out of the switch.
	from := 0 // what is not copied yet
	for pos := 0; pos < len(raw); {
		switch tag := raw[pos]; {
		case tag == tagAttribute:
			var next int
			if e.Policy == nil {
				next = skipAttrs(raw, pos)
			} else {
				next = skipForeign(raw, pos)
			}
			if next != pos {
				pos = next
				continue
			}
		case tag == tagTraceState:
		case tag == tagFlags0:
			if pos+6 <= len(raw) && raw[pos+1] == tagFlags1 {
				pos += 6
				continue
			}
		case tag >= 0x80:
		case tag&7 == wireLen:
			if _, end := shortLen(raw, pos+1); end != 0 {
				pos = end
				continue
			}
		case tag&7 == wireVarint:
			if pos+2 <= len(raw) && raw[pos+1] < 0x80 {
				pos += 2
				continue
			}
		case tag&7 == wireI64:
			if pos+9 <= len(raw) {
				pos += 9
				continue
			}
		}
		next, goes := e.replaces(raw, pos)
		if goes {
			dst = append(dst, raw[from:pos]...)
			from = next
		}
		pos = next
	}
	return e.appendTo(append(dst, raw[from:]...))
}

// skipForeign skips the attributes at pos that have a usual encoding and neither of the keys, and returns where it stopped.
func skipForeign(b []byte, pos int) int {
	const lens = 1<<len(KeyPolicy) | 1<<len(KeyProbability)
	for pos+6 <= len(b) && b[pos] == tagAttribute {
		// As in scanAttrs: a key and a value in either order, lengths of one byte first.
		n := int(b[pos+1])
		mid := pos + 4 + int(b[pos+3])
		end := pos + 2 + n
		if n >= 0x80 || end > len(b) || mid+2 > end || mid+2+int(b[mid+1]) != end {
			body, end := shortLen(b, pos+1)
			if end == 0 || !foreign(b[:end], body) {
				break
			}
			pos = end
			continue
		}
		var key []byte
		switch {
		case b[pos+2] == tagKey && b[mid] == tagValue:
			key = b[pos+4 : mid]
		case b[pos+2] == tagValue && b[mid] == tagKey:
			key = b[mid+2 : end]
		default:
			return pos
		}
		if lens>>(len(key)&63)&1 != 0 && (string(key) == KeyPolicy || string(key) == KeyProbability) {
			break
		}
		pos = end
	}
	return pos
}

// foreign reports whether the KeyValue message from pos to the end of b consists of a key and a value, and the key is neither
// of the two.
func foreign(b []byte, pos int) bool {
	first, mid := shortLen(b, pos+1)
	if mid == 0 {
		return false
	}
	second, end := shortLen(b, mid+1)
	if end != len(b) {
		return false
	}
	key := b[first:mid]
	switch {
	case b[pos] == tagValue && b[mid] == tagKey:
		key = b[second:]
	case b[pos] != tagKey || b[mid] != tagValue:
		return false
	}
	return string(key) != KeyPolicy && string(key) != KeyProbability
}

// replaces returns the position behind the field at pos, whatever its encoding, and whether e writes what it says.
func (e *Edit) replaces(raw []byte, pos int) (next int, goes bool) {
	num, wt, body, next := readField(raw, pos)
	switch {
	case next < 0: // not a span
		return len(raw), false
	case wt != wireLen:
		return next, false
	case num == 3:
		return next, e.TraceState != nil
	case num == 9:
		return next, e.Policy != nil && ownAttr(raw[body:next])
	}
	return next, false
}

// ownAttr reports whether the KeyValue message b has one of the two keys: the last one counts.
func ownAttr(b []byte) bool {
	var key []byte
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 {
			return false
		}
		if num == 1 {
			if wt != wireLen {
				return false
			}
			key = b[body:next]
		}
		pos = next
	}
	return string(key) == KeyPolicy || string(key) == KeyProbability
}

// size returns the number of bytes that appendTo appends, or a few more.
func (e *Edit) size() int {
	n := 0
	if len(e.TraceState) > 0 {
		n += fieldLen(len(e.TraceState))
	}
	if e.Policy != nil {
		n += fieldLen(policyLen(len(e.Policy))) + fieldLen(probabilityLen)
	}
	return n
}

// policyLen returns the size of the KeyValue message of a policy with n bytes.
func policyLen(n int) int { return fieldLen(len(KeyPolicy)) + fieldLen(fieldLen(n)) }

// probabilityLen is the size of the KeyValue message of a probability. All lengths in it take one byte.
const probabilityLen = 2 + len(KeyProbability) + 2 + 1 + 8

func (e *Edit) appendTo(dst []byte) []byte {
	if len(e.TraceState) > 0 {
		dst = appendField(dst, tagTraceState, e.TraceState)
	}
	if e.Policy == nil {
		return dst
	}
	dst = appendVarint(append(dst, tagAttribute), uint64(policyLen(len(e.Policy))))
	dst = append(append(dst, tagKey, byte(len(KeyPolicy))), KeyPolicy...)
	dst = appendVarint(append(dst, tagValue), uint64(fieldLen(len(e.Policy))))
	dst = appendField(dst, tagString, e.Policy)

	dst = append(append(dst, tagAttribute, byte(probabilityLen), tagKey, byte(len(KeyProbability))), KeyProbability...)
	dst = append(dst, tagValue, 1+8, tagDouble)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(e.Probability))
}
