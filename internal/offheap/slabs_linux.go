package offheap

import (
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	regionBytes = 32 << 20
	adviseHuge  = 14 // MADV_HUGEPAGE
)

// Slabs gives the machines memory for spans that the garbage collector does not know of: it would let as much garbage come
// together as there are spans. The memory is asked for in regions of 32 MiB, with large pages: a million open spans are some hundred
// thousand small pages, and each span that comes touches several, so that most of the time would go into page tables.
type Slabs struct {
	mu      sync.Mutex
	regions [][]byte
	rest    []byte // of the newest region
	free    [][]byte
	bytes   atomic.Int64 // in use
}

// Get implements buffer.Slabs. Without memory from the operating system it falls back to the heap.
func (s *Slabs) Get(size int) []byte {
	s.bytes.Add(int64(size))
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := len(s.free); k > 0 {
		b := s.free[k-1]
		s.free = s.free[:k-1]
		return b
	}
	if len(s.rest) < size {
		region, err := syscall.Mmap(-1, 0, regionBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			return make([]byte, size)
		}
		_ = syscall.Madvise(region, adviseHuge) // small pages do as well, only slower
		s.regions = append(s.regions, region)
		s.rest = region
	}
	b := s.rest[:size:size]
	s.rest = s.rest[size:]
	return b
}

// Put implements buffer.Slabs.
func (s *Slabs) Put(b []byte) {
	s.bytes.Add(-int64(len(b)))
	_ = syscall.Madvise(b, syscall.MADV_DONTNEED) // the address stays ours, the memory goes back
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, b)
}

// Held returns the bytes in use.
func (s *Slabs) Held() uint64 { return uint64(s.bytes.Load()) }

// Close gives everything back. Nothing that Get returned may be used afterwards.
func (s *Slabs) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.regions {
		_ = syscall.Munmap(r)
	}
	s.regions, s.rest, s.free = nil, nil, nil
}
