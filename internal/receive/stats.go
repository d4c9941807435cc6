package receive

import "sync/atomic"

// Stats is what a receiver has done since New. Everything but the Inflight fields only grows.
type Stats struct {
	GRPC ProtocolStats `json:"grpc"`
	HTTP ProtocolStats `json:"http"`

	InflightRequests int   `json:"inflight_requests"`  // requests being served now
	InflightBytes    int64 `json:"inflight_bytes"`     // their memory: bodies as far as they have been read, and what is made of them
	MaxInflightBytes int64 `json:"max_inflight_bytes"` // the bound on InflightBytes
}

// ProtocolStats counts requests by their answer, and the spans in those that Kafka acknowledged. Spans of a refused
// request are not counted: the client sends them again. Requests is the sum of the other request counts.
type ProtocolStats struct {
	Requests uint64 `json:"requests"` // answered, in whatever way

	Accepted    uint64 `json:"accepted"`    // answered with success, be it partial; empty requests included
	Malformed   uint64 `json:"malformed"`   // not OTLP, or a body that cannot be read: 400, INVALID_ARGUMENT
	TooLarge    uint64 `json:"too_large"`   // above the receiver's limit for one request: 413, RESOURCE_EXHAUSTED
	Rejected    uint64 `json:"rejected"`    // well formed, but the log will never take it: 400, INVALID_ARGUMENT
	Unsupported uint64 `json:"unsupported"` // another signal, path, method, media type or encoding
	Overloaded  uint64 `json:"overloaded"`  // retryable: max_inflight_bytes reached, or shutting down
	Unpublished uint64 `json:"unpublished"` // retryable: Kafka did not acknowledge
	Abandoned   uint64 `json:"abandoned"`   // the client gave up, or its deadline passed, before Kafka acknowledged

	Bytes          uint64 `json:"bytes"`             // uncompressed bodies of accepted requests
	Spans          uint64 `json:"spans"`             // acknowledged by Kafka
	DamagedSpans   uint64 `json:"damaged_spans"`     // refused by partial success: cannot be decoded, or their resource or scope cannot
	NoTraceIDSpans uint64 `json:"no_trace_id_spans"` // refused by partial success: trace ID absent or zero
	NoSpanIDSpans  uint64 `json:"no_span_id_spans"`  // refused by partial success: span ID absent or zero
	OversizedSpans uint64 `json:"oversized_spans"`   // refused by partial success: larger than a record may be
}

// InvalidSpans is the number of spans refused for what is in them.
func (s ProtocolStats) InvalidSpans() uint64 {
	return s.DamagedSpans + s.NoTraceIDSpans + s.NoSpanIDSpans
}

// Refused is the number of requests that the client was told to send again.
func (s ProtocolStats) Refused() uint64 { return s.Overloaded + s.Unpublished }

// Stats returns the current counts. They are read one by one: while requests are being answered, sums may be off by
// those.
func (r *Receiver) Stats() Stats {
	return Stats{
		GRPC:             r.grpcCounts.snapshot(),
		HTTP:             r.httpCounts.snapshot(),
		InflightRequests: r.gate.count(),
		InflightBytes:    r.account.used.Load(),
		MaxInflightBytes: r.account.limit,
	}
}

// counts are the live counters of one protocol.
type counts struct {
	verdicts                                       [verdictCount]atomic.Uint64
	bytes                                          atomic.Uint64
	spans, damaged, noTraceID, noSpanID, oversized atomic.Uint64
}

func (c *counts) count(o *outcome) { c.verdicts[o.verdict].Add(1) }

func (c *counts) countSpans(bytes int64, spans int, lost rejects) {
	c.bytes.Add(uint64(bytes))
	c.spans.Add(uint64(spans))
	if lost.total() == 0 {
		return
	}
	c.damaged.Add(uint64(lost.damaged))
	c.noTraceID.Add(uint64(lost.noTraceID))
	c.noSpanID.Add(uint64(lost.noSpanID))
	c.oversized.Add(uint64(lost.oversized))
}

func (c *counts) snapshot() ProtocolStats {
	s := ProtocolStats{
		Accepted:       c.verdicts[accepted].Load(),
		Malformed:      c.verdicts[malformed].Load(),
		TooLarge:       c.verdicts[tooLarge].Load(),
		Rejected:       c.verdicts[rejected].Load(),
		Unsupported:    c.verdicts[unsupported].Load(),
		Overloaded:     c.verdicts[overloaded].Load(),
		Unpublished:    c.verdicts[unpublished].Load(),
		Abandoned:      c.verdicts[abandoned].Load(),
		Bytes:          c.bytes.Load(),
		Spans:          c.spans.Load(),
		DamagedSpans:   c.damaged.Load(),
		NoTraceIDSpans: c.noTraceID.Load(),
		NoSpanIDSpans:  c.noSpanID.Load(),
		OversizedSpans: c.oversized.Load(),
	}
	s.Requests = s.Accepted + s.Malformed + s.TooLarge + s.Rejected + s.Unsupported + s.Overloaded + s.Unpublished + s.Abandoned
	return s
}
