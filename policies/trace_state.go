package policies

import (
	"slices"
	"strconv"

	"thresher/internal/tracestate"
)

// traceState passes a trace with a span whose W3C tracestate is valid and has an entry with the key and one of the
// values.
type traceState struct {
	key    string
	values []string // sorted, different
}

func readTraceState(m *mapping) rule {
	r := &traceState{key: readKey(m, "vendor")}
	m.expected("values", "[debug]")
	items := withoutEmpty(m.texts("values", "[debug]"))
	if r.key != "" && !tracestate.ValidKey([]byte(r.key)) {
		_, n := m.text("key")
		m.slip(n, m.sub("key"), "%s cannot be a tracestate key: these have lower-case letters, digits and _-*/,"+
			" start with a letter, and may be tenant@system", quote(r.key))
	}
	items = slices.DeleteFunc(items, func(i item) bool {
		wrong := !tracestate.ValidValue([]byte(i.text)) || len(r.key)+len(i.text) >= 256
		if wrong {
			m.slip(i.node, i.path, "%s cannot be a tracestate value: these are"+
				" printable ASCII without comma and equals sign, and shorter than 256 characters with the key", quote(i.text))
		}
		return wrong // it is in no valid tracestate
	})
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
			valid, checked = tracestate.Valid(state), true
		}
		if !valid {
			return
		}
		if slices.Contains(c.values, string(tracestate.Value(state, c.key))) {
			matches[c.bit.word] |= c.bit.mask
		}
	}
}
