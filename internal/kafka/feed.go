package kafka

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is one record of the spans topic.
type Record struct {
	// Offset of this record. The offset to read next after it is Offset+1 only if nothing was removed in between; use
	// Batch.Next.
	Offset int64
	// Timestamp in Unix milliseconds: log append time, unless kafka.spans.allow_create_time is set.
	Timestamp int64
	// LeaderEpoch under which the record was written, -1 if not known. It belongs into a commit.
	LeaderEpoch int32
	// Value is valid as long as it is referenced, but it may share memory with a whole fetch: copy what is kept for
	// longer than the handling of the batch.
	Value   []byte
	Headers []Header
}

// Moved reports whether the record's spans were moved here from the partition that their producer chose.
func (r *Record) Moved() bool {
	return slices.ContainsFunc(r.Headers, func(h Header) bool { return h.Key == MovedHeader })
}

// Header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Batch is records of one partition, in offset order.
type Batch struct {
	Partition int32
	Records   []Record // may be empty: then only Next has moved, over records that are not for us
	// Next is the offset to read next, after all of Records and any transaction marker behind them.
	Next int64
	// HighWatermark is the end of the log when this was fetched: HighWatermark - Next records are left.
	HighWatermark int64

	// shared: the values are parts of a whole fetch, not of memory of their own. So are those that came uncompressed.
	shared bool
}

// Gap says that reading goes on at To instead of From. If To is greater, the records in between are gone: retention
// deleted them before they were read. If To is smaller, the log was cut back or the topic made anew: what follows
// replaces records that were read before, and whatever was built from those must be built again.
type Gap struct {
	Partition int32
	From, To  int64
	Cause     error
	// Anew: the topic was deleted and made again, so that offsets before mean nothing, also where To is not smaller than From.
	Anew bool
}

// An Event is exactly one of its fields.
type Event struct {
	Batch *Batch
	Gap   *Gap
}

// A Feed is the queue of one assigned partition. One goroutine takes from it.
type Feed struct {
	partition int32
	r         *Reader
	ready     chan struct{}

	mu     sync.Mutex
	events []Event
	bytes  int // of batches in events
	paused bool
	resume int // bytes at or below which a paused feed goes on; half of what it had
	takes  uint64
	closed bool

	// Of the Reader's Run goroutine only; next also under mu.
	next      int64 // after the last event
	lastTime  int64 // timestamp of the last record in milliseconds
	mending   bool  // not fetched until mended
	seenTakes uint64
}

// Partition is the partition this feed is for.
func (f *Feed) Partition() int32 { return f.partition }

// Ready receives when there may be something to take. After it, take until there is nothing.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Take removes the next event. It does not wait; the second result is false if there is none, and for ever after the
// partition has been unassigned.
func (f *Feed) Take() (Event, bool) {
	f.mu.Lock()
	if len(f.events) == 0 {
		f.mu.Unlock()
		return Event{}, false
	}
	e := f.events[0]
	f.events[0] = Event{}
	if f.events = f.events[1:]; len(f.events) == 0 {
		f.events = nil
	}
	f.takes++
	n := size(e)
	f.bytes -= n
	f.r.c.counters.queued.Add(int64(-n))
	wake := f.paused && f.bytes <= f.resume
	spare := !f.paused
	f.mu.Unlock()
	if spare {
		f.r.release(n)
	}
	if wake {
		f.r.wake()
	}
	return e, true
}

// Oldest tells the timestamp, Unix milliseconds, of the first record that waits to be taken; false if none does.
func (f *Feed) Oldest() (int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Batch != nil && len(e.Batch.Records) > 0 {
			return e.Batch.Records[0].Timestamp, true
		}
	}
	return 0, false
}

// put appends an event. It reports whether the feed is over its bound.
func (f *Feed) put(e Event, next int64, bound int) (over bool) {
	n := size(e)
	f.mu.Lock()
	f.next = next
	if f.closed {
		f.mu.Unlock()
		return false
	}
	f.events = append(f.events, e)
	f.bytes += n
	f.r.c.counters.queued.Add(int64(n))
	if !f.paused {
		f.r.spend(n)
	}
	// A fetch is not cut: what it holds for a partition, decompressed, may be more than the bound at once. Pausing then
	// would throw away each second fetch.
	over = f.bytes > max(bound, 2*n)
	f.mu.Unlock()
	select {
	case f.ready <- struct{}{}:
	default:
	}
	return over
}

// close empties the feed for good.
func (f *Feed) close() {
	f.mu.Lock()
	n, spare := f.bytes, !f.paused
	f.closed, f.events, f.bytes = true, nil, 0
	f.r.c.counters.queued.Add(int64(-n))
	f.mu.Unlock()
	if spare {
		f.r.release(n)
	}
}

// setPaused moves the feed's bytes out of the shared budget or back into it. A paused feed goes on when half of them are
// taken. What is in it may wait for long, so it must not hold the memory of others.
func (f *Feed) setPaused(paused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paused == paused || f.closed {
		return
	}
	f.paused, f.resume = paused, f.bytes/2
	if !paused {
		f.r.spend(f.bytes)
		return
	}
	f.r.release(f.bytes)
	for _, e := range f.events {
		if e.Batch != nil && e.Batch.shared {
			e.Batch.detach()
		}
	}
}

// detach gives the values memory of their own.
func (b *Batch) detach() {
	b.shared = false
	var n int
	for i := range b.Records {
		n += len(b.Records[i].Value)
	}
	own := make([]byte, 0, n)
	for i := range b.Records {
		r := &b.Records[i]
		own = append(own, r.Value...)
		r.Value = own[len(own)-len(r.Value) : len(own) : len(own)]
	}
}

// size is what an event counts in a bound: values, and something for the rest so that many small ones count too.
func size(e Event) int {
	if e.Batch == nil {
		return 0
	}
	n := 64
	for i := range e.Batch.Records {
		n += len(e.Batch.Records[i].Value) + 96
	}
	return n
}

func record(r *kgo.Record) Record {
	out := Record{Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), LeaderEpoch: r.LeaderEpoch, Value: r.Value}
	if len(r.Headers) > 0 {
		out.Headers = make([]Header, len(r.Headers))
		for i, h := range r.Headers {
			out.Headers[i] = Header{h.Key, h.Value}
		}
	}
	return out
}
