package tracestate

import "bytes"

// AppendWith appends to dst the tracestate with the parts of its ot member that set has; parts that it has not stay as they
// are. A number of Max or more, which cannot be written, takes the part away. The ot member comes first, as the W3C says of
// the one last changed, then the others in their order, without the space around them; members at the end that do not
// fit into 32 members and 1024 bytes are left out. dst must not overlap with state.
//
// The result is false, and nothing is appended, if the tracestate is not valid or its ot member would become longer than
// 256 bytes.
func AppendWith(dst, state []byte, set OT) ([]byte, bool) {
	own, _, ok := check(state)
	if !ok {
		return dst, false
	}
	start, n := len(dst), 0
	if dst = appendOT(dst, own, set); len(dst) > start {
		if len(dst)-start > len("ot=")+maxValue {
			return dst[:start], false
		}
		n++
	}
	for len(state) > 0 {
		key, value, rest, isMember := Member(state)
		state = rest
		if !isMember || string(key) == otKey {
			continue
		}
		size := len(key) + len("=") + len(value)
		if n > 0 {
			size += len(",")
		}
		if n == maxMembers || len(dst)-start+size > maxLength {
			break
		}
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, key...)
		dst = append(dst, '=')
		dst = append(dst, value...)
		n++
	}
	return dst, true
}

// appendOT appends the ot member with the given valid value, changed by set: rv, th, then the others in their order, which
// is how pkg/sampling writes it. It appends nothing if there is nothing to say.
func appendOT(dst, value []byte, set OT) []byte {
	start := len(dst)
	dst = append(dst, "ot="...)
	empty := len(dst)
	if set.HasRV {
		dst = appendNumber(dst, rvKey, set.RV, digits)
	} else {
		dst = appendSub(dst, rvKey, lastSub(value, rvKey))
	}
	if set.HasTH {
		dst = appendNumber(dst, thKey, set.TH, 1)
	} else {
		dst = appendSub(dst, thKey, lastSub(value, thKey))
	}
	for len(value) > 0 {
		sub, rest, _ := bytes.Cut(value, []byte(";"))
		value = rest
		if key, _, _ := bytes.Cut(sub, []byte(":")); string(key) != rvKey && string(key) != thKey {
			dst = append(append(dst, sub...), ';')
		}
	}
	if len(dst) == empty {
		return dst[:start]
	}
	return dst[:len(dst)-1] // the last semicolon
}

// lastSub returns the text of the last sub-key with the given name, nil if there is none.
func lastSub(value []byte, wanted string) (last []byte) {
	for len(value) > 0 {
		sub, rest, _ := bytes.Cut(value, []byte(";"))
		value = rest
		if key, text, _ := bytes.Cut(sub, []byte(":")); string(key) == wanted {
			last = text
		}
	}
	return last
}

func appendSub(dst []byte, key string, text []byte) []byte {
	if len(text) == 0 {
		return dst
	}
	dst = append(append(dst, key...), ':')
	return append(append(dst, text...), ';')
}

// appendNumber appends a sub-key with a number of 56 bits, without its trailing zeros but at least with least digits.
func appendNumber(dst []byte, key string, v uint64, least int) []byte {
	if v >= Max {
		return dst
	}
	var text [digits]byte
	n := 0
	for v <<= 64 - 4*digits; v != 0 || n < least; v <<= 4 {
		text[n] = "0123456789abcdef"[v>>60]
		n++
	}
	return appendSub(dst, key, text[:n])
}
