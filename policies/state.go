package policies

import (
	"encoding/binary"
	"errors"
)

// ErrState is returned for bytes that are no state of policies.
var ErrState = errors.New("not a valid state of policies")

// Stateful reports whether decisions depend on other traces. Then those of a tick are decided together, by Settle.
func (p *Plan) Stateful() bool { return len(p.valves) > 0 }

// AppendState appends the state that decisions to come depend on. The same state gives the same bytes.
func (m *Matcher) AppendState(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.states)))
	for v, s := range m.states {
		b = binary.LittleEndian.AppendUint64(b, m.plan.valves[v].id)
		m.scratch = s.appendTo(m.scratch[:0])
		b = binary.AppendUvarint(b, uint64(len(m.scratch)))
		b = append(b, m.scratch...)
	}
	return b
}

// SetState takes over a state, perhaps that of another plan: policies that are not the same in both begin anew. After an
// error all begin anew.
func (m *Matcher) SetState(state []byte) error {
	d := stateDecoder{b: state}
	for n := d.count(9); n > 0; n-- {
		id := d.uint64()
		own := stateDecoder{b: d.take(d.count(1))}
		for v := range m.states {
			if m.plan.valves[v].id == id && !d.bad {
				m.states[v].decode(&own)
				d.bad = d.bad || own.bad || len(own.b) > 0
			}
		}
	}
	if d.bad || len(d.b) > 0 {
		m.forget()
		return ErrState
	}
	return nil
}

// forget makes all state as at the beginning.
func (m *Matcher) forget() {
	m.states = m.states[:0]
	for _, v := range m.plan.valves {
		m.states = append(m.states, v.share.newState())
	}
}
