package export

import (
	"errors"
	"time"
)

const (
	// smallestLimit bounds how far a backend that complains of size can push the batch limit down.
	smallestLimit = 64 << 10

	// longestPause bounds what a backend can ask for.
	longestPause = 10 * time.Minute
)

// finish carries out what an outcome means for the traces of a batch.
func (e *exporter) finish(b *batch, out outcome, stopped bool) {
	now := time.Now()
	if out.verdict == accepted {
		out = b.wholly(out)
	}
	e.mu.Lock()
	e.inFlight--
	if b.slow {
		b.slow = false
		e.slow--
	}
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
		e.accepts(b, now)
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
		e.accepts(b, now)
		for _, en := range done {
			e.letGo(en)
		}
	}
	if stranded || len(b.entries) == 0 {
		e.mu.Unlock()
		return
	}

	failed := out.verdict == again
	if failed {
		e.fails(b, out.kind)
	}
	out = e.judge(b, out, now)
	switch {
	case out.verdict == again:
		e.putOff(b, out, now)
		e.mu.Unlock()
		e.log.failing(out, now)
	case out.verdict == held && e.trusted(now):
		// It was mended while this request was on its way, and the answer may be from before. Ask again.
		e.counts.retries.Add(1)
		e.park(b, now)
		e.mu.Unlock()
	case out.verdict == held:
		ever := !e.lastAccepted.IsZero()
		e.hold(b, now)
		e.mu.Unlock()
		e.log.held(out, ever, now)
	case len(b.entries) > 1:
		if !failed {
			e.failures = 0 // the backend has judged a request: it is there and works
		}
		if out.verdict == tooLarge {
			e.shrink(b, out)
		}
		e.split(b, now)
		e.mu.Unlock()
	default:
		if !failed {
			e.failures = 0
		}
		e.mu.Unlock()
		e.reject(b.entries[0], out, now)
	}
}

// wholly turns an acceptance of nothing into what it is. A partial success that refuses some spans leaves us nothing to do: it
// does not say which, and sending all of them again would double the others. One that refuses all of them is a refusal, and
// shows as little of the backend as any other.
func (b *batch) wholly(out outcome) outcome {
	if b.spans == 0 || out.partialSpans < int64(b.spans) {
		return out
	}
	message := "refused all spans of an accepted request"
	if out.partialMessage != "" {
		message += ": " + brief(out.partialMessage)
	}
	return outcome{verdict: refused, kind: kindPartial, err: errors.New(message)}
}

// accepts notes that the backend has accepted at least a part of a batch.
func (e *exporter) accepts(b *batch, now time.Time) {
	e.failures = 0
	e.lastAccepted = now
	e.refusal = nil
	e.endGap(b, true)
	e.release(now)
}

// judge decides what an outcome that is no acceptance means here: what the backend says, and what is known of the backend.
func (e *exporter) judge(b *batch, out outcome, now time.Time) outcome {
	switch {
	case e.rejects && out.kind.permanent():
		if out.verdict == again {
			out.verdict = refused
		}
	case out.verdict == again:
		out = e.blame(b, out)
		if out.verdict == again && out.kind.configuration() && !e.outcast(b) {
			e.refuses(out, now)
		}
	case !out.certain && !b.trusted:
		if out.verdict == tooLarge && len(b.entries) > 1 {
			e.shrink(b, out)
		}
		out.verdict = held
		if !e.trusted(now) {
			e.refuses(out, now)
		}
	}
	return out
}

// putOff parks a batch until its next attempt.
func (e *exporter) putOff(b *batch, out outcome, now time.Time) {
	e.counts.retries.Add(1)
	own := e.outcast(b)
	pause := backOff(e.retry, b.attempts, e.random())
	if out.after > 0 {
		asked := min(out.after, longestPause)
		pause = max(pause, asked)
		// A trace that nobody gets along with must not make the others wait.
		if until := now.Add(asked); until.After(e.pause) && !own {
			e.pause = until
		}
	}
	if !own {
		e.failures++
		if e.failures == e.batching.MaxInFlight {
			e.probe = now.Add(e.retry.MaxInterval)
		}
	}
	if b.probe && now.Sub(e.lastAccepted) > 3*e.retry.MaxInterval {
		// Back to the end of the queue: parked, every probe would add to the requests that a backend in trouble gets, and
		// the next probe should try other traces. But if others are accepted, what fails must stay together and be known.
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

// halves takes a batch of several traces apart.
func (b *batch) halves() (first, second *batch) {
	half := len(b.entries) / 2
	first, second = newBatch(b.entries[:half:half]), newBatch(b.entries[half:])
	first.blamed, second.blamed = b.blamed, b.blamed
	return first, second
}

// split parks both halves for at once, so that the trace that is to blame is found in about 2 log2(n) requests.
func (e *exporter) split(b *batch, now time.Time) {
	first, second := b.halves()
	e.park(first, now)
	e.park(second, now)
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
