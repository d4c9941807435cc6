package sampler

import (
	"thresher/internal/wire"
	"thresher/policies"
)

// Effects are what the runner must carry out. They are valid until the next call of Machine.Clear, but payloads belong
// to the runner.
type Effects struct {
	// Deliveries are to be handed to the backends, in any order. The runner calls Machine.Ack once for each part AFTER every
	// backend that matters has accepted or finally refused it, and stores a checkpoint only of what the machine then says.
	Deliveries []Delivery
	// Invalid are spans that can be no part of a trace. The machine knows no more of them: a checkpoint that is taken from now on
	// may be stored AFTER the rejected topic has them, not before.
	Invalid []Invalid
	// Moves are spans of traces that belong to other partitions, and are to be written there, if Limits.MoveMisplaced. They are settled
	// by Machine.Ack as deliveries are.
	Moves []Move
}

// A Delivery is a decided trace, or late spans of one, or a part of these.
type Delivery struct {
	Seq     uint64 // for Ack
	TraceID wire.TraceID
	Offset  Offset // of the trace's first record, or of the record with the late spans
	Late    bool
	Kept    bool

	Policy      string   // the policy that decided; empty: none matched
	Matched     []string // every top-level policy that matched; nil for late spans
	Erred       []string // those in which a condition could not be evaluated for a span, and was true of none
	Probability float64  // with which the trace was kept; 0 for late spans of a dropped one
	Complete    bool     // a root span was among the spans
	Early       bool     // decided before its time: by size, or for lack of memory
	Sole        bool     // no other policy would have kept it
	Rescued     bool     // late spans of a trace that was dropped first: the spans before are not delivered

	// Why explains the verdict, if Limits.Explain asked for it.
	Why []policies.Explanation

	// Spans is the number of spans in Payload.
	Spans int
	// Payload is the resource_spans fields of an OTLP request: payloads one after the other are a valid request.
	Payload []byte
	// Offsets, if not nil, stands for the payload: the trace was over budget, or is too much at once, and its spans are to be read
	// again from these records with a Gathering.
	Offsets []Offset

	keys *wire.KeySet // of the policies that decided, for a Gathering
	// picks, if not nil, are the numbers of the spans in the only record of Offsets: not all that it has of the trace are late, or new.
	picks []uint32
	mark  *marker // what a Gathering writes on the spans, nil: nothing
}

// size is about what the delivery takes until it is handed over.
func (d *Delivery) size() int {
	return deliveryBytes + len(d.Payload) + 8*len(d.Offsets) + 4*len(d.picks)
}

// Invalid are spans without valid IDs, or damaged inside, from one record.
type Invalid struct {
	Offset  Offset
	Spans   int
	Reason  string // of the first of them
	Payload []byte // the spans, as in Delivery
}
