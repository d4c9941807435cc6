package receive

import "sync/atomic"

// budget bounds the bytes of requests between their arrival and Kafka's acknowledgement.
type budget struct {
	max  int64
	used atomic.Int64
}

// full reports that another byte would be refused. It spares reading a request that would be.
func (b *budget) full() bool { return b.used.Load() >= b.max }

// reserve takes n bytes for a request that already holds held, unless they do not fit. A request that has the budget
// for itself is never refused: it would not fit at any later time either.
func (b *budget) reserve(n, held int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.max && used > held {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (b *budget) release(n int64) { b.used.Add(-n) }
