package kafka

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// What franz-go is given at a time. It keeps the records of a client in one place, and checkpoints must find room there.
	rejectsInFlight     = 512
	rejectBytesInFlight = 8 << 20

	// smallestCut bounds how far a value is cut for a topic that takes less than a record of the spans topic.
	smallestCut = 1 << 10

	rejectLogEvery = 10 * time.Second
)

// Headers of a record in the rejected topic. The value is the data as it came, cut if it does not fit.
const (
	HeaderReason    = "thresher-reason"
	HeaderTopic     = "thresher-topic"     // where it was read, if it was read from Kafka
	HeaderPartition = "thresher-partition" // decimal
	HeaderOffset    = "thresher-offset"    // decimal
	HeaderCut       = "thresher-cut"       // bytes of the whole, decimal; absent if the value is whole
)

// Rejected is data that Thresher cannot use, and why.
type Rejected struct {
	Reason string
	Value  []byte // must not change until done is called
	// Origin, if it was a record. Topic is empty otherwise.
	Topic     string
	Partition int32
	Offset    int64
}

// A Rejecter writes to the rejected topic, and does not give up: what it was given is there, or still waits, or its client
// was closed. Its methods may be called from any goroutine.
//
// It holds references to the data, not copies, and puts no bound on them: whoever rejects counts the bytes as its own
// until done is called, and stops taking in more when that is too much. A bound here could only be kept by dropping.
type Rejecter struct {
	c     *Client
	begin sync.Once
	wake  chan struct{} // something changed that the loop should look at

	mu       sync.Mutex
	queue    []*rejection
	inFlight int
	bytes    int       // of those in flight
	failures int       // rounds in a row in which Kafka did not take something
	pause    time.Time // nothing is sent until then
	since    time.Time // of the first failure of these rounds
	problem  error     // of the last
	said     seldom
}

// rejection is a record that waits or is in flight.
type rejection struct {
	Rejected
	most int // bytes of the value that its record may have
	done func()
}

// NewRejecter makes a rejecter. It lives as long as the client.
func (c *Client) NewRejecter() *Rejecter {
	return &Rejecter{c: c, wake: make(chan struct{}, 1), said: seldom{every: rejectLogEvery}}
}

// Reject writes to the rejected topic, for as long as it takes. It does not block. done is called once, when all in-sync
// replicas have the record, and never if the client is closed before. It is called from a goroutine that all records
// share: it must not block.
func (r *Rejecter) Reject(rj Rejected, done func()) {
	if r.c.ctx.Err() != nil {
		return
	}
	r.c.counters.rejectWaiting.Add(1)
	r.mu.Lock()
	r.queue = append(r.queue, &rejection{rj, r.c.cfg.Spans.MaxRecordBytes - 4*recordOverhead, done})
	r.mu.Unlock()
	r.begin.Do(func() { r.c.watched.Go(r.run) })
	r.nudge()
}

// Problem says why what was rejected does not get into its topic at the moment; nil if it does.
func (r *Rejecter) Problem() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.problem == nil {
		return nil
	}
	return fmt.Errorf("writing to %s: %w", r.c.cfg.Rejected.Topic, r.problem)
}

func (r *Rejecter) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run sends what waits. It is a goroutine and not the callbacks of what was sent before, because sending may have to wait
// for callbacks (see writer).
func (r *Rejecter) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for r.c.ctx.Err() == nil {
		j, wait := r.next(time.Now())
		if j != nil {
			r.c.kc.produce(r.c.ctx, r.record(j), func(err error) {
				r.answered(j, err, time.Now())
				r.nudge()
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-r.c.ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// next takes what is to be sent now, or says how long to wait if nothing changes before.
func (r *Rejecter) next(now time.Time) (*rejection, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil, time.Hour
	}
	if r.pause.After(now) {
		return nil, r.pause.Sub(now)
	}
	j := r.queue[0]
	if r.inFlight > 0 && (r.inFlight >= rejectsInFlight || r.bytes+j.size() > rejectBytesInFlight) {
		return nil, time.Hour
	}
	r.queue[0] = nil
	r.queue = r.queue[1:]
	r.inFlight++
	r.bytes += j.size()
	return j, 0
}

func (j *rejection) size() int { return min(len(j.Value), j.most) }

// answered notes what Kafka said of a record. What it did not take waits again.
func (r *Rejecter) answered(j *rejection, err error, now time.Time) {
	n := &r.c.counters
	r.mu.Lock()
	r.inFlight--
	r.bytes -= j.size()
	switch {
	case err == nil:
		if r.problem != nil && now.Sub(r.since) >= rejectLogEvery {
			r.c.log.Info("the rejected topic takes records again", "topic", r.c.cfg.Rejected.Topic, "after", now.Sub(r.since).Round(time.Millisecond))
		}
		r.failures, r.problem, r.since = 0, nil, time.Time{}
	case r.c.ctx.Err() != nil: // we closed it ourselves; what it was is not settled and comes again
		r.mu.Unlock()
		return
	case tooLarge(err) && j.size() > smallestCut:
		// Somebody made the topic for smaller records. The head of the data is better than none of it.
		j.most = max(j.size()/2, smallestCut)
		r.queue = append(r.queue, j)
	default:
		n.rejectErrors.Add(1)
		r.failed(deliveryError(err), now)
		r.queue = append(r.queue, j)
	}
	r.mu.Unlock()
	if err == nil {
		n.rejected.Add(1)
		n.rejectWaiting.Add(-1)
		j.done()
	}
}

// failed begins a pause, unless one has begun: the records that were in flight together fail together.
func (r *Rejecter) failed(err error, now time.Time) {
	r.problem = err
	if r.since.IsZero() {
		r.since = now
	}
	if r.pause.After(now) {
		return
	}
	r.failures++
	r.pause = now.Add(backoff(r.failures))
	if r.said.now() {
		r.c.log.Error("the rejected topic does not take records; what was rejected waits, its offsets are not settled, and it is tried again",
			"topic", r.c.cfg.Rejected.Topic, "waiting", len(r.queue)+r.inFlight+1, "for", now.Sub(r.since).Round(time.Second), "error", err)
	}
}

// record makes the record of a rejection.
func (r *Rejecter) record(j *rejection) *kgo.Record {
	rec := &kgo.Record{Topic: r.c.cfg.Rejected.Topic, Value: j.Value}
	head := func(k, v string) { rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)}) }
	reason := j.Reason
	if len(reason) > 1<<10 { // it may quote the data
		reason = reason[:1<<10]
	}
	head(HeaderReason, reason)
	if j.Topic != "" {
		head(HeaderTopic, j.Topic)
		head(HeaderPartition, strconv.Itoa(int(j.Partition)))
		head(HeaderOffset, strconv.FormatInt(j.Offset, 10))
	}
	if len(rec.Value) > j.most {
		head(HeaderCut, strconv.Itoa(len(rec.Value)))
		rec.Value = rec.Value[:j.most]
	}
	return rec
}
