package wire

import "encoding/binary"

// A KeySet is a set of attribute keys, numbered from 0 in the order given. It is immutable and safe for concurrent use.
// A nil *KeySet is empty.
type KeySet struct {
	keys []string

	// Most attributes of a span are not in the set, so a mask turns them away before any hashing: bit n&63 is set if a key
	// has length n.
	lens uint64

	slots []uint32 // by hash: index of the first candidate plus 1, or 0
	next  []uint32 // by index: the next candidate of the same slot plus 1, or 0
	shift uint8
}

// NewKeySet returns the set of the given keys. Repetitions are dropped; none at all is legal.
func NewKeySet(keys []string) *KeySet {
	s := &KeySet{shift: 63}
	seen := make(map[string]bool, len(keys))
	for _, k := range keys {
		if !seen[k] {
			seen[k] = true
			s.keys = append(s.keys, k)
		}
	}
	size := 2
	for size < 4*len(s.keys) {
		size *= 2
		s.shift--
	}
	s.slots = make([]uint32, size)
	s.next = make([]uint32, len(s.keys))
	for i, k := range s.keys {
		s.lens |= 1 << (len(k) & 63)
		slot := &s.slots[hashKey([]byte(k))>>s.shift]
		s.next[i] = *slot
		*slot = uint32(i) + 1
	}
	return s
}

// Len returns the number of distinct keys.
func (s *KeySet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

// Key returns the key with number i, which must be in [0, Len).
func (s *KeySet) Key(i int) string { return s.keys[i] }

// Index returns the number of a key, or -1 if it is not in the set.
func (s *KeySet) Index(key []byte) int {
	if s == nil || s.lens>>(len(key)&63)&1 == 0 {
		return -1
	}
	return s.find(key)
}

// find is Index without the test of the length.
func (s *KeySet) find(key []byte) int {
	slot := hashKey(key) >> (s.shift & 63)
	if slot >= uint64(len(s.slots)) {
		return -1
	}
	for i := s.slots[slot]; i != 0; i = s.next[i-1] {
		if s.keys[i-1] == string(key) {
			return int(i - 1)
		}
	}
	return -1
}

// hashKey mixes the last eight bytes, in which attribute keys differ most, with the length. The upper bits are the good ones.
func hashKey(key []byte) uint64 {
	if len(key) >= 8 {
		return (binary.LittleEndian.Uint64(key[len(key)-8:]) + uint64(len(key))) * 0x9e3779b97f4a7c15
	}
	return hashShortKey(key)
}

func hashShortKey(key []byte) uint64 {
	var w uint64
	for _, c := range key {
		w = w<<8 | uint64(c)
	}
	return (w + uint64(len(key))) * 0x9e3779b97f4a7c15
}
