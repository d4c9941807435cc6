package receive

import (
	"runtime"
	"sync"
	"weak"

	"google.golang.org/grpc/mem"
)

// countedBuffers are the buffers that gRPC reads from connections into, and decompresses into. It does so for whole messages,
// without asking, so they are counted when they are taken; if that is too much, somebody's message is read no further.
//
// gRPC does not give the buffers of a stream back that ends before it was read, but leaves them to the garbage collector. So
// they count until that has found them.
type countedBuffers struct {
	mem.BufferPool
	memory *Memory

	mu  sync.Mutex
	out map[weak.Pointer[[]byte]]runtime.Cleanup
}

// A lostBuffer has not been given back.
type lostBuffer struct {
	key  weak.Pointer[[]byte]
	size int64
}

func newCountedBuffers(m *Memory) *countedBuffers {
	return &countedBuffers{BufferPool: mem.DefaultBufferPool(), memory: m, out: map[weak.Pointer[[]byte]]runtime.Cleanup{}}
}

// Get implements mem.BufferPool.
func (c *countedBuffers) Get(length int) *[]byte {
	b := c.BufferPool.Get(length)
	size := int64(cap(*b))
	key := weak.Make(b)
	cleanup := runtime.AddCleanup(b, c.lost, lostBuffer{key, size})
	c.mu.Lock()
	c.out[key] = cleanup
	c.mu.Unlock()
	c.memory.addFrame(size)
	return b
}

// Put implements mem.BufferPool.
func (c *countedBuffers) Put(b *[]byte) {
	key := weak.Make(b)
	c.mu.Lock()
	cleanup := c.out[key]
	delete(c.out, key)
	c.mu.Unlock()
	cleanup.Stop()
	c.memory.dropFrame(int64(cap(*b)))
	c.BufferPool.Put(b)
}

func (c *countedBuffers) lost(b lostBuffer) {
	c.mu.Lock()
	delete(c.out, b.key)
	c.mu.Unlock()
	c.memory.dropFrame(b.size)
}
