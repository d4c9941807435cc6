//go:build !linux

package offheap

import "sync/atomic"

// Slabs takes the memory for spans from the Go heap, on systems where we know no better.
type Slabs struct{ bytes atomic.Int64 }

// Get implements buffer.Slabs.
func (s *Slabs) Get(size int) []byte {
	s.bytes.Add(int64(size))
	return make([]byte, size)
}

// Put implements buffer.Slabs.
func (s *Slabs) Put(b []byte) { s.bytes.Add(-int64(len(b))) }

// Held returns nothing: the heap is counted already.
func (s *Slabs) Held() uint64 { return 0 }

// Close does nothing.
func (s *Slabs) Close() {}
