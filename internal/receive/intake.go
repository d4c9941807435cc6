package receive

import (
	"context"
	"errors"
	"fmt"

	"thresher/internal/wire"
)

const (
	shuttingDown = "this receiver is shutting down; send the spans again"
	busy         = "the memory for receiving is full; send the spans again later"
	tooSlow      = "the request arrived too slowly while others found no room in memory; send the spans again later"
	notStored    = "Kafka has not acknowledged the spans; send them again"
)

// split validates and splits the body of q. If it cannot, the outcome says why.
func (r *Receiver) split(q *request) (outcome, bool) {
	split, err := q.splitter.Split(q.cut[:0], q.body)
	q.cut = split.Bytes
	if isNoRoom(err) {
		return noRoom(err), false
	}
	if err != nil {
		return r.unreadable(err), false
	}
	q.lost = rejects{split.Damaged, split.NoTraceID, split.NoSpanID, split.Oversized, split.Reason}
	if split.Spans == 0 && split.Damaged > 0 {
		// Nothing in it can be read: that is no partial success.
		return r.unreadable(split.Reason), false
	}
	q.spans = split.Spans
	for _, f := range split.Fragments {
		q.frags = append(q.frags, Fragment{Partition: int32(f.Partition), Data: f.Bytes, Spans: f.Spans})
	}
	return outcome{}, true
}

// publish publishes the fragments of q.
func (r *Receiver) publish(ctx context.Context, q *request, c *counts) outcome {
	if len(q.frags) > 0 {
		q.dropBody(r.requests.keep)
		q.inUse = true
		if err := r.publisher.Publish(ctx, q.frags); err != nil {
			return r.unpublished(ctx, err, q.spans)
		}
		q.inUse = false
	}
	c.countSpans(q.received, q.spans, q.lost)
	if q.lost.total() > 0 {
		r.rejects.log(func(suppressed int64) {
			r.log.Warn("Spans of an OTLP request were rejected; the client has been told", "rejected", q.lost.total(),
				"accepted", q.spans, "reason", q.lost.message(), "requests_like_it_since_last_log", suppressed)
		})
	}
	return outcome{lost: q.lost, note: q.note}
}

func isNoRoom(err error) bool { return errors.Is(err, errFull) || errors.Is(err, errNeverFits) }

// noRoom is the answer to a request that there is no memory for.
func noRoom(err error) outcome {
	if errors.Is(err, errNeverFits) {
		return outcome{verdict: tooLarge, message: "the request is " + err.Error() +
			"; send smaller batches, or raise node.memory_limit (or max_inflight_bytes of the receiver, if it is set)"}
	}
	return outcome{verdict: overloaded, message: busy}
}

func (r *Receiver) unreadable(err error) outcome {
	r.rejects.log(func(suppressed int64) {
		r.log.Warn("An OTLP request was refused because it cannot be read", "error", err, "requests_like_it_since_last_log", suppressed)
	})
	if errors.Is(err, wire.ErrTooLarge) {
		return outcome{verdict: tooLarge, message: err.Error()}
	}
	return outcome{verdict: malformed, message: "not an OTLP trace request: " + err.Error()}
}

// unpublished classifies a failure to store. What the client is told does not repeat the error: it names brokers, and
// receivers may be open to browsers.
func (r *Receiver) unpublished(ctx context.Context, err error, spans int) outcome {
	switch {
	case r.stopping.Err() != nil:
		return outcome{verdict: overloaded, message: shuttingDown}
	case ctx.Err() != nil:
		return outcome{verdict: abandoned, message: "the client stopped waiting before Kafka acknowledged the spans"}
	case errors.Is(err, ErrPermanent):
		r.failures.log(func(suppressed int64) {
			r.log.Error("An OTLP request was refused because Kafka will never take it", "spans", spans, "error", err,
				"requests_like_it_since_last_log", suppressed)
		})
		return outcome{verdict: rejected, message: fmt.Sprintf("the log does not take these %d spans, and sending them again does not help", spans)}
	}
	r.failures.log(func(suppressed int64) {
		r.log.Warn("Kafka does not acknowledge spans; clients are told to send them again", "error", err,
			"requests_like_it_since_last_log", suppressed)
	})
	return outcome{verdict: unpublished, message: notStored}
}
