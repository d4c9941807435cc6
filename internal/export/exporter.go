package export

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/config/configretry"
)

// sender carries a batch to a backend and tells the outcome. Calls are concurrent, except to a sender that allows one
// request in flight. It returns soon after its context has ended.
type sender interface {
	send(ctx context.Context, b *batch) outcome
	close() error
}

// crowded is how long a batch that has failed often waits for others of its kind to end.
const crowded = 100 * time.Millisecond

// opener is a configuration that brings its own sender.
type opener interface{ open() (sender, error) }

// exporter is one destination: what waits for it, and the loop that decides what to send next.
//
// A batch waits in one of three places: traces that were never sent in the queue, batches that were sent and will be sent
// again among the parked, the others in flight. A parked batch does not occupy a place in flight, so a few batches that
// fail again and again do not hold up the rest.
type exporter struct {
	id       string
	required [numClasses]bool
	routed   [numClasses]bool
	share    int64 // bytes that best-effort items may hold
	rejects  bool  // on_refusal: reject
	batching Batching
	retry    configretry.BackOffConfig
	sender   sender
	delivery *Delivery
	counts   counters
	log      *notices
	random   func() float64 // 0 to 1, spreads retries

	wake chan struct{} // something changed that the loop should look at

	mu         sync.Mutex
	queue      queue
	parked     parked
	inFlight   int
	order      uint64
	bestEffort int64     // bytes of best-effort items, wherever they wait
	slow       int       // in flight of those that fail while others are accepted
	failures   int       // requests in a row that nothing was accepted of
	pause      time.Time // the backend asked for one until then
	probe      time.Time // while failing: when to try a batch that was never sent
	maxBytes   int       // of a batch; less than configured once the backend has found one too large

	lastAccepted time.Time // zero: nothing yet
	refusal      *Refusal  // what the backend says that accepts nothing, until it does

	// See hold.go.
	holding bool
	refused queue     // what was refused and set back
	scout   *batch    // a part of the first batch that was refused: parked or in flight
	aside   []*batch  // wait for what it finds
	rounds  int       // that were announced
	round   time.Time // when the next one begins
	left    int       // requests of the present one
	scouts  uint64    // requests of all

	// See blame.go.
	gap          uint64   // counts fresh answers
	gapBegunWell bool     // the last one was an acceptance
	failedAlone  []*batch // single traces that failed since
}

// enqueue adds entries of one Submit. It returns those that a best-effort exporter has no room for.
func (e *exporter) enqueue(entries []*entry) (discarded []*entry) {
	e.mu.Lock()
	for _, en := range entries {
		if !e.required[en.Class] {
			if e.bestEffort > 0 && e.bestEffort+en.size > e.share {
				discarded = append(discarded, en)
				continue
			}
			e.bestEffort += en.size
		}
		e.counts.hold(1, int64(len(en.Payload)))
		e.queue.push(en)
	}
	e.mu.Unlock()
	e.nudge()
	return discarded
}

// bestEffortFor reports whether any class reaches this exporter on best effort.
func (e *exporter) bestEffortFor() bool {
	for class, routed := range e.routed {
		if routed && !e.required[class] {
			return true
		}
	}
	return false
}

// discard settles best-effort entries that found no room.
func (e *exporter) discard(entries []*entry, now time.Time) {
	for _, en := range entries {
		e.counts.discardedTraces.Add(1)
		e.counts.discardedSpans.Add(uint64(en.Spans))
		e.counts.discardedBytes.Add(uint64(len(en.Payload)))
		e.delivery.settle(en, false)
	}
	e.log.discarded(len(entries), e.share, now)
}

func (e *exporter) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run is the loop. It starts a goroutine for each request and returns when stop ends; requests go on until their own
// context does.
func (e *exporter) run(stop, requests context.Context, inFlight *sync.WaitGroup) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for stop.Err() == nil {
		b, wait := e.next(time.Now())
		if b != nil {
			inFlight.Go(func() {
				e.counts.requests.Add(1)
				out := e.sender.send(requests, b)
				e.finish(b, out, requests.Err() != nil)
				e.nudge()
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-stop.Done():
		case <-e.wake:
		case <-timer.C:
		}
	}
}

// next picks what to send now, or says how long to wait if nothing changes before.
func (e *exporter) next(now time.Time) (*batch, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wait := time.Hour
	if e.inFlight >= e.batching.MaxInFlight {
		return nil, wait
	}
	for e.parked.Len() > 0 {
		if due := e.parked.first(); due.After(now) {
			wait = due.Sub(now)
			break
		}
		b := e.parked.take()
		e.dropForgotten(b.remove(func(_ int, en *entry) bool { return en.part.forgotten.Load() }))
		if len(b.entries) == 0 {
			e.scoutLost(now)
			continue
		}
		if e.lags(b) {
			// Each may take the whole timeout to fail. They must not take all places from those that do not.
			if e.slow >= max(1, e.batching.MaxInFlight/2) {
				e.park(b, now.Add(crowded))
				continue
			}
			b.slow = true
			e.slow++
		}
		b.trusted = e.trusted(now)
		e.inFlight++
		return b, 0
	}
	from := e.nextQueue()
	if from.count == 0 {
		return nil, wait
	}
	start := e.startNew(from, now)
	if start.After(now) {
		return nil, min(wait, start.Sub(now))
	}
	var b *batch
	if e.holding {
		b = e.formRound(from, now)
	} else {
		b = e.form(from, e.batching.MaxBatchTraces)
	}
	if b == nil {
		return nil, wait
	}
	if e.failing() {
		b.probe = e.inFlight+e.parked.Len() > 0
		e.probe = now.Add(e.retry.MaxInterval)
	}
	b.trusted = e.trusted(now)
	e.inFlight++
	return b, 0
}

// startNew says when the next batch of traces from a queue may start.
func (e *exporter) startNew(from *queue, now time.Time) time.Time {
	start := from.at(0).submitted.Add(e.batching.BatchTimeout)
	if from.bytes >= int64(e.maxBytes) || from.count >= e.batching.MaxBatchTraces {
		start = now
	}
	if e.pause.After(start) {
		start = e.pause
	}
	if e.holding {
		return e.startRound(start, now)
	}
	// While nothing is accepted, the batches that failed are enough to find out when that changes. But they may fail
	// because of what is in them, so now and then a new one is tried as well.
	if e.failing() && e.inFlight+e.parked.Len() > 0 && e.probe.After(start) {
		start = e.probe
	}
	return start
}

func (e *exporter) failing() bool { return e.failures >= e.batching.MaxInFlight }

// form takes whole traces from a queue up to the limits, one at least.
func (e *exporter) form(from *queue, most int) *batch {
	var entries []*entry
	var forgotten []*entry
	size := 0
	for from.count > 0 && len(entries) < most {
		en := from.at(0)
		if en.part.forgotten.Load() {
			forgotten = append(forgotten, from.pop())
			continue
		}
		if len(entries) > 0 && size+len(en.Payload) > e.maxBytes {
			break
		}
		size += len(en.Payload)
		entries = append(entries, from.pop())
	}
	e.dropForgotten(forgotten)
	if len(entries) == 0 {
		return nil
	}
	return newBatch(entries)
}

// forget discards what waits of a partition. Requests in flight go on; nobody hears of their outcome.
func (e *exporter) forget(p *partition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dropForgotten(e.queue.remove(p))
	e.dropForgotten(e.refused.remove(p))
	e.dropForgotten(e.parked.remove(p))
	for _, b := range e.aside {
		e.dropForgotten(b.remove(func(_ int, en *entry) bool { return en.part == p }))
	}
	e.aside = slices.DeleteFunc(e.aside, func(b *batch) bool { return len(b.entries) == 0 })
	e.scoutLost(time.Now())
}

// dropForgotten lets entries of a partition go whose tenure has ended. The exporter is locked.
func (e *exporter) dropForgotten(entries []*entry) {
	for _, en := range entries {
		e.counts.forgotten.Add(1)
		e.letGo(en)
		e.delivery.settle(en, e.required[en.Class])
	}
}

// letGo takes an entry off the books of this exporter, which is locked. Settling comes next and, where it may call Ack,
// outside the lock.
func (e *exporter) letGo(en *entry) {
	e.counts.hold(-1, -int64(len(en.Payload)))
	if !e.required[en.Class] {
		e.bestEffort -= en.size
	}
}

func (e *exporter) settle(entries []*entry) {
	for _, en := range entries {
		e.delivery.settle(en, e.required[en.Class])
	}
}
