package buffer

import "math/bits"

// An IDSet is a set of non-zero 64-bit span keys, stored in an IDSets. The zero IDSet is empty.
type IDSet struct {
	ref   uint32 // 1-based within the class; 0: nothing stored
	n     uint32
	class uint8
}

// Len returns the number of keys in the set.
func (s *IDSet) Len() int { return int(s.n) }

// IDSets stores many small exact sets of span keys without a pointer each. A set is an array of 4, 8, 16, ... slots taken
// from the store of its size class. Up to 8 slots (a cache line) it is filled and searched as a list, above that
// it is an open-addressing hash table at most three quarters full.
type IDSets struct {
	classes [28]idClass
	held    int
	used    int
	seed    Seed
}

// Seed makes hashing unpredictable for who chooses the IDs. Nothing but speed depends on it.
type Seed [2]uint64

type idClass struct {
	chunks [][]uint64
	free   []uint32
	used   uint32
}

const listClasses = 2 // classes 0 and 1 are searched as lists

func idSlots(class uint8) uint32 { return 4 << class }

// chunkSets is the number of sets in one allocation of a class: about 32 KiB, at least one set.
func chunkSets(class uint8) uint32 { return max(1, uint32(1024)>>class) }

// Used returns the number of bytes of sets in use.
func (s *IDSets) Used() int { return s.used }

// Held returns the number of bytes taken from the heap.
func (s *IDSets) Held() int { return s.held }

// Bytes returns what a set takes of Used.
func (s *IDSets) Bytes(set *IDSet) int {
	if set.ref == 0 {
		return 0
	}
	return int(idSlots(set.class)) * 8
}

// Trim gives chunks back that no set is in any more, where more than half of a class is free: sets that grow leave one class after the
// other, and each would hold its largest extent for ever. Cost: linear in the number of free sets.
func (s *IDSets) Trim() {
	for class := range s.classes {
		s.classes[class].trim(uint8(class), &s.held)
	}
}

func (c *idClass) trim(class uint8, held *int) {
	per := chunkSets(class)
	if per == 1 || len(c.free)*2 <= int(c.used) {
		return
	}
	isFree := make([]bool, c.used)
	free := make([]uint32, len(c.chunks))
	for _, ref := range c.free {
		isFree[ref-1] = true
		free[(ref-1)/per]++
	}
	if n := len(c.chunks); n > 0 { // what was never used is free too
		free[n-1] += uint32(n)*per - c.used
	}
	for i := range c.chunks {
		if free[i] == per && c.chunks[i] != nil {
			c.chunks[i] = nil
			*held -= int(per*idSlots(class)) * 8
		}
	}
	// The last of the list is used next: chunks that are there come before those that are not, and low ones before high ones, which
	// then run empty.
	c.free = c.free[:0]
	for _, there := range []bool{false, true} {
		for i := c.used; i > 0; i-- {
			if isFree[i-1] && there == (c.chunks[(i-1)/per] != nil) {
				c.free = append(c.free, i)
			}
		}
	}
}

// Add puts a non-zero key into the set and reports whether it was not there before.
func (s *IDSets) Add(set *IDSet, key uint64) bool {
	if set.ref == 0 {
		set.ref = s.alloc(0)
		set.class = 0
	}
	slots := s.slots(set.class, set.ref)
	if set.class < listClasses {
		for _, k := range slots[:set.n] {
			if k == key {
				return false
			}
		}
		if int(set.n) < len(slots) {
			slots[set.n] = key
			set.n++
			return true
		}
		slots = s.grow(set, slots)
		if set.class < listClasses {
			slots[set.n] = key
			set.n++
			return true
		}
	}
	if !s.insert(slots, key) {
		return false
	}
	set.n++
	if set.n*4 > uint32(len(slots))*3 {
		s.grow(set, slots)
	}
	return true
}

// Free empties the set and gives its memory back.
func (s *IDSets) Free(set *IDSet) {
	if set.ref != 0 {
		s.release(set.class, set.ref)
	}
	*set = IDSet{}
}

// insert puts key into a hash table that has room and reports whether it was new.
func (s *IDSets) insert(slots []uint64, key uint64) bool {
	mask := uint64(len(slots) - 1)
	// All bits of the key count, and the seed: span IDs of some generators are counters.
	hi, lo := bits.Mul64(key^s.seed[0], s.seed[1]^0x9E3779B97F4A7C15|1)
	for i := (hi ^ lo ^ lo>>32) & mask; ; i = (i + 1) & mask {
		switch slots[i] {
		case key:
			return false
		case 0:
			slots[i] = key
			return true
		}
	}
}

func (s *IDSets) grow(set *IDSet, old []uint64) []uint64 {
	class := set.class + 1
	ref := s.alloc(class)
	slots := s.slots(class, ref)
	if class < listClasses {
		copy(slots, old)
	} else {
		for _, k := range old {
			if k != 0 {
				s.insert(slots, k)
			}
		}
	}
	s.release(set.class, set.ref)
	set.class, set.ref = class, ref
	return slots
}

func (s *IDSets) slots(class uint8, ref uint32) []uint64 {
	per, n := chunkSets(class), idSlots(class)
	i := ref - 1
	off := (i % per) * n
	return s.classes[class].chunks[i/per][off : off+n : off+n]
}

func (s *IDSets) alloc(class uint8) uint32 {
	c, per := &s.classes[class], chunkSets(class)
	s.used += int(idSlots(class)) * 8
	var ref uint32
	k := len(c.free)
	if k > 0 {
		ref = c.free[k-1]
		c.free = c.free[:k-1]
	} else {
		if c.used == uint32(len(c.chunks))*per {
			c.chunks = append(c.chunks, nil)
		}
		c.used++
		ref = c.used
	}
	switch i := (ref - 1) / per; {
	case c.chunks[i] == nil:
		c.chunks[i] = make([]uint64, per*idSlots(class))
		s.held += int(per*idSlots(class)) * 8
	case k > 0:
		clear(s.slots(class, ref))
	}
	return ref
}

func (s *IDSets) release(class uint8, ref uint32) {
	c := &s.classes[class]
	c.free = append(c.free, ref)
	s.used -= int(idSlots(class)) * 8
	// A set that has a chunk of its own (32 KiB and more: a giant trace) goes back to the heap at once.
	if chunkSets(class) == 1 {
		s.held -= len(c.chunks[ref-1]) * 8
		c.chunks[ref-1] = nil
	}
}
