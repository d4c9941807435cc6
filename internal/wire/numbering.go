package wire

// numbering gives keys the numbers 0, 1, 2, ... in the order in which they are first seen.
type numbering struct {
	keys  []uint64 // by number
	at    []uint32 // by number: the key's place in slots
	slots []uint32 // open addressing: number plus 1, or 0
	shift uint8
	last  int // the number given out last
}

// number returns the number of key, and whether it is new.
func (m *numbering) number(key uint64) (n int, fresh bool) {
	if m.last < len(m.keys) && m.keys[m.last] == key { // runs of one group are the rule
		return m.last, false
	}
	if 2*len(m.keys) >= len(m.slots) {
		m.grow()
	}
	i := m.home(key)
	for m.slots[i] != 0 {
		if n := m.slots[i] - 1; m.keys[n] == key {
			m.last = int(n)
			return m.last, false
		}
		if i++; i == uint64(len(m.slots)) {
			i = 0
		}
	}
	n = len(m.keys)
	m.keys = append(m.keys, key)
	m.at = append(m.at, uint32(i))
	m.slots[i] = uint32(n) + 1
	m.last = n
	return n, true
}

func (m *numbering) home(key uint64) uint64 { return (key ^ key>>32) * 0x9e3779b97f4a7c15 >> m.shift }

func (m *numbering) grow() {
	size := max(16, 2*len(m.slots))
	m.slots = make([]uint32, size)
	m.shift = 64
	for s := size; s > 1; s /= 2 {
		m.shift--
	}
	for n, key := range m.keys {
		i := m.home(key)
		for m.slots[i] != 0 {
			if i++; i == uint64(size) {
				i = 0
			}
		}
		m.slots[i] = uint32(n) + 1
		m.at[n] = uint32(i)
	}
}

// reset forgets all keys. It costs in proportion to their number, not to the greatest number there ever was.
func (m *numbering) reset() {
	if len(m.slots) > maxKept {
		*m = numbering{}
		return
	}
	for _, i := range m.at {
		m.slots[i] = 0
	}
	m.keys, m.at = m.keys[:0], m.at[:0]
}

// held returns the bytes taken from the heap.
func (m *numbering) held() int { return cap(m.keys)*8 + cap(m.at)*4 + cap(m.slots)*4 }
