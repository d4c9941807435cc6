package shop

import "time"

// Config is the shape of the traffic. Rates are shares from 0 to 1; a rate of zero means never, so a Config made by
// hand has only healthy requests until rates are set. Default has a bit of everything.
type Config struct {
	// Seed chooses the traffic: the same seed and settings give the same bytes.
	Seed int64
	// Base is the wall time of virtual time zero, from which span timestamps count. Zero: a fixed day in 2026, so
	// that bytes can be repeated.
	Base time.Time
	// TracesPerSecond of virtual time, health checks included. Not above 0: 50.
	TracesPerSecond float64
	// ErrorRate is the share of requests that fail: an exception somewhere below, an error status up from there.
	ErrorRate float64
	// SlowRate is the share of requests that wait 1.2 to 6 s for something.
	SlowRate float64
	// RetryRate is the share of requests in which a call fails at first, and is repeated with a link to the
	// first attempt. Such a trace has an error span though its root has none.
	RetryRate float64
	// LateRate is the share of requests of which one process exports its spans LateBy to 2*LateBy after the others.
	LateRate float64
	// LateBy: not above 0 means 15 s.
	LateBy time.Duration
	// DuplicateRate is the share of export requests that are sent again, byte for byte, 1 to 4 s later.
	DuplicateRate float64
	// HealthRate is the share of traces that are health checks: one or two spans, never failing.
	HealthRate float64
	// LargeRate is the share of requests that are traces of more than a hundred spans.
	LargeRate float64
	// TraceStateRate is the share of traces that carry a W3C trace state.
	TraceStateRate float64
	// SpanBytes is the mean size of a Span message, reached by padding: below about 550 the attributes that every
	// span has are more than that. Not above 0: 575.
	SpanBytes int
	// BatchSpans is the most spans in a request. Not above 0: 512, the default of the SDKs.
	BatchSpans int
}

// Default is the traffic of an ordinary day: of the requests 1.5 % fail, 1 % are slow, 1 % retry, 1.5 % have late
// spans, and 0.6 % are large; 1 % of the export requests are sent twice; a fifth of the traces are health checks.
func Default(seed int64) Config {
	return Config{
		Seed:            seed,
		TracesPerSecond: 50,
		ErrorRate:       0.015,
		SlowRate:        0.01,
		RetryRate:       0.01,
		LateRate:        0.015,
		DuplicateRate:   0.01,
		HealthRate:      0.2,
		LargeRate:       0.006,
		TraceStateRate:  0.15,
	}
}

// MeanSpans is about how many spans a trace of the Default traffic has, health checks included.
const MeanSpans = 12

// A Request is one OTLP export request as a client sends it.
type Request struct {
	At    time.Duration // virtual time of the export; never goes back
	Data  []byte        // ExportTraceServiceRequest protobuf
	Spans int           // spans in Data; 0: nothing is left, see Shop.Stop
}

// Truth is what has been emitted so far. After Stop and the last request, it is the truth about the whole traffic.
type Truth struct {
	Requests   int64
	Bytes      int64
	Spans      int64 // all that were emitted, Duplicates and Late included
	Duplicates int64 // spans of requests that were sent again
	Late       int64 // spans that were held back by LateBy or more
	Traces     int64 // traces begun; the spans of the latest may still be to come

	// Traces by what was done to them; a trace may count in several.
	ErrorTraces, SlowTraces, RetryTraces, LateTraces, HealthTraces, LargeTraces int64
}

var defaultBase = time.Date(2026, time.January, 5, 10, 0, 0, 0, time.UTC)

func (c Config) withDefaults() Config {
	if c.Base.IsZero() {
		c.Base = defaultBase
	}
	if c.TracesPerSecond <= 0 {
		c.TracesPerSecond = 50
	}
	if c.LateBy <= 0 {
		c.LateBy = 15 * time.Second
	}
	if c.SpanBytes <= 0 {
		c.SpanBytes = 575
	}
	if c.BatchSpans <= 0 {
		c.BatchSpans = 512
	}
	return c
}
