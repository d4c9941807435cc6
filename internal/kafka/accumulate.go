package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// A Fragment is what one client request has for one partition.
type Fragment struct {
	Partition int32
	// Data is the resource_spans fields of an OTLP request. Protobuf messages concatenate: the fragments of several
	// requests, one after the other, are a request again.
	Data []byte
	// Spans in Data; at least one, for what counts them.
	Spans int
}

// An Accumulator puts the fragments of many requests into few records: a record costs the same whether it holds one span
// or a thousand. Its methods may be called from any goroutine.
type Accumulator struct {
	p      *Producer
	linger time.Duration
	full   int // bytes at which a parcel is sent
	most   int // bytes a parcel may have
	budget *semaphore.Weighted
	limit  int64
	held   atomic.Int64 // of budget
	slots  []slot
	bufs   sync.Pool // of *[]byte

	mu     sync.Mutex
	opened []*parcel // in order of due
	closed bool
	more   chan struct{} // opened is no longer empty, or closed is set
	run    sync.WaitGroup
	flight sync.WaitGroup // Publish calls and unacknowledged parcels
}

// A slot is a partition's open parcel, if it has one.
type slot struct {
	mu   sync.Mutex
	open *parcel
}

// A parcel becomes a record.
type parcel struct {
	partition int32
	due       time.Time
	buf       *[]byte
	requests  []*request
}

// A request is one call of Publish.
type request struct {
	left  atomic.Int32 // fragments that are not acknowledged
	err   atomic.Pointer[error]
	bytes int64 // of budget
	done  chan struct{}
}

// NewAccumulator makes an accumulator that sends through p.
func NewAccumulator(p *Producer) *Accumulator {
	cfg := &p.c.cfg
	a := &Accumulator{
		p:      p,
		linger: cfg.Producer.Linger,
		full:   parcelBytes(cfg),
		most:   p.MaxValue(),
		limit:  int64(cfg.Producer.BufferBytes),
		slots:  make([]slot, cfg.Spans.Partitions),
		more:   make(chan struct{}, 1),
	}
	a.budget = semaphore.NewWeighted(a.limit)
	a.run.Go(a.send)
	return a
}

// parcelBytes is the size at which a parcel is sent. It is kafka.producer.record_bytes, or less if parcels of all partitions that
// are open at the same time would take a quarter of the buffer.
func parcelBytes(cfg *Config) int {
	share := max(4<<10, cfg.Producer.BufferBytes/4/cfg.Spans.Partitions)
	return min(cfg.Producer.RecordBytes, cfg.Spans.MaxRecordBytes-recordOverhead, share)
}

// fragmentBytes is what a fragment takes besides its data: its part of a parcel's list, the parcel, the record, what franz-go
// keeps of each record. A fragment may be a parcel of its own.
const fragmentBytes = 512

// Held returns the bytes that have been published and not been acknowledged, without what franz-go makes of them: a request
// in which they stand uncompressed, and one in which they are compressed.
func (a *Accumulator) Held() int64 { return a.held.Load() }

// Publish returns nil when all in-sync replicas have all fragments. Otherwise none, some or all of them may be in the
// log, and the error says whether the same request may be sent again ([IsRetryable]); it should be, whole. While
// kafka.producer.buffer_bytes are on their way it waits, no longer than kafka.producer.delivery_timeout. The fragments'
// data may be used again after Publish has returned, and not before.
func (a *Accumulator) Publish(ctx context.Context, frags []Fragment) error {
	var bytes int64
	for i := range frags {
		f := &frags[i]
		if f.Partition < 0 || int(f.Partition) >= len(a.slots) {
			return fmt.Errorf("partition %d: there are %d", f.Partition, len(a.slots))
		}
		if len(f.Data) > a.most {
			return fmt.Errorf("%w: %d bytes of spans for partition %d, kafka.spans.max_record_bytes allows %d",
				ErrTooLarge, len(f.Data), f.Partition, a.most)
		}
		bytes += int64(len(f.Data)) + fragmentBytes
	}
	if len(frags) == 0 {
		return nil
	}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return fmt.Errorf("publishing: %w", ErrClosed)
	}
	a.flight.Add(1)
	a.mu.Unlock()
	defer a.flight.Done()

	ctx, cancel := context.WithTimeoutCause(ctx, a.p.c.cfg.Producer.DeliveryTimeout, ErrTimeout)
	defer cancel()
	req := &request{bytes: min(bytes, a.limit), done: make(chan struct{})}
	if a.budget.Acquire(ctx, req.bytes) != nil {
		if errors.Is(context.Cause(ctx), ErrTimeout) {
			return fmt.Errorf("%w: %d bytes wait", ErrFull, a.limit)
		}
		return fmt.Errorf("publishing: %w", context.Cause(ctx))
	}
	a.held.Add(req.bytes)
	req.left.Store(int32(len(frags)))
	for i := range frags {
		a.add(&frags[i], req)
	}
	select {
	case <-req.done:
		if err := req.err.Load(); err != nil {
			return *err
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("publishing: %w", context.Cause(ctx))
	}
}

// add copies the fragment into its partition's parcel: a caller that gives up may use its data again at once.
func (a *Accumulator) add(f *Fragment, req *request) {
	s := &a.slots[f.Partition]
	var ready, fresh *parcel
	s.mu.Lock()
	if len(f.Data) >= a.full {
		// Large ones travel alone. If the broker refuses one, it takes no other with it.
		ready = a.parcel(f.Partition)
		ready.put(f, req)
	} else {
		if s.open != nil && len(*s.open.buf)+len(f.Data) > a.most {
			ready, s.open = s.open, nil
		}
		if s.open == nil {
			fresh = a.parcel(f.Partition)
			fresh.due = time.Now().Add(a.linger)
			s.open = fresh
		}
		s.open.put(f, req)
		if ready == nil && (len(*s.open.buf) >= a.full || a.linger == 0) {
			ready, fresh, s.open = s.open, nil, nil
		}
	}
	s.mu.Unlock()
	if ready != nil {
		a.ship(ready)
	}
	if fresh == nil {
		return
	}
	a.mu.Lock()
	a.opened = append(a.opened, fresh)
	first, closed := len(a.opened) == 1, a.closed
	a.mu.Unlock()
	switch {
	case closed: // send may be gone
		a.shipOpen(fresh)
	case first:
		a.nudge()
	}
}

// shipOpen ships the parcel unless that has been done.
func (a *Accumulator) shipOpen(p *parcel) {
	s := &a.slots[p.partition]
	s.mu.Lock()
	ours := s.open == p
	if ours {
		s.open = nil
	}
	s.mu.Unlock()
	if ours {
		a.ship(p)
	}
}

func (a *Accumulator) nudge() {
	select {
	case a.more <- struct{}{}:
	default:
	}
}

func (a *Accumulator) parcel(partition int32) *parcel {
	buf, _ := a.bufs.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, 0, a.least())
		buf = &b
	}
	*buf = (*buf)[:0]
	return &parcel{partition: partition, buf: buf}
}

func (p *parcel) put(f *Fragment, req *request) {
	*p.buf = append(*p.buf, f.Data...)
	p.requests = append(p.requests, req)
}

// ship sends a parcel and tells its requests what became of it.
func (a *Accumulator) ship(p *parcel) {
	a.trim(p)
	a.flight.Add(1) // there is a Publish call in flight, or send, which Close waits for first
	a.p.Produce(context.Background(), p.partition, *p.buf, func(err error) {
		if tooLarge(err) && len(p.requests) > 1 {
			// Together too large, which is our doing: none of the requests is to blame.
			// A new error, not a wrapped one: that would say that sending again cannot help.
			err = errors.New("the topic's max.message.bytes is smaller than kafka.producer.record_bytes: " + err.Error())
		}
		for _, req := range p.requests {
			if err != nil {
				req.err.CompareAndSwap(nil, &err)
			}
			if req.left.Add(-1) == 0 {
				close(req.done)
				a.held.Add(-req.bytes)
				a.budget.Release(req.bytes)
			}
		}
		a.recycle(p.buf)
		a.flight.Done()
	})
}

// trim gives a parcel that did not become large a buffer of its size. Thousands of them may wait for Kafka, and the budget
// knows what is in them, not how large their buffers once were.
func (a *Accumulator) trim(p *parcel) {
	large := p.buf
	if cap(*large) <= 2*len(*large)+fragmentBytes {
		return
	}
	small := append(make([]byte, 0, len(*large)), *large...)
	p.buf = &small
	a.recycle(large)
}

// recycle keeps a buffer for another parcel: neither one that was made for a small parcel, nor one that a giant left behind.
func (a *Accumulator) recycle(buf *[]byte) {
	if c := cap(*buf); c >= a.least() && c <= 2*a.full {
		a.bufs.Put(buf)
	}
}

// least is the size of a new buffer.
func (a *Accumulator) least() int { return min(16<<10, a.full) }

// send is the accumulator's goroutine: it ships parcels that nobody filled in time.
func (a *Accumulator) send() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		a.mu.Lock()
		var due []*parcel
		now := time.Now()
		for len(a.opened) > 0 && (a.closed || a.opened[0].due.Before(now)) {
			due = append(due, a.opened[0])
			a.opened[0] = nil
			a.opened = a.opened[1:]
		}
		wait := time.Hour
		if len(a.opened) > 0 {
			// A little later, so that neighbours are due as well.
			wait = a.opened[0].due.Sub(now) + 200*time.Microsecond
		} else {
			a.opened = nil
		}
		closed := a.closed
		a.mu.Unlock()
		for _, p := range due {
			a.shipOpen(p)
		}
		if closed {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-a.more:
		}
	}
}

// Close refuses further requests and sends what is open at once. It returns when the requests in flight are settled, or
// with the context's error when that ends first; closing the Producer settles them in any case.
func (a *Accumulator) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.nudge()
	settled := make(chan struct{})
	go func() {
		a.run.Wait()
		a.flight.Wait()
		close(settled)
	}()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing with requests in flight: %w", ctx.Err())
	}
}
