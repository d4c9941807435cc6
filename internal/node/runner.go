package node

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"thresher/internal/export"
	"thresher/internal/kafka"
	"thresher/sampler"
)

const (
	checkpointEvery = time.Second
	// refreshEvery is how often a checkpoint is stored although nothing changed: offsets of a silent group expire.
	refreshEvery = time.Hour
	// submitBytes is how much kept payload is gathered before it is handed over within a batch.
	submitBytes = 256 << 10
	// lastCheckpoint is how long the end waits for Kafka to store one.
	lastCheckpoint = time.Second
)

// A runner drives the machine of one partition: it is the goroutine that owns it. It feeds the machine what the log says, hands
// what the machine decides to the backends, tells it what they have acknowledged, and stores checkpoints.
type runner struct {
	n         *Node
	partition int32
	log       *slog.Logger
	machine   *sampler.Machine
	reader    *kafka.Reader
	feed      *kafka.Feed
	acks      acks

	topic    [16]byte     // ID of the topic that is read
	batch    *kafka.Batch // being applied; nil between batches
	at       int          // next record of it
	end      int64        // end of the log as last heard of
	readAt   int64        // timestamp of the last record read, Unix milliseconds
	epoch    int32        // leader epoch of the last record read
	asked    bool         // AskIdle is under way
	items    []export.Item
	itemSize int
	lost     uint64 // spilled traces that could not be read again

	saving     bool      // a checkpoint is on its way to Kafka
	begun      time.Time // when the last one was sent there
	saved      []byte
	savedAt    time.Time
	savedAcked chan savedCheckpoint // room for one, so that the callback never blocks
	complained time.Time
	committed  int64

	wanted   []sampler.Delivery // spilled traces that are to be read again
	fetching int                // goroutines that read one
	gathered chan gathered
	reading  sync.WaitGroup // for them

	view atomic.Pointer[view]
}

type savedCheckpoint struct {
	of     *sampler.Machine
	resume sampler.Resume
	data   []byte
	err    error
}

// view is what others may see of a runner: a copy, replaced as a whole.
type view struct {
	no        int32
	next      sampler.Resume
	resume    sampler.Resume
	committed int64
	end       int64
	readAt    int64
	time      int64
	stats     sampler.Stats
	lost      uint64
	savedAt   time.Time
	building  bool
	held      bool
}

// acks collects acknowledgements from sending goroutines without ever blocking them.
type acks struct {
	mu    sync.Mutex
	seqs  []uint64
	spare []uint64
	ready chan struct{}
}

func (a *acks) add(seq uint64) {
	a.mu.Lock()
	a.seqs = append(a.seqs, seq)
	a.mu.Unlock()
	select {
	case a.ready <- struct{}{}:
	default:
	}
}

func (a *acks) take() []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.seqs
	a.seqs, a.spare = a.spare[:0], s
	return s
}

// run works until ctx ends, then lets the deliveries that are under way finish for as long as finish allows, and stores the
// last checkpoint.
func (r *runner) run(ctx, finish context.Context) {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	for {
		r.publish()
		feed, room := r.feed.Ready(), (<-chan struct{})(nil)
		if full := r.n.delivery.Full(); full || len(r.wanted) > mostWanted {
			// Nothing more is read until the backends have taken something, or what was kept has been read again; time stands
			// still for this partition, and nothing is lost or decided early.
			feed = nil
			if full {
				room = r.n.delivery.Ready()
			}
		} else if r.batch != nil {
			r.apply(ctx)
			r.drainAcks()
			if ctx.Err() == nil {
				select {
				case <-tick.C:
					r.complain()
					r.checkpoint(false)
				case s := <-r.savedAcked:
					r.stored(s)
				case g := <-r.gathered:
					r.submitGathered(g)
				default:
				}
				continue
			}
		}
		select {
		case <-ctx.Done():
			r.finish(finish)
			return
		case <-feed:
			r.take(ctx)
		case <-room:
		case <-r.acks.ready:
			r.drainAcks()
		case g := <-r.gathered:
			r.submitGathered(g)
		case s := <-r.savedAcked:
			r.stored(s)
		case <-tick.C:
			r.complain()
			r.checkpoint(false)
		}
	}
}

// take handles events of the feed until there are none or one is a batch, which is applied piece by piece.
func (r *runner) take(ctx context.Context) {
	for r.batch == nil {
		e, ok := r.feed.Take()
		if !ok {
			r.askIdle()
			return
		}
		switch {
		case e.Batch != nil:
			r.batch, r.at = e.Batch, 0
			r.end = max(r.end, e.Batch.HighWatermark)
		case e.Idle != nil:
			r.idle(e.Idle)
		case e.Gap != nil:
			r.gap(ctx, e.Gap)
		}
	}
}

// apply feeds records of the current batch to the machine, until the batch ends or the backends are full.
func (r *runner) apply(ctx context.Context) {
	b := r.batch
	for n := 0; r.at < len(b.Records); n++ {
		if n%16 == 15 && ctx.Err() != nil {
			return // the rest is still in the log
		}
		rec := &b.Records[r.at]
		for r.machine.Fire(sampler.Offset(rec.Offset), rec.Timestamp, submitBytes) {
			r.carryOut()
			r.submit()
			if r.n.delivery.Full() {
				return // the record is applied when there is room
			}
		}
		r.at++
		r.readAt, r.epoch = rec.Timestamp, rec.LeaderEpoch
		if err := r.machine.Record(sampler.Offset(rec.Offset), rec.Timestamp, rec.Value); err != nil {
			r.n.rejectRecord(r.partition, rec, err)
		}
		r.carryOut()
		if r.itemSize >= submitBytes {
			r.submit()
			if r.n.delivery.Full() || len(r.wanted) > mostWanted {
				return
			}
		}
	}
	r.submit()
	r.machine.Skip(sampler.Resume(b.Next))
	r.batch = nil
	// There may be more in the feed, and its signal has been used up.
	r.take(ctx)
}

// carryOut takes over what the machine wants done.
func (r *runner) carryOut() {
	fx := r.machine.Effects()
	if len(fx.Deliveries) == 0 && len(fx.Invalid) == 0 {
		return
	}
	for i := range fx.Deliveries {
		d := &fx.Deliveries[i]
		if r.n.opts.Observe != nil {
			r.n.opts.Observe(d)
		}
		if d.Offsets != nil {
			r.want(*d)
			continue
		}
		r.items = append(r.items, r.item(d, d.Payload, d.Spans))
		r.itemSize += len(d.Payload)
	}
	for i := range fx.Invalid {
		r.n.rejectSpans(r.partition, &fx.Invalid[i])
	}
	r.machine.Clear()
}

func (r *runner) item(d *sampler.Delivery, payload []byte, spans int) export.Item {
	class := export.Dropped
	if d.Kept {
		class = export.Kept
	}
	return export.Item{Partition: r.partition, Seq: d.Seq, TraceID: d.TraceID, Payload: payload, Spans: spans, Class: class, Policy: d.Policy}
}

func (r *runner) submit() {
	if len(r.items) == 0 {
		return
	}
	r.n.delivery.Submit(r.items)
	clear(r.items)
	r.items, r.itemSize = r.items[:0], 0
}

func (r *runner) drainAcks() {
	for _, seq := range r.acks.take() {
		r.machine.Ack(seq)
	}
}

// askIdle asks for the end of the log when there is something that only the passing of time can decide.
func (r *runner) askIdle() {
	if !r.asked && (r.machine.Waiting() || r.end == math.MinInt64) {
		r.asked = true
		r.feed.AskIdle()
	}
}

// idle moves time on: everything up to the end of the log was applied, and the log ended there at i.At.
func (r *runner) idle(i *kafka.Idle) {
	r.asked = false
	r.end = max(r.end, i.Next)
	if int64(r.machine.Next()) >= i.Next {
		now := i.At.Add(-r.n.client.Config().IdleSlack).UnixMilli()
		for r.machine.Fire(sampler.Offset(r.machine.Next()), now, submitBytes) && !r.n.delivery.Full() {
			r.carryOut()
			r.submit()
		}
		if !r.n.delivery.Full() { // else the next answer goes on with it
			r.machine.Tick(now)
		}
		r.carryOut()
		r.submit()
	}
	r.askIdle()
}

// gap goes on behind records that are gone, or begins again where the log was cut back.
func (r *runner) gap(ctx context.Context, g *kafka.Gap) {
	if g.To >= g.From {
		r.machine.Skip(sampler.Resume(g.To))
		return
	}
	// What was built from records that are no longer there cannot be unbuilt. The partition is taken over anew, as after a
	// crash: from its checkpoint, with all that the log still has.
	r.log.Error("the log was cut back; this partition begins again from its checkpoint", "from", g.From, "to", g.To)
	r.n.delivery.Forget(r.partition)
	r.reader.Unassign(r.partition)
	r.drainAcks()
	clear(r.items)
	r.items, r.itemSize, r.batch, r.asked, r.wanted = r.items[:0], 0, nil, false, nil
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := r.restart(ctx, g.To)
		if err == nil || ctx.Err() != nil {
			return
		}
		r.log.Warn("cannot take the partition over again yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (r *runner) restart(ctx context.Context, cut int64) error {
	stored, _, err := r.n.checkpoints.Load(ctx, r.partition)
	if err != nil {
		return err
	}
	ends, err := r.n.client.EndOffsets(ctx, []int32{r.partition})
	if err != nil {
		return err
	}
	topic, err := r.n.client.SpansTopicID(ctx)
	if err != nil {
		return err
	}
	m, from, err := r.n.restore(ctx, r.partition, topic, stored, ends[r.partition], cut)
	if err != nil {
		return err
	}
	feed, err := r.reader.Assign(r.partition, from)
	if err != nil {
		return err
	}
	r.machine.Release()
	r.machine, r.feed, r.topic, r.end = m, feed, topic, ends[r.partition]
	return nil
}

// checkpoint stores what a restart needs, if it changed. The order is the safety argument: backends have acknowledged, THEN
// the checkpoint is stored, THEN its offset is committed.
func (r *runner) checkpoint(last bool) {
	if r.saving || r.machine.Rebuilding() {
		return
	}
	c := r.machine.Checkpoint()
	if !last && !mayStore(sizeOf(c), time.Since(r.begun)) {
		return
	}
	data := seal(r.topic, c)
	if bytes.Equal(data, r.saved) && time.Since(r.savedAt) < refreshEvery {
		return
	}
	r.saving, r.begun = true, time.Now()
	of := r.machine
	r.n.checkpoints.Save(context.Background(), r.partition, data, func(err error) {
		r.savedAcked <- savedCheckpoint{of, c.Resume, data, err}
	})
}

func (r *runner) stored(s savedCheckpoint) {
	r.saving = false
	if s.err != nil {
		// Without a checkpoint a restart reads more again; nothing else.
		if time.Since(r.complained) > time.Minute {
			r.complained = time.Now()
			r.log.Warn("a checkpoint was not stored; a restart would read more of the log again", "bytes", len(s.data), "error", s.err)
		}
		return
	}
	if s.of != r.machine {
		return
	}
	r.saved, r.savedAt, r.committed = s.data, time.Now(), int64(s.resume)
	r.n.commits.put(r.partition, int64(s.resume), r.epoch)
}

// finish ends the runner: nothing is decided any more, deliveries under way may still be acknowledged until ctx ends.
func (r *runner) finish(ctx context.Context) {
	r.submit()
	for r.machine.Unacknowledged() && ctx.Err() == nil {
		select {
		case <-r.acks.ready:
			r.drainAcks()
		case s := <-r.savedAcked:
			r.stored(s)
		case <-ctx.Done():
		}
	}
	r.reading.Wait()
	r.drainAcks()
	// Kafka may not be there. Then the checkpoint of before holds, and a restart delivers again what was acknowledged since.
	last := time.NewTimer(lastCheckpoint)
	defer last.Stop()
	for range 2 {
		if !r.saving {
			r.checkpoint(true)
		}
		if r.saving {
			select {
			case s := <-r.savedAcked:
				r.stored(s)
			case <-last.C:
				r.log.Warn("Kafka did not take the last checkpoint in time; what was delivered since the one before is delivered again")
				r.publish()
				return
			}
		}
	}
	r.publish()
}

func (r *runner) publish() {
	t, _ := r.machine.Time()
	r.view.Store(&view{
		no: r.partition, next: r.machine.Next(), resume: r.machine.Resume(), committed: r.committed,
		end: r.end, readAt: r.readAt, time: t, stats: r.machine.Stats(), lost: r.lost,
		savedAt: r.savedAt, building: r.machine.Rebuilding(), held: r.n.delivery.Full(),
	})
}

func (v *view) partition() Partition {
	p := Partition{
		Partition: v.no, NextOffset: int64(v.next), ResumeOffset: int64(v.resume), CommittedOffset: v.committed,
		EndOffset: max(v.end, int64(v.next)), OpenTraces: v.stats.OpenTraces, Decisions: v.stats.Decisions, Unsettled: v.stats.Unsettled,
		BufferedBytes: v.stats.BufferedBytes, Rebuilding: v.building, Held: v.held,
	}
	p.LagRecords = p.EndOffset - p.NextOffset
	if p.LagRecords > 0 && v.readAt > 0 {
		p.LagSeconds = max(0, time.Since(time.UnixMilli(v.readAt)).Seconds())
	}
	if !v.savedAt.IsZero() {
		p.CheckpointAge = time.Since(v.savedAt).Seconds()
	}
	if v.time > 0 {
		p.Time = time.UnixMilli(v.time).UTC().Format(time.RFC3339Nano)
	}
	return p
}
