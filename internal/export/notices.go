package export

import (
	"context"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"
)

// noticeInterval bounds how often a line of one sort is logged for one exporter.
const noticeInterval = 30 * time.Second

// notices says in the log what happens to one exporter: at most a line of each sort in noticeInterval, with the number of
// occurrences that were not logged.
type notices struct {
	logger *slog.Logger

	mu        sync.Mutex
	last      map[string]time.Time
	untold    map[string]int
	failSince time.Time // zero: accepting, or nobody was told otherwise
}

func newNotices(logger *slog.Logger, id string) *notices {
	return &notices{logger: logger.With("exporter", id), last: map[string]time.Time{}, untold: map[string]int{}}
}

// allow reports whether a line of this sort is due, and how many were swallowed since the last. The caller holds mu.
func (n *notices) allow(sort string, now time.Time) (swallowed int, ok bool) {
	if last, told := n.last[sort]; told && now.Sub(last) < noticeInterval {
		n.untold[sort]++
		return 0, false
	}
	swallowed = n.untold[sort]
	n.last[sort], n.untold[sort] = now, 0
	return swallowed, true
}

func (n *notices) failing(out outcome, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	swallowed, ok := n.allow("failing "+out.kind.String(), now)
	if !ok {
		return
	}
	if n.failSince.IsZero() {
		n.failSince = now
	}
	level, text := slog.LevelWarn, "backend does not accept traces; they are kept and tried again"
	if out.kind.configuration() {
		level, text = slog.LevelError, "backend does not accept traces because of a configuration mistake, here or there; they are kept and tried again"
	}
	attrs := []any{"kind", out.kind.String(), "error", out.err, "for", now.Sub(n.failSince).Round(time.Second).String()}
	if advice := out.kind.advice(); advice != "" {
		attrs = append(attrs, "advice", advice)
	}
	if out.after > 0 {
		attrs = append(attrs, "asked_to_wait", out.after.String())
	}
	if swallowed > 0 {
		attrs = append(attrs, "failures_not_logged", swallowed)
	}
	n.logger.Log(context.Background(), level, text, attrs...)
}

func (n *notices) held(out outcome, ever bool, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	swallowed, ok := n.allow("held", now)
	if !ok {
		return
	}
	if n.failSince.IsZero() {
		n.failSince = now
	}
	n.logger.Error("backend refuses all that it is sent, which looks like a wrong configuration and not like bad traces; they are kept and tried again",
		"kind", out.kind.String(), "error", out.err, "for", now.Sub(n.failSince).Round(time.Second).String(), "accepted_before", ever,
		"advice", out.kind.advice()+"; if what is refused is to go to the rejected topic, set on_refusal: reject", "answers_not_logged", swallowed)
}

func (n *notices) accepted(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failSince.IsZero() {
		return
	}
	n.logger.Info("backend accepts traces again", "after", now.Sub(n.failSince).Round(time.Millisecond).String())
	n.failSince = time.Time{}
}

func (n *notices) partial(b *batch, out outcome, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if swallowed, ok := n.allow("partial", now); ok {
		n.logger.Warn("backend accepted a request but refused some of its spans; they are lost",
			"refused_spans", out.partialSpans, "of_spans", b.spans, "message", brief(out.partialMessage), "answers_not_logged", swallowed)
	}
}

func (n *notices) rejected(en *entry, out outcome, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if swallowed, ok := n.allow("rejected", now); ok {
		n.logger.Warn("backend refused a trace for good; it goes to the rejected topic",
			"trace_id", hex.EncodeToString(en.TraceID[:]), "spans", en.Spans, "bytes", len(en.Payload), "policy", en.Policy,
			"kind", out.kind.String(), "reason", out.err, "traces_not_logged", swallowed)
	}
}

func (n *notices) shrunk(size, limit int, out outcome) {
	n.logger.Warn("backend found a request too large; sending smaller ones from now on",
		"bytes", size, "new_limit", limit, "error", out.err, "advice", "lower max_batch_bytes, or raise the limit of the backend")
}

func (n *notices) discarded(traces int, share int64, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if swallowed, ok := n.allow("discarded", now); ok {
		n.logger.Warn("best-effort exporter does not keep up; traces that do not fit into its share are discarded",
			"traces", traces, "share_bytes", share, "occasions_not_logged", swallowed,
			"advice", "set required: true in the route if they must not be lost")
	}
}
