package policies

import (
	"encoding/binary"
	"maps"
	"slices"
)

// appendTo writes what there is from tick to tick. What each key may have of the goal follows from the averages.
func (e *emaRates) appendTo(b []byte) []byte {
	if !e.begun {
		return append(b, 0)
	}
	state := byte(1)
	if e.warm {
		state = 2
	}
	b = append(b, state)
	b = binary.AppendVarint(b, e.at)
	b = binary.AppendUvarint(b, e.seen)
	b = appendFloat(b, e.passed)
	b = appendFloat(b, e.passedShared)
	b = appendFloat(b, e.wanted)
	b = appendFloat(b, e.got)
	b = binary.AppendUvarint(b, e.shared.average)
	b = binary.AppendUvarint(b, e.shared.count)
	b = binary.AppendUvarint(b, uint64(len(e.keys)))
	for _, key := range slices.Sorted(maps.Keys(e.keys)) {
		k := e.keys[key]
		b = binary.LittleEndian.AppendUint64(b, key)
		b = binary.AppendUvarint(b, k.average)
		b = binary.AppendUvarint(b, k.count)
		b = binary.AppendUvarint(b, k.largest)
	}
	return b
}

// decode refuses what no traces can lead to, as far as what follows would go wrong.
func (e *emaRates) decode(d *stateDecoder) {
	*e = *newEMARates(e.emaSettings)
	state := d.byte()
	if state > 2 {
		d.fail()
	}
	if d.bad || state == 0 {
		return
	}
	e.begun, e.warm = true, state == 2
	e.at, e.seen = d.varint(), d.uvarint()
	e.passed, e.passedShared = d.float(), d.float()
	e.wanted, e.got = d.float(), d.float()
	if e.seen > maxEMACount || max(e.passed, e.passedShared) > 2*maxEMACount {
		d.fail()
	}
	left := e.seen // of what was counted, for the keys to come
	e.decodeKey(d, &e.shared, left)
	n := d.count(11)
	if n > e.maxKeys {
		d.fail()
	}
	for i, last := 0, uint64(0); i < n && !d.bad; i++ {
		key, k := d.uint64(), &emaKey{}
		if i > 0 && key <= last {
			d.fail()
		}
		e.decodeKey(d, k, left)
		if k.largest = d.uvarint(); k.largest > maxEMACount {
			d.fail()
		}
		left -= k.count
		e.keys[key], last = k, key
	}
	if e.warm && !d.bad {
		e.spread()
	}
}

// decodeKey reads what is known of a key. Before a period is over no key has an average.
func (e *emaRates) decodeKey(d *stateDecoder, k *emaKey, left uint64) {
	k.average, k.count = d.uvarint(), d.uvarint()
	if k.count > left || k.average > maxEMACount<<16 || k.average > 0 && !e.warm {
		d.fail()
		k.count = 0
	}
}
