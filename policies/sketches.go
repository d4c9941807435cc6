package policies

import (
	"encoding/binary"
	"maps"
	"slices"
)

// A sketchTable has a sketch for each key, of what came lately: at each multiple of the half-life what came before counts
// half. A bounded number of keys have their own; the first to come keep their place until nothing came for them for some
// half-lives. All others share one.
type sketchTable struct {
	halfLife int64 // milliseconds
	maxKeys  int
	idle     int64 // half-lives

	begun  bool
	at     int64 // number of the half-life
	keys   map[uint64]*keySketch
	shared sketch
}

type keySketch struct {
	sketch
	seen int64 // the last half-life in which a value came
}

func newSketchTable(halfLife int64, maxKeys int, idle int64) *sketchTable {
	return &sketchTable{halfLife: max(halfLife, 1), maxKeys: maxKeys, idle: max(idle, 1), keys: map[uint64]*keySketch{}}
}

// roll moves on to a time.
func (t *sketchTable) roll(now int64) {
	at := floorDiv(now, t.halfLife)
	if !t.begun {
		t.at, t.begun = at, true
	}
	if at <= t.at {
		return
	}
	halvings := uint64(at) - uint64(t.at)
	t.at = at
	t.shared.decay(halvings)
	for key, k := range t.keys {
		k.decay(halvings)
		if k.total == 0 || uint64(at)-uint64(k.seen) >= uint64(t.idle) {
			delete(t.keys, key)
		}
	}
}

// add counts a value of a key.
func (t *sketchTable) add(key, v uint64) {
	k := t.keys[key]
	if k == nil {
		if len(t.keys) >= t.maxKeys {
			t.shared.add(v)
			return
		}
		k = &keySketch{}
		t.keys[key] = k
	}
	k.seen = t.at
	k.add(v)
}

// quantile returns a value that a part q of the values of a key are not above, and how many values are known; old ones count
// less. While there is room for a key that is not known, nothing is known of it; after that it is one of the others.
func (t *sketchTable) quantile(key uint64, q float64) (v, count uint64) {
	s := &t.shared
	if k := t.keys[key]; k != nil {
		s = &k.sketch
	} else if len(t.keys) < t.maxKeys {
		return 0, 0
	}
	return s.quantile(q), s.count()
}

func (t *sketchTable) appendTo(b []byte) []byte {
	if !t.begun {
		return append(b, 0)
	}
	b = binary.AppendVarint(append(b, 1), t.at)
	b = t.shared.appendTo(b)
	b = binary.AppendUvarint(b, uint64(len(t.keys)))
	for _, key := range slices.Sorted(maps.Keys(t.keys)) {
		k := t.keys[key]
		b = binary.LittleEndian.AppendUint64(b, key)
		b = binary.AppendUvarint(b, uint64(t.at)-uint64(k.seen))
		b = k.appendTo(b)
	}
	return b
}

func (t *sketchTable) decode(d *stateDecoder) {
	*t = *newSketchTable(t.halfLife, t.maxKeys, t.idle)
	begun := d.byte()
	if begun > 1 {
		d.fail()
	}
	if d.bad || begun == 0 {
		return
	}
	t.begun, t.at = true, d.varint()
	t.shared.decode(d)
	n := d.count(11)
	if n > t.maxKeys {
		d.fail()
	}
	for i, last := 0, uint64(0); i < n && !d.bad; i++ {
		key, ago := d.uint64(), d.uvarint()
		k := &keySketch{seen: t.at - int64(ago)}
		k.decode(d)
		if i > 0 && key <= last || ago >= uint64(t.idle) || k.total == 0 {
			d.fail()
		}
		t.keys[key], last = k, key
	}
}
