package export

import "sync"

// budget counts the bytes of payloads that required exporters have not settled. It is full from the high mark until it
// is below the low one, so that runners do not toggle with every trace.
type budget struct {
	mu        sync.Mutex
	used      int64
	high, low int64
	ready     chan struct{} // closed while not full
	full      bool
}

func newBudget(high int64) *budget {
	b := &budget{high: high, low: high - high/4, ready: make(chan struct{})}
	close(b.ready)
	return b
}

func (b *budget) add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += n
	if !b.full && b.used >= b.high {
		b.full = true
		b.ready = make(chan struct{})
	}
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.full && b.used <= b.low {
		b.full = false
		close(b.ready)
	}
}

func (b *budget) state() (used int64, full bool, ready <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.full, b.ready
}
