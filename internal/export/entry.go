package export

import (
	"sync"
	"sync/atomic"
	"time"
)

// entryOverhead is what an entry costs beside its payload, in bytes: the entry itself and its places in queues.
const entryOverhead = 256

// entry is an item on its way. All exporters of its route share it.
type entry struct {
	Item
	size      int64
	part      *partition
	submitted time.Time
	pending   atomic.Int32 // required exporters that have not settled it; at zero it is acknowledged
	holders   atomic.Int32 // exporters that hold it; at zero the payload is let go
}

// partition is one tenure of a partition: from the first item after a Forget until the next Forget. A tenure that ended
// stays ended: sequence numbers start anew with the next one, and an old acknowledgement would settle a stranger.
type partition struct {
	mu        sync.Mutex
	forgotten atomic.Bool
}

// acknowledge calls ack unless the tenure has ended. The lock makes Forget wait for a call that has begun.
func (p *partition) acknowledge(ack func(int32, uint64), it *Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.forgotten.Load() {
		ack(it.Partition, it.Seq)
	}
}

func (p *partition) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgotten.Store(true)
}
