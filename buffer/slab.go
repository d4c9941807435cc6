package buffer

const chunkLen = 1024

// A slab holds values of one type in chunks that never move, addressed by a 1-based number.
type slab[T any] struct {
	chunks [][]T
	free   []uint32
	used   uint32
}

func (s *slab[T]) at(ref uint32) *T {
	i := ref - 1
	return &s.chunks[i/chunkLen][i%chunkLen]
}

func (s *slab[T]) alloc() uint32 {
	if k := len(s.free); k > 0 {
		ref := s.free[k-1]
		s.free = s.free[:k-1]
		return ref
	}
	if s.used == uint32(len(s.chunks))*chunkLen {
		s.chunks = append(s.chunks, make([]T, chunkLen))
	}
	s.used++
	return s.used
}

func (s *slab[T]) release(ref uint32) {
	var zero T
	*s.at(ref) = zero
	s.free = append(s.free, ref)
}

func (s *slab[T]) len() int { return int(s.used) - len(s.free) }

// held returns the number of bytes taken from the heap, for values of a size.
func (s *slab[T]) held(size int) int { return len(s.chunks)*chunkLen*size + cap(s.free)*4 }

// each calls fn for every value that was ever in use; those released are zero.
func (s *slab[T]) each(fn func(*T)) {
	for ref := uint32(1); ref <= s.used; ref++ {
		fn(s.at(ref))
	}
}
