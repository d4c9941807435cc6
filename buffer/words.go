package buffer

// Words stores fixed-size groups of 64-bit words, one group a trace: the match bits of a policy plan.
type Words struct {
	size   int // words in a group; may be 0
	chunks [][]uint64
	free   []uint32
	used   uint32
}

// NewWords returns a store of groups of size words.
func NewWords(size int) *Words { return &Words{size: size} }

// Alloc returns the number of a zeroed group.
func (w *Words) Alloc() uint32 {
	if k := len(w.free); k > 0 {
		ref := w.free[k-1]
		w.free = w.free[:k-1]
		clear(w.At(ref))
		return ref
	}
	if w.used == uint32(len(w.chunks))*chunkLen {
		w.chunks = append(w.chunks, make([]uint64, chunkLen*w.size))
	}
	w.used++
	return w.used
}

// At returns the words of a group.
func (w *Words) At(ref uint32) []uint64 {
	i := int(ref - 1)
	off := i % chunkLen * w.size
	return w.chunks[i/chunkLen][off : off+w.size : off+w.size]
}

// Free gives a group back.
func (w *Words) Free(ref uint32) { w.free = append(w.free, ref) }

// Len returns the number of groups in use.
func (w *Words) Len() int { return int(w.used) - len(w.free) }

// Held returns the number of bytes taken from the heap.
func (w *Words) Held() int { return len(w.chunks)*chunkLen*w.size*8 + cap(w.free)*4 }
