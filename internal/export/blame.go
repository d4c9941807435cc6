package export

import "fmt"

// A trace can be poison without the backend saying so: it sets off a bug and the answer is 500, or a web firewall in front
// of the backend finds SQL in it and answers 403, or the backend chokes on it until the request times out. Tried for ever,
// it would hold the resume offset for ever, and once the retention of the log has passed it, everything behind it would be
// lost with the next restart. So in the end it is given up. But the answers are those of a backend that has trouble of its
// own, and to give up what a healthy backend would have taken is loss. What tells the two apart is how others fare:
//
//   - A batch that failed three times while the backend accepted others since its first failure is taken apart. This
//     condemns nobody, it only finds out more.
//   - A trace alone is given up after ten failures that count against it. One counts when the trace failed in the gap
//     between two fresh answers next to each other, both of them acceptances. A fresh answer is the one to the first request
//     of a batch, of whatever traces: unlike the answers to batches that are tried again, they are a fair sample of how the
//     backend treats everybody.
//
// The bad cases, one by one:
//
//   - The backend is down, or answers everything with 403, since now or for weeks: no fresh request is accepted, so there are
//     no such gaps. No success of others, no verdict, however often a trace has failed.
//   - It goes down and comes back, at any rhythm: an outage with fresh requests in it ends the gap, and one without counts
//     once at most, however many attempts fell into it. Between outages an innocent trace is accepted and gone.
//   - It accepts any request with chance p, one of two replicas being broken: for one more failure to count, a trace has to
//     fail before it passes, and the fresh answers around it have to be acceptances. The chance of that is below 0.28
//     whatever p is (where p is small the neighbours fail, where it is large the trace passes), so that of ten is below
//     3 in a million, and only for traces that were taken apart before.
//   - It is slow and requests time out: small batches pass, and a trace that takes longer than the timeout alone, ten times,
//     would never pass. The reason in the rejected topic says so.
//   - Many traces are poison, so that most fresh requests fail: the gaps get rarer and the verdict takes minutes instead of
//     one, but the halves of batches are fresh too, so there are some.
//   - It throttles (429, or a failure with a time to come back): large traces may fail for as long as small ones use the quota
//     up, so no number of failures says anything. Batches are taken apart, nobody is given up.
//   - It accepts a part of a batch (Kafka answers for each record): those are acceptances, the rest failed.
//   - Of two required exporters one gives a trace up: it has evidence of its own, and the trace waits for the other.
//   - The route is best effort: the same. A trace that waits takes room of its share.
const (
	blameBatch = 3
	blameTrace = 10
)

// endGap ends the gap before the answer to a fresh batch.
func (e *exporter) endGap(b *batch, accepted bool) {
	if b.attempts > 0 {
		return
	}
	if accepted && e.gapBegunWell {
		for _, alone := range e.failedAlone {
			alone.against++
		}
	}
	clear(e.failedAlone)
	e.failedAlone = e.failedAlone[:0]
	e.gapBegunWell = accepted
	e.gap++
}

// fails notes a failure that says nothing of the traces, as far as the backend's words go.
func (e *exporter) fails(b *batch, kind errorKind) {
	e.endGap(b, false)
	if len(b.entries) == 1 && b.gap != e.gap && kind != kindThrottled {
		b.gap = e.gap
		e.failedAlone = append(e.failedAlone, b)
	}
}

// outcast reports whether a batch has failed often while others were accepted, or is a part of such a one: its failures say
// little of the backend.
func (e *exporter) outcast(b *batch) bool {
	return b.blamed || b.attempts >= blameBatch && e.counts.traces.Load() > b.served
}

// lags reports whether others were accepted since a batch failed.
func (e *exporter) lags(b *batch) bool {
	return b.blamed || b.attempts > 0 && e.counts.traces.Load() > b.served
}

// blame turns "again" into "refused" for a batch that fails on its own.
func (e *exporter) blame(b *batch, out outcome) outcome {
	if b.attempts == 0 {
		b.served = e.counts.traces.Load()
	}
	switch {
	case len(b.entries) > 1:
		if b.attempts+1 >= blameBatch && e.counts.traces.Load() > b.served {
			out.verdict = refused
			b.blamed = true
		}
	case b.against >= blameTrace:
		out.verdict = refused
		out.err = fmt.Errorf("failed alone %d times, %d of them right between traces that were accepted: %w", b.attempts+1, b.against, out.err)
	}
	return out
}
