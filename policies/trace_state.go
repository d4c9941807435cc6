package policies

import (
	"bytes"
	"slices"
	"strconv"
)

// traceState passes a trace with a span whose W3C tracestate is valid and has an entry with the key and one of the
// values.
type traceState struct {
	key    string
	values []string // sorted, different
}

func readTraceState(m *mapping) rule {
	r := &traceState{key: readKey(m, "vendor")}
	m.required("values", "[debug]")
	items := m.texts("values", "[debug]")
	if r.key != "" && !validStateKey([]byte(r.key)) {
		_, n := m.text("key")
		m.p.errorf(n, m.sub("key"), "%s cannot be a tracestate key: these have lower-case letters, digits and _-*/,"+
			" start with a letter, and may be tenant@system", quote(r.key))
	}
	for _, i := range items {
		if !validStateValue([]byte(i.text)) || len(r.key)+len(i.text) >= 256 {
			m.p.errorf(i.node, i.path, "%s cannot be a tracestate value: these are"+
				" printable ASCII without comma and equals sign, and shorter than 256 characters with the key", quote(i.text))
		}
	}
	r.values = values(items)
	return r
}

func (r *traceState) text() string {
	return "tracestate " + strconv.Quote(r.key) + " is " + quoted(r.values)
}

func (r *traceState) compile(c *compiler) gate {
	for _, s := range c.states {
		if s.key == r.key && slices.Equal(s.values, r.values) {
			return s.bit
		}
	}
	s := &stateCondition{r.key, r.values, &spanBit{}}
	c.states = append(c.states, s)
	return s.bit
}

type stateCondition struct {
	key    string
	values []string
	bit    *spanBit
}

// matchStates ORs into matches the bits that a tracestate sets.
func (s *scan) matchStates(state []byte, matches []uint64) {
	valid, checked := false, false
	for i := range s.states {
		c := &s.states[i]
		if matches[c.bit.word]&c.bit.mask != 0 {
			continue
		}
		if !checked {
			valid, checked = validState(state), true
		}
		if !valid {
			return
		}
		if slices.Contains(c.values, string(stateValue(state, c.key))) {
			matches[c.bit.word] |= c.bit.mask
		}
	}
}

// stateMember splits the first member off a tracestate. Spaces and tabs around a member do not count; isMember is false
// if it has no equals sign.
func stateMember(state []byte) (key, value, rest []byte, isMember bool) {
	member, rest, _ := bytes.Cut(state, []byte(","))
	key, value, isMember = bytes.Cut(member, []byte("="))
	return bytes.TrimLeft(key, " \t"), bytes.TrimRight(value, " \t"), rest, isMember
}

// stateValue returns the value of a key in a valid tracestate, nil if it is absent.
func stateValue(state []byte, wanted string) []byte {
	for len(state) > 0 {
		key, value, rest, _ := stateMember(state)
		if string(key) == wanted {
			return value
		}
		state = rest
	}
	return nil
}

// validState reports whether a tracestate is as the W3C says: at most 32 members, valid and with different keys.
// Nothing between two commas is no member.
func validState(state []byte) bool {
	const most = 32
	var keys [most][]byte
	n := 0
	for len(state) > 0 {
		if state[0] == ',' {
			state = state[1:]
			continue
		}
		key, value, rest, isMember := stateMember(state)
		state = rest
		if !isMember || n == most || !validStateKey(key) || !validStateValue(value) {
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

// validStateKey reports whether a key is a simple one, or tenant@system.
func validStateKey(key []byte) bool {
	tenant, system, found := bytes.Cut(key, []byte("@"))
	if !found {
		return validStateName(key, 256) && !digit(key[0])
	}
	return validStateName(tenant, 241) && validStateName(system, 14) && !digit(system[0])
}

// validStateName reports whether a name has 1 to longest characters and starts with a letter or a digit.
func validStateName(name []byte, longest int) bool {
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

// validStateValue reports whether a value has 1 to 256 printable characters, not comma or equals sign, the last one no
// space.
func validStateValue(value []byte) bool {
	if len(value) == 0 || len(value) > 256 || value[len(value)-1] == ' ' {
		return false
	}
	for _, c := range value {
		if c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return true
}
