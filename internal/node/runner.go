package node

import (
	"bytes"
	"context"
	"log/slog"
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
	rejects   *rejects

	topic    [16]byte     // ID of the topic that is read
	found    kafka.Stored // the checkpoint that was there when it was taken over
	retired  bool         // that is not needed any more
	batch    *kafka.Batch // being applied; nil between batches
	at       int          // next record of it
	end      int64        // end of the log as last heard of
	readAt   int64        // timestamp of the last record read, Unix milliseconds
	epoch    int32        // leader epoch of the last record read
	heard    bool         // a record came since the last look
	ticking  bool         // a tick is on its way to Kafka
	tickAt   int64        // offset of the last tick that Kafka has; -1: none
	ticked   chan ticked  // room for one, so that the callback never blocks
	items    []export.Item
	itemSize int
	lost     uint64 // spilled traces that could not be read again

	saving     bool      // a checkpoint is on its way to Kafka
	begun      time.Time // when the last one was sent there
	saved      []byte
	savedAt    time.Time
	savedAcked chan savedCheckpoint // room for one, so that the callback never blocks
	complained time.Time
	jumps      uint64  // in time, as last seen
	astray     *astray // nil: no trace was found that does not belong here
	committed  int64

	moves moves

	wanted        []sampler.Delivery // spilled traces that are to be read again
	wantedOffsets int                // of these
	fetching      int                // goroutines that read one
	gathered      chan gathered
	reading       sync.WaitGroup // for them

	view atomic.Pointer[view]
}

type savedCheckpoint struct {
	of     *sampler.Machine
	resume sampler.Resume
	data   []byte
	err    error
}

type ticked struct {
	of     *sampler.Machine // that waited for it: an offset of a log that was made anew or cut since means nothing
	offset int64
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
	oldest    int64 // timestamp of the first record that is fetched and not read, Unix milliseconds; 0 if there is none
	time      int64
	ahead     time.Duration // of the stamps of the log before time
	stats     sampler.Stats
	lost      uint64
	savedAt   time.Time
	building  bool
	held      bool
	astray    *astray
}

// acks collects acknowledgements from sending goroutines without ever blocking them.
type acks struct {
	mu      sync.Mutex
	seqs    []uint64
	spare   []uint64
	parcels []*parcel // that Kafka has answered
	ready   chan struct{}
}

func (a *acks) add(seq uint64) {
	a.mu.Lock()
	a.seqs = append(a.seqs, seq)
	a.mu.Unlock()
	a.signal()
}

func (a *acks) signal() {
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
	silence := time.NewTicker(r.n.client.Config().TickInterval)
	defer silence.Stop()
	r.claim()
	for {
		r.publish()
		feed, room, gathered := r.feed.Ready(), (<-chan struct{})(nil), (<-chan gathered)(r.gathered)
		if r.mustWait() {
			// Nothing more is read until the backends or the rejected topic have taken something, or what was kept has been read
			// again; time stands still for this partition, and nothing is lost or decided early.
			feed = nil
			if r.n.delivery.Full() {
				room, gathered = r.n.delivery.Ready(), nil
			}
		} else if r.batch != nil {
			r.apply(ctx)
			r.drainAcks()
			if ctx.Err() == nil {
				select {
				case <-tick.C:
					r.onTick()
				case s := <-r.savedAcked:
					r.checkpointStored(s)
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
		case <-r.rejects.ready:
		case <-r.acks.ready:
			r.drainAcks()
		case g := <-gathered:
			r.submitGathered(g)
		case s := <-r.savedAcked:
			r.checkpointStored(s)
		case t := <-r.ticked:
			r.tickStored(t)
		case <-silence.C:
			r.passTime()
		case <-tick.C:
			r.onTick()
		}
	}
}

func (r *runner) onTick() {
	r.complain()
	r.complainOfTime()
	r.moveAgain()
	r.checkpoint(false)
}

// take handles events of the feed until there are none or one is a batch, which is applied piece by piece.
func (r *runner) take(ctx context.Context) {
	for r.batch == nil {
		e, ok := r.feed.Take()
		if !ok {
			return
		}
		switch {
		case e.Batch != nil:
			r.batch, r.at, r.heard = e.Batch, 0, true
			r.end = max(r.end, e.Batch.HighWatermark)
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
			if r.mustWait() {
				return // the record is applied when there is room
			}
		}
		r.at++
		r.readAt, r.epoch = rec.Timestamp, rec.LeaderEpoch
		read := r.machine.Record
		if rec.Moved() {
			read = r.machine.Moved
		}
		if err := read(sampler.Offset(rec.Offset), rec.Timestamp, rec.Value); err != nil {
			r.rejectRecord(rec, err)
		}
		r.carryOut()
		if r.itemSize+r.moves.size >= submitBytes {
			r.submit()
		}
		if r.mustWait() {
			r.submit() // or what is to be waited for never comes
			return
		}
	}
	r.submit()
	r.machine.Skip(sampler.Resume(b.Next))
	r.batch = nil
	// There may be more in the feed, and its signal has been used up.
	r.take(ctx)
}

// mustWait reports whether nothing more may be read for now.
func (r *runner) mustWait() bool {
	return r.n.delivery.Full() || r.wantsMuch() || r.machine.Full() || r.n.mover.full() || r.rejects.full()
}

// carryOut takes over what the machine wants done.
func (r *runner) carryOut() {
	fx := r.machine.Effects()
	if len(fx.Deliveries) == 0 && len(fx.Invalid) == 0 && len(fx.Moves) == 0 {
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
		r.rejectSpans(&fx.Invalid[i])
	}
	for i := range fx.Moves {
		r.move(&fx.Moves[i])
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
	r.sendMoves()
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
	for _, p := range r.acks.takeParcels() {
		r.moved(p)
	}
}

// passTime appends a record without spans to the log if traces wait for time to pass and nothing comes: then the log, and not a clock of
// this node, says that time has passed, and whoever reads it again sees the same.
//
// What if it were the node's clock? A broker stamps a record before it writes it, and it becomes visible when the replicas have it:
//
//  1. At 12:00:00 a span of trace a is stamped. The broker's disk is out of breath.
//  2. At 12:00:05 the node asks where the log ends: at a's first record. Its clock says that a is due, and a is dropped.
//  3. At 12:00:06 the span, an error, becomes visible: late, for the node. For whoever reads the log again a is one trace with an
//     error that came in time.
//
// A tick of 12:00:05 stands behind the span in the log, or the broker has stamped the span later than the tick.
func (r *runner) passTime() {
	heard := r.heard
	r.heard = false
	switch {
	case heard, r.batch != nil, r.ticking, !r.machine.Waiting():
	case int64(r.machine.Next()) <= r.tickAt: // reading has not come to the last one
	default:
		r.ticking = true
		of := r.machine
		r.n.client.Tick(r.partition, func(offset int64, err error) { r.ticked <- ticked{of, offset, err} })
	}
}

// tickStored takes what became of a tick.
func (r *runner) tickStored(t ticked) {
	r.ticking = false
	if t.err == nil {
		if t.of == r.machine {
			r.tickAt = t.offset
		}
		return
	}
	if r.n.complaints.due("ticks", time.Now()) {
		r.log.Warn("cannot write to the log that time passes: traces in a silent partition wait for its next record; "+
			"if this node may only read the topic, grant it Write", "error", t.err)
	}
}

// complainOfTime logs that the clocks of brokers leap, which nothing depends on but how long traces wait.
func (r *runner) complainOfTime() {
	s := r.machine.Stats()
	jumps := s.TimeLeaps + s.TimeFalls
	if jumps == r.jumps {
		return
	}
	r.jumps = jumps
	if r.n.complaints.due("time", time.Now()) {
		r.log.Warn("the timestamps of the log jump: the clock of a broker is wrong or was mended, or nothing was written for long; "+
			"traces waited up to 10 s less for each jump ahead, and nothing else depends on it",
			"jumps_ahead", s.TimeLeaps, "jumps_back", s.TimeFalls, "stamps_ahead", time.Duration(r.machine.Ahead())*time.Millisecond)
	}
}

// own puts the runner in charge of a partition.
func (r *runner) own(t *takeover, m *sampler.Machine) {
	r.machine, r.topic, r.found, r.end, r.epoch = m, t.topic, t.stored, t.end, -1
	r.saved, r.savedAt, r.committed, r.tickAt, r.retired = nil, time.Now(), int64(m.Resume()), -1, false
	r.jumps = 0
}

// gap goes on behind records that are gone, or begins again where the log was cut back.
func (r *runner) gap(ctx context.Context, g *kafka.Gap) {
	if g.To >= g.From && !g.Anew {
		r.machine.Skip(sampler.Resume(g.To))
		return
	}
	// What was built from records that are no longer there cannot be unbuilt. The partition is taken over anew, as after a
	// crash: from its checkpoint, with all that the log still has.
	if g.Anew {
		r.log.Error("the topic was deleted and made again; this partition begins anew", "from", g.From, "to", g.To)
	} else {
		r.log.Error("the log was cut back; this partition begins again from its checkpoint", "from", g.From, "to", g.To)
	}
	r.n.delivery.Forget(r.partition)
	r.reader.Unassign(r.partition)
	r.drainAcks()
	if r.rejects.abandon() {
		r.saving = false // stored later, it would be newer than what the partition begins again from
	}
	clear(r.items)
	r.items, r.itemSize, r.batch, r.wanted, r.wantedOffsets = r.items[:0], 0, nil, nil, 0
	r.forgetMoves()
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
	known, err := r.n.lookUp(ctx, []int32{r.partition})
	if err != nil {
		return err
	}
	t := known[r.partition]
	t.cut = cut
	m, from, err := r.n.restore(ctx, t)
	if err != nil {
		return err
	}
	feed, err := r.reader.Assign(r.partition, from)
	if err != nil {
		return err
	}
	r.machine.Release()
	r.feed = feed
	r.own(t, m)
	return nil
}

// claim stores the checkpoint that was found once more, under the epoch of this owner: from now on what an owner before stores is not
// taken for the newest.
func (r *runner) claim() { r.store(r.machine.Checkpoint()) }

// checkpoint stores what a restart needs, if it changed. The order is the safety argument: backends have acknowledged, and the
// rejected topic has what was rejected, THEN the checkpoint is stored, THEN its offset is committed.
func (r *runner) checkpoint(last bool) {
	if r.saving || r.machine.Rebuilding() {
		return
	}
	if !last && !mayStore(r.machine.CheckpointSize(), time.Since(r.begun)) {
		return
	}
	r.store(r.machine.Checkpoint())
}

func (r *runner) store(c *sampler.Checkpoint) {
	data, shed := r.n.sealer.seal(r.topic, c)
	if shed != (sampler.Shed{}) && r.n.complaints.due("large checkpoint", time.Now()) {
		r.log.Error("a checkpoint would be larger than Kafka takes, so a part was left out: after a restart some traces are delivered twice, late "+
			"spans of some long traces decided by themselves, or policies that depend on other traces begin anew; lower max_keys of such policies",
			"deliveries", shed.Delivered, "long_traces", shed.Long, "state_of_policies", shed.State)
	}
	if bytes.Equal(data, r.saved) && time.Since(r.savedAt) < refreshEvery {
		return
	}
	r.saving, r.begun = true, time.Now()
	of := r.machine
	epoch := r.found.Epoch + 1
	r.rejects.after(func() {
		r.n.checkpoints.Save(context.Background(), r.partition, epoch, data, func(err error) {
			r.savedAcked <- savedCheckpoint{of, c.Resume, data, err}
		})
	})
}

func (r *runner) checkpointStored(s savedCheckpoint) {
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
	if r.found.Epoch > 0 && !r.retired { // others' are of no use any more
		r.n.checkpoints.Retire(r.partition, append(r.found.Older, r.found.Epoch))
		r.retired = true
	}
	r.n.commits.put(r.partition, kafka.Committed{Offset: int64(s.resume), LeaderEpoch: r.epoch, Metadata: topicText(r.topic)})
}

// finish ends the runner: nothing is decided any more, deliveries under way may still be acknowledged until ctx ends.
func (r *runner) finish(ctx context.Context) {
	r.submit()
	for r.machine.Unacknowledged() && ctx.Err() == nil {
		select {
		case <-r.acks.ready:
			r.drainAcks()
		case s := <-r.savedAcked:
			r.checkpointStored(s)
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
				r.checkpointStored(s)
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
		end: r.end, readAt: r.readAt, oldest: r.oldest(), time: t, ahead: time.Duration(r.machine.Ahead()) * time.Millisecond,
		stats: r.machine.Stats(), lost: r.lost, astray: r.astray,
		savedAt: r.savedAt, building: r.machine.Rebuilding(), held: r.n.delivery.Full() || r.machine.Full(),
	})
}

// oldest returns the timestamp of the first record that is fetched and not read; 0 if there is none.
func (r *runner) oldest() int64 {
	if r.batch != nil && r.at < len(r.batch.Records) {
		return r.batch.Records[r.at].Timestamp
	}
	at, _ := r.feed.Oldest()
	return at
}

func (v *view) partition(ends *logEnds, now time.Time) Partition {
	end, caughtUp := ends.of(v.no)
	p := Partition{
		Partition: v.no, NextOffset: int64(v.next), ResumeOffset: int64(v.resume), CommittedOffset: v.committed,
		EndOffset: max(v.end, end, int64(v.next)), OpenTraces: v.stats.OpenTraces, Decisions: v.stats.Decisions, Unsettled: v.stats.Unsettled,
		BufferedBytes: v.stats.BufferedBytes, Rebuilding: v.building, Held: v.held,
	}
	p.LagRecords = p.EndOffset - p.NextOffset
	if p.LagRecords > 0 {
		p.LagSeconds = now.Sub(v.oldestUnread(now, caughtUp)).Seconds()
	}
	if !v.savedAt.IsZero() {
		p.CheckpointAge = now.Sub(v.savedAt).Seconds()
	}
	p.StampsAhead = v.ahead.Seconds()
	if v.time > 0 {
		p.Time = time.UnixMilli(v.time).UTC().Format(time.RFC3339Nano)
	}
	return p
}
