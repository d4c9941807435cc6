package sampler

import (
	"encoding/binary"
	"math"
	"slices"
)

// A Start is a place in the log from which it can be read again, and what was known of time there: partition time goes on from
// what came before, which is not read again.
type Start struct {
	Offset Resume
	// Time is the partition time of the record there, Unix milliseconds: greater than that of all records before.
	Time int64

	before clock // before that record
	dead   int64 // Machine.dead before that record
}

// starts are places that reading may begin at again, oldest first. The first is the oldest that is needed; or where the machine
// itself began, before which it knows nothing.
type starts []Start

const (
	startEvery = 1000 // milliseconds of partition time
	// mostStarts bounds them. Beyond it every other one is forgotten: a restart reads a little more.
	mostStarts = 128
)

// note adds the place of the record that is applied next, if it is far enough from the last one.
func (l *starts) note(m *Machine, s Start) {
	n := len(*l)
	if n > 0 && (s.Time < (*l)[n-1].Time+startEvery || s.Time <= s.before.now) {
		return
	}
	if n == 0 && m.unsure == math.MaxInt64 {
		m.unsure = s.Time + m.rules.hold(s.Time)
	}
	*l = append(*l, s)
	_, at := m.resume()
	at = min(at, s.Time)
	if at == math.MinInt64 {
		return
	}
	l.forget(min(m.waits.replayFrom(at, m.rules.hold(at)), m.snapshots.oldest()))
}

// forget drops the places before the newest one that is not after a time.
func (l *starts) forget(needed int64) {
	*l = slices.Delete(*l, 0, l.index(needed))
	if len(*l) <= mostStarts {
		return
	}
	kept := (*l)[:1]
	for i := 2; i < len(*l); i++ {
		if i%2 == 0 || i == len(*l)-1 {
			kept = append(kept, (*l)[i])
		}
	}
	clear((*l)[len(kept):])
	*l = kept
}

// index returns which place is the newest that is not after a time; the oldest if all are.
func (l starts) index(t int64) int {
	i := len(l) - 1
	for i > 0 && l[i].Time > t {
		i--
	}
	return max(i, 0)
}

// at returns the newest place that is not after a time, or the oldest. There must be one.
func (l starts) at(t int64) Start { return l[l.index(t)] }

// append encodes the place.
func (s *Start) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(s.Offset))
	b = binary.AppendVarint(b, s.Time)
	b = binary.AppendVarint(b, s.dead)
	b = append(b, byte(s.before.count))
	if s.before.count == 0 {
		return b
	}
	b = binary.AppendVarint(b, s.before.now)
	for _, r := range s.before.known[:s.before.count] {
		b = binary.AppendVarint(binary.AppendVarint(b, r.stamp), r.ahead)
	}
	return b
}

func (d *decoder) start() (s Start) {
	s.Offset, s.Time, s.dead = Resume(d.uvarint()), d.varint(), d.varint()
	n := int(d.byte())
	if n > mostClocks || s.Offset < 0 {
		d.bad = true
		return Start{}
	}
	if n == 0 {
		return s
	}
	s.before.set, s.before.count, s.before.now = true, n, d.varint()
	for i := range n {
		s.before.known[i] = reading{d.varint(), d.varint()}
	}
	if !s.sound() {
		d.bad = true
	}
	return s
}

// sound reports whether a machine can have been there, and no sum overflows.
func (s *Start) sound() bool {
	const most = 1 << 52
	fits := func(v int64) bool { return v >= -most && v <= most }
	if !fits(s.Time) || !fits(s.before.now) {
		return false
	}
	for _, r := range s.before.known {
		if !fits(r.stamp) || !fits(r.ahead) || r.stamp+r.ahead > s.before.now {
			return false
		}
	}
	return true
}
