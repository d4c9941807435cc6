package tracestate

import "bytes"

const (
	otKey     = "ot"
	rvKey     = "rv"
	thKey     = "th"
	digits    = 14   // hexadecimal ones of 56 bits
	maxLength = 1024 // of a tracestate, as in pkg/sampling; the W3C has no bound
)

// OT is what the ot member of a tracestate says about sampling. Both numbers have 56 bits. Without HasTH nothing is known
// about the probability; without HasRV the randomness is the low 56 bits of the trace ID.
type OT struct {
	RV, TH       uint64 // the randomness, and the threshold below which it was rejected: kept iff RV >= TH
	HasRV, HasTH bool
}

// ScanOT reads the ot member of a tracestate. The result is false if there may be one and the tracestate, or the member,
// is not valid; a tracestate without is not looked at further. Of repeated members, and of repeated sub-keys, the last counts.
func ScanOT(state []byte) (OT, bool) {
	if !bytes.Contains(state, []byte("ot=")) {
		return OT{}, true
	}
	_, ot, ok := check(state)
	return ot, ok
}

// check returns the value of the ot member, nil if there is none, and what it says. ok is false if the tracestate is not
// valid.
func check(state []byte) (own []byte, ot OT, ok bool) {
	if len(state) > maxLength {
		return nil, OT{}, false
	}
	n := 0
	for len(state) > 0 {
		key, value, rest, isMember := Member(state)
		state = rest
		if !isMember && len(key) == 0 {
			continue
		}
		if !isMember || n == maxMembers || !ValidKey(key) || !ValidValue(value) {
			return nil, OT{}, false
		}
		n++
		if string(key) == otKey {
			own = value
			if ot, ok = parse(value); !ok {
				return nil, OT{}, false
			}
		}
	}
	return own, ot, true
}

// parse reads the value of an ot member.
func parse(value []byte) (ot OT, ok bool) {
	for more := true; more; {
		sub := value
		end := bytes.IndexByte(value, ';')
		if more = end >= 0; more {
			sub, value = value[:end], value[end+1:]
		}
		colon := bytes.IndexByte(sub, ':')
		if colon < 0 {
			return OT{}, false
		}
		key, text := sub[:colon], sub[colon+1:]
		switch string(key) {
		case rvKey:
			ot.RV, ok = hex(text)
			ok = ok && len(text) == digits
			ot.HasRV = true
		case thKey:
			ot.TH, ok = hex(text)
			ot.HasTH = true
		default:
			ok = validSubKey(key) && validSubValue(text)
		}
		if !ok {
			return OT{}, false
		}
	}
	return ot, true
}

func validSubKey(key []byte) bool {
	if len(key) == 0 || !letter(key[0]) {
		return false
	}
	for _, c := range key {
		if !letter(c) && !digit(c) {
			return false
		}
	}
	return true
}

func validSubValue(text []byte) bool {
	for _, c := range text {
		if !letter(c|0x20) && !digit(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// hex reads 1 to 14 digits as a number of 14, the trailing zeros of which are omitted. Capitals are against the
// specification, but pkg/sampling reads them.
func hex(text []byte) (v uint64, ok bool) {
	if len(text) == 0 || len(text) > digits {
		return 0, false
	}
	for _, c := range text {
		switch {
		case digit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	return v << (4 * (digits - len(text))), true
}
