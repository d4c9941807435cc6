package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stuckAfter is how long the reader waits for the budget before it looks which partitions nobody drains.
const stuckAfter = 500 * time.Millisecond

var errMadeAnew = errors.New("the topic was deleted and made again")

// A Reader reads assigned partitions of the spans topic, each into its Feed. Assign and Unassign may be called from any
// goroutine, before and while Run runs.
type Reader struct {
	c  *Client
	kc *kgo.Client

	patience int // how often a batch must fail before it is jumped over

	// spent is the size of what waits in feeds that are not paused. starved: Run waits for it to shrink.
	spent   atomic.Int64
	starved atomic.Bool
	spare   chan struct{}

	mu      sync.Mutex
	desired map[int32]*Feed    // what Run is to fetch
	mended  []mend             // what it is to fetch again
	kicked  bool               // something of the above has changed
	abort   context.CancelFunc // ends Run's wait for records

	broken []*breakage // what survey is to mend

	anew bool // the topic is another one, as the brokers say

	// Of Run's goroutine.
	active   map[int32]*Feed
	complain seldom
}

// NewReader makes a reader without partitions. Ensure must have succeeded.
func (c *Client) NewReader() (*Reader, error) {
	cfg := &c.cfg
	opts := append([]kgo.Opt{
		// A load balancer that closes a connection is not a broker that refuses us. (The client's own connections take
		// it for that: there it is the only sign of plain text meeting TLS, and Ensure tries again anyway.)
		kgo.AlwaysRetryEOF(),
		kgo.FetchMaxWait(cfg.Reader.MaxWait),
		kgo.FetchMinBytes(1),
		kgo.FetchMaxBytes(int32(cfg.Reader.FetchBytes)),
		kgo.FetchMaxPartitionBytes(int32(cfg.Reader.PartitionBytes)),
		// One record larger than the above comes all the same, in an answer of its own.
		kgo.BrokerMaxReadBytes(int32(min(1<<30, 2*max(cfg.Reader.FetchBytes, cfg.Spans.MaxRecordBytes)+(1<<20)))),
		kgo.MaxDecompressBatchBytes(max(256<<20, 16*cfg.Spans.MaxRecordBytes)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers move Batch.Next over them: without that, a log that ends with one would never be read to its end.
		kgo.KeepControlRecords(),
		// What is out of range is ours to decide: franz-go would go on at another offset without a word.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.RequestTimeoutOverhead(cfg.RequestTimeout),
		kgo.RetryTimeout(cfg.RequestTimeout),
	}, c.dial...)
	kc, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, &FatalError{fmt.Errorf("kafka: %w", err)}
	}
	return &Reader{
		c: c, kc: kc,
		patience: skipAfter,
		spare:    make(chan struct{}, 1),
		desired:  make(map[int32]*Feed),
		active:   make(map[int32]*Feed),
		complain: seldom{every: 10 * time.Second},
	}, nil
}

// Assign starts the reading of a partition with the record at offset at; the end offset is allowed. If the log has
// nothing at that offset any more, the first event is a Gap.
func (r *Reader) Assign(partition int32, at int64) (*Feed, error) {
	if partition < 0 || int(partition) >= r.c.cfg.Spans.Partitions {
		return nil, fmt.Errorf("partition %d of %s: there are %d", partition, r.c.cfg.Spans.Topic, r.c.cfg.Spans.Partitions)
	}
	if at < 0 {
		return nil, fmt.Errorf("partition %d of %s: offset %d is negative", partition, r.c.cfg.Spans.Topic, at)
	}
	f := &Feed{partition: partition, r: r, ready: make(chan struct{}, 1), next: at}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.desired[partition] != nil {
		return nil, fmt.Errorf("partition %d of %s is assigned already", partition, r.c.cfg.Spans.Topic)
	}
	r.desired[partition] = f
	r.c.counters.assigned.Store(int64(len(r.desired)))
	r.kick()
	return f, nil
}

// Unassign ends the reading of a partition. After it has returned its feed gives nothing more. Unassigning what is not
// assigned does nothing.
func (r *Reader) Unassign(partition int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.desired[partition]; f != nil {
		f.close()
		delete(r.desired, partition)
		r.c.counters.assigned.Store(int64(len(r.desired)))
		r.kick()
	}
}

// Run reads until the context ends, and returns its error. It must be called once. Afterwards the reader is closed and
// all feeds are empty.
func (r *Reader) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var survey sync.WaitGroup
	survey.Go(func() { r.survey(ctx) })
	defer func() {
		cancel()
		survey.Wait()
		r.mu.Lock()
		for p, f := range r.desired {
			f.close()
			delete(r.desired, p)
		}
		r.mu.Unlock()
		r.c.counters.assigned.Store(0)
		r.c.counters.paused.Store(0)
		r.kc.Close()
	}()
	for ctx.Err() == nil {
		r.apply()
		if r.spent.Load() >= int64(r.c.cfg.Reader.BufferBytes) {
			r.awaitSpare(ctx)
			continue
		}
		poll, done := r.pollContext(ctx)
		fetches := r.kc.PollFetches(poll)
		done()
		fetches.EachTopic(func(t kgo.FetchTopic) {
			for i := range t.Partitions {
				r.deliver(&t.Partitions[i])
			}
		})
		if fetches.IsClientClosed() {
			return fmt.Errorf("reader: %w", ErrClosed)
		}
	}
	return ctx.Err()
}

// kick ends the wait of Run. The caller holds mu.
func (r *Reader) kick() {
	r.kicked = true
	if r.abort != nil {
		r.abort()
	}
	select {
	case r.spare <- struct{}{}:
	default:
	}
}

func (r *Reader) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kick()
}

// pollContext is over as soon as there is something to apply.
func (r *Reader) pollContext(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kicked {
		cancel()
	}
	r.abort = cancel
	return ctx, func() {
		r.mu.Lock()
		r.abort = nil
		r.mu.Unlock()
		cancel()
	}
}

// apply makes what is fetched what is desired. Only here, between two polls, does it change: no record of an earlier
// assignment can be taken for one of a later.
func (r *Reader) apply() {
	r.mu.Lock()
	r.kicked = false
	desired := maps.Clone(r.desired)
	mended := r.mended
	r.mended = nil
	anew := r.anew
	r.anew = false
	r.mu.Unlock()

	var remove []int32
	add := make(map[int32]kgo.Offset)
	for p, f := range r.active {
		if desired[p] == f {
			continue
		}
		if !f.mending {
			remove = append(remove, p)
		}
		r.setPaused(f, false)
		delete(r.active, p)
	}
	for p, f := range desired {
		if r.active[p] == nil {
			r.active[p] = f
			add[p] = kgo.NewOffset().At(f.next)
		}
	}
	for _, m := range mended {
		f := m.feed
		if r.active[f.partition] != f || !f.mending {
			continue
		}
		if m.anew {
			r.startAnew(m)
		}
		f.mending = false
		if m.anew {
			r.c.counters.gaps.Add(1)
			f.put(Event{Gap: &Gap{Partition: f.partition, From: f.next, To: m.to, Cause: m.cause, Anew: true}}, m.to, r.bound())
		} else {
			r.jump(f, m.to, m.cause)
		}
		add[f.partition] = kgo.NewOffset().At(f.next)
	}
	if anew && r.c.madeAnew() {
		for p, f := range r.active {
			if !f.mending {
				delete(add, p)
				r.breakOff(f, errMadeAnew)
			}
		}
	}
	topic := r.c.cfg.Spans.Topic
	if len(remove) > 0 {
		r.kc.RemoveConsumePartitions(map[string][]int32{topic: remove})
	}
	if len(add) > 0 {
		r.kc.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: add})
	}
	for _, f := range r.active {
		f.mu.Lock()
		again := f.paused && f.bytes <= f.resume
		f.mu.Unlock()
		if again {
			r.setPaused(f, false)
		}
	}
}

// deliver puts what was fetched of a partition into its feed.
func (r *Reader) deliver(p *kgo.FetchPartition) {
	f := r.active[p.Partition]
	if f == nil || f.mending {
		// Partition -1 carries errors of the whole topic or client; franz-go tries again by itself.
		if p.Partition < 0 && p.Err != nil && !errors.Is(p.Err, context.Canceled) && r.complain.now() {
			r.c.log.Error("reading is interrupted", "topic", r.c.cfg.Spans.Topic, "error", p.Err)
		}
		return
	}
	if len(p.Records) > 0 {
		r.deliverRecords(f, p)
	}
	if p.Err == nil || errors.Is(p.Err, context.Canceled) || errors.Is(p.Err, kgo.ErrClientClosed) {
		return
	}
	if loss, ok := errors.AsType[*kgo.ErrDataLoss](p.Err); ok {
		r.c.counters.fetchErrors.Add(1)
		r.jump(f, loss.ResetTo, p.Err) // franz-go goes on there by itself
		return
	}
	r.breakOff(f, p.Err)
}

func (r *Reader) deliverRecords(f *Feed, p *kgo.FetchPartition) {
	b := &Batch{Partition: f.partition, HighWatermark: p.HighWatermark, Records: make([]Record, 0, len(p.Records))}
	var bytes int
	next := f.next
	for _, rec := range p.Records {
		if rec.Offset < next {
			continue // of a batch that began before the offset we asked for
		}
		next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			continue
		}
		b.Records = append(b.Records, record(rec))
		b.shared = b.shared || rec.Attrs.CompressionType() == 0
		bytes += len(rec.Value)
		f.lastTime = rec.Timestamp.UnixMilli()
	}
	if next == f.next {
		return
	}
	b.Next = next
	r.c.counters.consumedRecords.Add(uint64(len(b.Records)))
	r.c.counters.consumedBytes.Add(uint64(bytes))
	if f.put(Event{Batch: b}, next, r.bound()) {
		r.setPaused(f, true)
	}
}

// jump makes reading go on at another offset, loudly.
func (r *Reader) jump(f *Feed, to int64, cause error) {
	from := f.next
	if to == from {
		return
	}
	r.c.counters.gaps.Add(1)
	if to > from {
		r.c.counters.lostRecords.Add(uint64(to - from))
		r.c.log.Error("records were lost before they were read", "topic", r.c.cfg.Spans.Topic, "partition", f.partition,
			"from", from, "to", to, "records", to-from, "cause", cause)
	} else {
		r.c.log.Error("the log was cut back; what was read from it is no longer there", "topic", r.c.cfg.Spans.Topic,
			"partition", f.partition, "read_to", from, "reading_on_at", to, "cause", cause)
	}
	f.put(Event{Gap: &Gap{Partition: f.partition, From: from, To: to, Cause: cause}}, to, r.bound())
}

// bound is what one feed may hold before it is paused: twice its share, so that partitions of unequal traffic are not
// paused while the budget has room, and never less than a fetch.
func (r *Reader) bound() int {
	return max(r.c.cfg.Reader.PartitionBytes, 2*r.c.cfg.Reader.BufferBytes/max(1, len(r.active)))
}

// setPaused stops or goes on with the fetching of a partition. Between the two, half of what waits is taken: a feed at
// its bound does not toggle with each batch, which would throw away a fetch each time.
func (r *Reader) setPaused(f *Feed, paused bool) {
	f.mu.Lock()
	same := f.paused == paused
	f.mu.Unlock()
	if same {
		return
	}
	what := map[string][]int32{r.c.cfg.Spans.Topic: {f.partition}}
	if paused {
		r.c.counters.pauses.Add(1)
		r.c.counters.paused.Add(1)
		r.kc.PauseFetchPartitions(what)
	} else {
		r.c.counters.paused.Add(-1)
		r.kc.ResumeFetchPartitions(what)
	}
	f.setPaused(paused)
}

func (r *Reader) spend(n int) { r.spent.Add(int64(n)) }

func (r *Reader) release(n int) {
	left := r.spent.Add(int64(-n))
	if r.starved.Load() && left < int64(r.c.cfg.Reader.BufferBytes) {
		select {
		case r.spare <- struct{}{}:
		default:
		}
	}
}

// awaitSpare waits for the budget that all drained partitions share. Not polling costs nothing: what franz-go has
// fetched it keeps. If a while passes, partitions that nobody has taken from are paused, so that they leave the
// budget to the others.
func (r *Reader) awaitSpare(ctx context.Context) {
	r.starved.Store(true)
	defer r.starved.Store(false)
	for _, f := range r.active {
		f.mu.Lock()
		f.seenTakes = f.takes
		f.mu.Unlock()
	}
	if r.spent.Load() < int64(r.c.cfg.Reader.BufferBytes) {
		return
	}
	stuck := time.NewTimer(stuckAfter)
	defer stuck.Stop()
	select {
	case <-ctx.Done():
	case <-r.spare:
	case <-stuck.C:
		for _, p := range slices.Sorted(maps.Keys(r.active)) {
			f := r.active[p]
			f.mu.Lock()
			idle := f.takes == f.seenTakes && f.bytes > 0
			f.mu.Unlock()
			if idle {
				r.setPaused(f, true)
			}
		}
	}
}
