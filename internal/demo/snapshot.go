package demo

import "time"

// A Snapshot is what a View shows: totals since the start, and levels.
type Snapshot struct {
	Elapsed time.Duration
	Planned time.Duration // when the demo ends by itself; 0: it does not

	// The ledger and the bytes. Policies and Seconds need not be set.
	Report

	// Policies in the order of the configuration, the traces that no policy matched at the end.
	Policies []PolicyCount

	OpenTraces    uint64
	BufferedBytes uint64 // of spans that wait for a decision
	MemoryBytes   uint64 // of the process

	// Latest is a trace of the load that was just kept, and why; Own one of the user's own application. Nil: none yet.
	Latest, Own *Kept

	// OwnSpans came from the user's own application, and OwnTraces of it were kept.
	OwnSpans, OwnTraces uint64

	// Notice is something that is not as it should be, in words for people. Empty: all is well.
	Notice string
}

// A PolicyCount is what a policy has decided.
type PolicyCount struct {
	Name   string // empty: the traces that no policy matched
	Drops  bool   // its traces are dropped
	Traces uint64
	Spans  uint64
}

// Kept is a kept trace.
type Kept struct {
	Tree   Tree
	Policy string // that decided
	Reason string // what it found, such as "status ERROR in payment"; may be empty
}

// About is what a View tells the user besides numbers.
type About struct {
	// OTLPgRPC and OTLPHTTP are the endpoints open for the user's own application, as host:port. Empty: not open.
	OTLPgRPC, OTLPHTTP string
	// Load describes what is sent, such as "a shop of ten services, 100 traces/s".
	Load string
}
