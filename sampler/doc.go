// Package sampler is the partition machine: it turns the records of one Kafka partition into decisions about traces.
//
//	Record ──► clock ──► deadlines ──► decide ──► Effects.Deliveries ──► (backends)
//	   │                                  ▲                                   │
//	   └──► spans ──► buffer.Map ─────────┘        Resume, Checkpoint ◄── Ack ┘
//
// It promises:
//
//   - Repeatable decisions. The same records under the same settings give the same deliveries, whatever the sizes of batches and
//     whatever the clocks say, however often the machine is stopped, restored from a checkpoint and fed the log again.
//   - Nothing is settled early. Resume never passes a trace that is undecided, or kept and not acknowledged.
//   - The ledger balances after every input (see Stats).
//   - A trace that belongs to another partition is found out when it is opened, and told; or it is not opened, and its spans are moved
//     there (Effects.Moves), each once, and settled when they have arrived.
//
// The machine is pure. It has no goroutine, clock, I/O, randomness or logging, and its behaviour does not depend on map order
// or addresses. Time is the time of the log. One goroutine owns a machine; in production that is the partition runner of
// package node:
//
//	m := sampler.New(limits, settings)            // or sampler.Restore with the newest checkpoint,
//	for each record from the place to read from {  // Resume, or ReplayFrom after Restore
//		m.Record(offset, timestamp, value)         // without spans it only says that time passes
//		send m.Effects().Deliveries to the backends; m.Clear()
//		m.Ack(seq) for what they have acknowledged
//		now and then: store m.Checkpoint(), THEN commit its Resume
//	}
//
// # Time
//
// Partition time comes from the timestamps of records, none of which is trusted: see clock. It never goes back, and moves by at most a
// step a record. Before a record is applied, the deadlines that time has reached fire, in order of deadline and then of creation. When
// nothing comes while something waits, the owner of the partition appends a record without spans.
//
// # Life of a trace
//
// The first span opens it, with a deadline DecisionWait later. A root span brings the deadline forward to RootWait from then. At
// the deadline, or when it exceeds MaxTraceBytes, or when it is the oldest and there is no room, it is decided by the policy set it began under. The decision is remembered
// until LateWindow has passed without a span of the trace: spans that come within it follow the decision, spans that come after
// it begin a new trace.
//
// # Why a restart repeats the decisions
//
// Let R be the resume offset of a checkpoint and t the partition time there. Reading begins at a place that time had not passed
// at t-LateWindow-DecisionWait, with the time and the clocks of then. Every decision that can still matter at R had a span since t-LateWindow; if its
// trace began after the beginning of the reading, all spans that decided it are read again. If it began before, it has lived
// longer than DecisionWait, was decided before the checkpoint, and is in Checkpoint.Long. What began before R is settled and is
// only rebuilt; what began at R or later is decided again and delivered, unless Checkpoint.Delivered has it.
//
// Traces that were decided early for lack of memory are so again at the same places, which the checkpoint has: see Eviction.
//
// Policies that depend on other traces depend on all earlier decisions. The checkpoint has what they knew at an earlier time,
// reading begins two waits before that, and every decision due later is made again, with the same traces in competition: see
// memory.
package sampler
