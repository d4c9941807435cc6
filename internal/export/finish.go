package export

import (
	"fmt"
	"time"
)

const (
	// smallestLimit bounds how far a backend that complains of size can push the batch limit down.
	smallestLimit = 64 << 10

	// A batch is taken apart, and then a single trace given up, when it has failed so often with an error that may be the
	// data's fault while the backend accepted other traces meanwhile.
	suspectBatch = 3
	suspectTrace = 16

	// longestPause bounds what a backend can ask for.
	longestPause = 10 * time.Minute
)

// finish carries out what an outcome means for the traces of a batch.
func (e *exporter) finish(b *batch, out outcome, stopped bool) {
	now := time.Now()
	e.mu.Lock()
	e.inFlight--
	stranded := stopped && out.verdict != accepted // we hung up ourselves: no verdict on anybody
	if stranded && out.done == nil {
		e.mu.Unlock()
		return
	}
	if out.kind != kindNone && !stranded {
		e.counts.failed[out.kind].Add(1)
	}
	if out.verdict == accepted {
		e.counts.accepted(b.entries, b.spans-int(min(out.partialSpans, int64(b.spans))), now)
		e.responded()
		for _, en := range b.entries {
			e.letGo(en)
		}
		e.mu.Unlock()
		e.settle(b.entries)
		e.log.accepted(now)
		if out.partialSpans > 0 || out.partialMessage != "" {
			e.counts.partial.Add(uint64(out.partialSpans))
			e.log.partial(b, out, now)
		}
		return
	}

	done := b.remove(func(i int, _ *entry) bool { return i < len(out.done) && out.done[i] })
	defer e.settle(done)
	if len(done) > 0 {
		part := newBatch(done)
		e.counts.accepted(part.entries, part.spans, now)
		e.responded()
		for _, en := range done {
			e.letGo(en)
		}
	}
	if stranded || len(b.entries) == 0 {
		e.mu.Unlock()
		return
	}

	if out.verdict == again {
		out = e.suspect(b, out)
	}
	switch {
	case out.verdict == again:
		e.putOff(b, out, now)
		e.mu.Unlock()
		e.log.failing(out, now)
	case len(b.entries) > 1:
		e.responded()
		if out.verdict == tooLarge {
			e.shrink(b, out)
		}
		e.split(b, now)
		e.mu.Unlock()
	default:
		e.responded()
		e.mu.Unlock()
		e.reject(b.entries[0], out, now)
	}
}

// responded notes that the backend has judged a request: it is there and works.
func (e *exporter) responded() { e.failures = 0 }

// suspect turns "again" into "refused" for a batch that fails on its own: the backend accepts others and does not get
// along with this one. Without it, one trace that sets off a bug in a backend would hold the resume offset for ever, and
// once Kafka's retention has passed it, everything behind it would be lost with the next restart.
func (e *exporter) suspect(b *batch, out outcome) outcome {
	if b.attempts == 0 {
		b.served = e.counts.traces.Load()
	}
	limit := suspectBatch
	if len(b.entries) == 1 {
		limit = suspectTrace
	}
	if out.kind.suspect() && b.attempts+1 >= limit && e.counts.traces.Load() > b.served {
		out.verdict = refused
		out.err = fmt.Errorf("failed %d times while other traces were accepted: %w", b.attempts+1, out.err)
	}
	return out
}

// putOff parks a batch until its next attempt.
func (e *exporter) putOff(b *batch, out outcome, now time.Time) {
	e.counts.retries.Add(1)
	e.failures++
	pause := backOff(e.retry, b.attempts, e.random())
	if out.after > 0 {
		asked := min(out.after, longestPause)
		pause = max(pause, asked)
		if hold := now.Add(asked); hold.After(e.hold) {
			e.hold = hold
		}
	}
	if e.failures == e.batching.MaxInFlight {
		e.probe = now.Add(e.retry.MaxInterval)
	}
	if b.probe {
		// Back to the end of the queue: parked, every probe would add to the requests that a backend in trouble gets, and
		// the next probe should try other traces.
		for _, en := range b.entries {
			e.queue.push(en)
		}
		return
	}
	b.attempts++
	e.park(b, now.Add(pause))
}

func (e *exporter) park(b *batch, due time.Time) {
	e.order++
	b.due, b.order = due, e.order
	e.parked.put(b)
}

// split parks both halves for at once, so that the trace that is to blame is found in about 2 log2(n) requests.
func (e *exporter) split(b *batch, now time.Time) {
	half := len(b.entries) / 2
	e.park(newBatch(b.entries[:half:half]), now)
	e.park(newBatch(b.entries[half:]), now)
}

// shrink lowers the size of batches to come below one that was too large.
func (e *exporter) shrink(b *batch, out outcome) {
	if limit := max(b.bytes/2, smallestLimit); limit < e.maxBytes {
		e.maxBytes = limit
		e.log.shrunk(b.bytes, limit, out)
	}
}

// reject gives a trace that the backend will never take to the rejected topic, and settles it when the topic has it. Until
// then it stays in the books: if the topic cannot be written the budget fills, and partitions stop reading. A process that
// ends before has settled nothing, and the next one finds the trace in the log.
func (e *exporter) reject(en *entry, out outcome, now time.Time) {
	if en.part.forgotten.Load() {
		e.rejected(en)
		return
	}
	e.counts.rejecting.Add(1)
	e.log.rejected(en, out, now)
	e.delivery.opts.Reject(en.Payload, out.err.Error(), e.id, func() {
		e.counts.rejecting.Add(-1)
		e.counts.rejectedTraces.Add(1)
		e.counts.rejectedSpans.Add(uint64(en.Spans))
		e.rejected(en)
	})
}

// rejected settles a trace that is in the rejected topic, or is somebody else's by now.
func (e *exporter) rejected(en *entry) {
	e.mu.Lock()
	e.letGo(en)
	e.mu.Unlock()
	e.delivery.settle(en, e.required[en.Class])
}
