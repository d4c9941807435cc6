package export

import (
	"sync/atomic"
	"time"
)

// Stats returns a snapshot by exporter, in the order of their IDs.
func (d *Delivery) Stats() Stats {
	used, full, _ := d.budget.state()
	s := Stats{QueueBytes: used, MaxBytes: d.budget.high, Full: full, Exporters: make([]ExporterStats, len(d.exporters))}
	for i, e := range d.exporters {
		s.Exporters[i] = e.stats()
	}
	return s
}

// Stats is a snapshot. Counters only grow.
type Stats struct {
	QueueBytes int64 // payloads that required exporters have not settled
	MaxBytes   int64
	Full       bool
	Exporters  []ExporterStats
}

// LatencyBuckets are the upper bounds of ExporterStats.Latency, the last bucket being everything above.
var LatencyBuckets = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute,
}

// Histogram counts durations. Buckets are not cumulative.
type Histogram struct {
	Buckets [len(LatencyBuckets) + 1]uint64 `json:"buckets"`
	Sum     time.Duration                   `json:"sum_nanoseconds"`
	Count   uint64                          `json:"count"`
}

// ExporterStats are the counters of one exporter.
type ExporterStats struct {
	ID string `json:"id"`

	Traces   uint64 `json:"traces"` // accepted; bytes of payload before compression
	Spans    uint64 `json:"spans"`
	Bytes    uint64 `json:"bytes"`
	Requests uint64 `json:"requests"` // tried, whatever the outcome

	RejectedTraces  uint64 `json:"rejected_traces"` // refused for good, and in the rejected topic
	RejectedSpans   uint64 `json:"rejected_spans"`
	RejectingTraces int64  `json:"rejecting_traces"` // refused for good, and on the way there
	PartialSpans    uint64 `json:"partial_spans"`    // refused within a request that was accepted otherwise
	DiscardedTraces uint64 `json:"discarded_traces"` // best effort: did not fit into the share of the budget
	DiscardedSpans  uint64 `json:"discarded_spans"`
	DiscardedBytes  uint64 `json:"discarded_bytes"`
	ForgottenTraces uint64 `json:"forgotten_traces"` // of released partitions: another owner delivers them

	Retries uint64            `json:"retries"` // requests that will be tried again
	Errors  map[string]uint64 `json:"errors"`  // requests that failed, by kind

	QueueTraces int64 `json:"queue_traces"` // waiting or in flight
	QueueBytes  int64 `json:"queue_bytes"`
	InFlight    int64 `json:"in_flight"` // requests
	Failing     bool  `json:"failing"`   // the last request failed in a way that says nothing of the traces

	// Refusal is there while the backend accepts nothing and blames the traces or the configuration for it. They are held.
	Refusal *Refusal `json:"refusal,omitempty"`

	Latency Histogram `json:"latency"` // from Submit until accepted
}

// counters are what ExporterStats is taken from.
type counters struct {
	traces, spans, bytes          atomic.Uint64
	requests, retries             atomic.Uint64
	rejectedTraces, rejectedSpans atomic.Uint64
	rejecting                     atomic.Int64
	partial                       atomic.Uint64
	discardedTraces               atomic.Uint64
	discardedSpans                atomic.Uint64
	discardedBytes                atomic.Uint64
	forgotten                     atomic.Uint64
	queueTraces, queueBytes       atomic.Int64
	failed                        [numKinds]atomic.Uint64
	latency                       [len(LatencyBuckets) + 1]atomic.Uint64
	latencySum                    atomic.Int64
}

func (c *counters) hold(traces, bytes int64) {
	c.queueTraces.Add(traces)
	c.queueBytes.Add(bytes)
}

// accepted counts traces that have arrived. Of their spans some may have been refused.
func (c *counters) accepted(entries []*entry, spans int, now time.Time) {
	var bytes uint64
	var sum time.Duration
	var buckets [len(LatencyBuckets) + 1]uint64
	for _, en := range entries {
		bytes += uint64(len(en.Payload))
		latency := now.Sub(en.submitted)
		sum += latency
		i := 0
		for i < len(LatencyBuckets) && latency > LatencyBuckets[i] {
			i++
		}
		buckets[i]++
	}
	for i, n := range buckets {
		if n > 0 {
			c.latency[i].Add(n)
		}
	}
	c.latencySum.Add(int64(sum))
	c.bytes.Add(bytes)
	c.spans.Add(uint64(spans))
	c.traces.Add(uint64(len(entries)))
}

func (e *exporter) stats() ExporterStats {
	c := &e.counts
	s := ExporterStats{
		ID:              e.id,
		Traces:          c.traces.Load(),
		Spans:           c.spans.Load(),
		Bytes:           c.bytes.Load(),
		Requests:        c.requests.Load(),
		RejectedTraces:  c.rejectedTraces.Load(),
		RejectedSpans:   c.rejectedSpans.Load(),
		RejectingTraces: c.rejecting.Load(),
		PartialSpans:    c.partial.Load(),
		DiscardedTraces: c.discardedTraces.Load(),
		DiscardedSpans:  c.discardedSpans.Load(),
		DiscardedBytes:  c.discardedBytes.Load(),
		ForgottenTraces: c.forgotten.Load(),
		Retries:         c.retries.Load(),
		Errors:          map[string]uint64{},
		QueueTraces:     c.queueTraces.Load(),
		QueueBytes:      c.queueBytes.Load(),
	}
	for kind := range c.failed {
		if n := c.failed[kind].Load(); n > 0 {
			s.Errors[errorKind(kind).String()] = n
		}
	}
	for i := range c.latency {
		s.Latency.Buckets[i] = c.latency[i].Load()
		s.Latency.Count += s.Latency.Buckets[i]
	}
	s.Latency.Sum = time.Duration(c.latencySum.Load())
	e.mu.Lock()
	s.InFlight, s.Failing = int64(e.inFlight), e.failures > 0
	if e.refusal != nil {
		refusal := *e.refusal
		s.Refusal = &refusal
	}
	e.mu.Unlock()
	return s
}
