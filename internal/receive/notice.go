package receive

import (
	"sync/atomic"
	"time"
)

// noticeInterval is the shortest time between two log lines of one kind.
const noticeInterval = 10 * time.Second

// A notice keeps one kind of log line from repeating at the rate of requests.
type notice struct {
	last       atomic.Int64 // Unix nanoseconds of the latest line
	suppressed atomic.Int64 // lines not written since
}

// log calls write with the number of lines left out since the last one, or counts one more.
func (n *notice) log(write func(suppressed int64)) {
	now, last := time.Now().UnixNano(), n.last.Load()
	if last != 0 && now-last < int64(noticeInterval) || !n.last.CompareAndSwap(last, now) {
		n.suppressed.Add(1)
		return
	}
	write(n.suppressed.Swap(0))
}
