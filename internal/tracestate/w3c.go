package tracestate

import "bytes"

const (
	maxMembers = 32  // W3C Trace Context, 3.3.1.1
	maxValue   = 256 // W3C Trace Context, 3.3.1.3.2
)

// Member splits the first member off a tracestate. Spaces and tabs around a member do not count; isMember is false if it
// has no equals sign.
func Member(state []byte) (key, value, rest []byte, isMember bool) {
	key = state
	if end := bytes.IndexByte(state, ','); end >= 0 {
		key, rest = state[:end], state[end+1:]
	}
	if eq := bytes.IndexByte(key, '='); eq >= 0 {
		key, value, isMember = key[:eq], key[eq+1:], true
	}
	for len(key) > 0 && blank(key[0]) {
		key = key[1:]
	}
	for len(value) > 0 && blank(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	return key, value, rest, isMember
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// Value returns the value of a key in a valid tracestate, nil if it is absent.
func Value(state []byte, wanted string) []byte {
	for len(state) > 0 {
		key, value, rest, _ := Member(state)
		if string(key) == wanted {
			return value
		}
		state = rest
	}
	return nil
}

// Valid reports whether a tracestate is as the OpenTelemetry API wants it: at most 32 members, valid and with different
// keys. Nothing between two commas is no member.
func Valid(state []byte) bool {
	var keys [maxMembers][]byte
	n := 0
	for len(state) > 0 {
		if state[0] == ',' {
			state = state[1:]
			continue
		}
		key, value, rest, isMember := Member(state)
		state = rest
		if !isMember || n == maxMembers || !ValidKey(key) || !ValidValue(value) {
			return false
		}
		for _, other := range keys[:n] {
			if bytes.Equal(other, key) {
				return false
			}
		}
		keys[n] = key
		n++
	}
	return true
}

// ValidKey reports whether a key is a simple one, or tenant@system.
func ValidKey(key []byte) bool {
	at := bytes.IndexByte(key, '@')
	if at < 0 {
		return validName(key, 256) && !digit(key[0])
	}
	system := key[at+1:]
	return validName(key[:at], 241) && validName(system, 14) && !digit(system[0])
}

// validName reports whether a name has 1 to longest characters and starts with a letter or a digit.
func validName(name []byte, longest int) bool {
	if len(name) == 0 || len(name) > longest || !letter(name[0]) && !digit(name[0]) {
		return false
	}
	for _, c := range name {
		if !letter(c) && !digit(c) && c != '_' && c != '-' && c != '*' && c != '/' {
			return false
		}
	}
	return true
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// ValidValue reports whether a value has 1 to 256 printable characters, not comma or equals sign, the last one no space.
func ValidValue(value []byte) bool {
	if len(value) == 0 || len(value) > maxValue || value[len(value)-1] == ' ' {
		return false
	}
	for _, c := range value {
		if c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return true
}
