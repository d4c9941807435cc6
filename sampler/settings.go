package sampler

import (
	"fmt"

	"thresher/buffer"
	"thresher/internal/wire"
	"thresher/policies"
)

// Settings are the rules of one policy set besides the policies. Times are milliseconds of partition time.
type Settings struct {
	// Plan is the compiled policy list.
	Plan *policies.Plan
	// DecisionWait is how long after its first span a trace is decided. At least 1.
	DecisionWait int64
	// RootWait is how long after its root span a trace is decided, if that is earlier. 0: the root changes nothing.
	RootWait int64
	// MaxTraceBytes is the size of spans at which a trace is decided at once. 0: no limit. If Plan is strict it is not kept.
	MaxTraceBytes uint64
	// Marks are what is written on kept spans.
	Marks Marks
}

// Marks say what delivery writes on kept spans.
type Marks struct {
	// Reasons is on which spans the attributes thresher.policy and thresher.probability are.
	Reasons Reasons
	// Thresholds puts the probability into the tracestate of all spans, as OTEP 235 has it.
	Thresholds bool
}

// Reasons say which spans carry why they were kept.
type Reasons uint8

// On no span; on the root span, or the first span of a trace without; on all.
const (
	ReasonsOff Reasons = iota
	ReasonsRoot
	ReasonsAll
)

// Limits are what a machine keeps for its whole life.
type Limits struct {
	// LateWindow is how long after the latest span of a decided trace its decision is remembered, in milliseconds of
	// partition time. At least the longest DecisionWait, so that reading the log again from a checkpoint rebuilds every decision. A restart
	// with another one changes it from the place on that was read before: see Rules.
	LateWindow int64
	// BufferBytes is the budget for payloads of open traces and the headers in them. A trace that receives a span while the budget is
	// exceeded gives its payload up and keeps the offsets of its records: see Delivery.Offsets. 0: no budget.
	BufferBytes int
	// OpenBytes is the budget for what is known of open traces besides their payloads: their span IDs above all. The log cannot stand in
	// for it, and waiting cannot help, because only more of the log lets time pass. So when it is exceeded the oldest traces are decided
	// before their time. 0: no budget.
	OpenBytes int
	// KeptIDBytes is the budget for the IDs of spans of kept traces, by which late spans that come twice are recognised. Beyond it the
	// oldest are forgotten, and Stats.ForgottenIDs counts the traces. 0: no budget.
	KeptIDBytes int
	// SettlementBytes is the budget for what is remembered behind a delivery that is not acknowledged: see Machine.Full. 0: no budget.
	SettlementBytes int
	// Decisions is the largest number of remembered decisions. Beyond it the oldest are forgotten, and Stats.Forgotten
	// counts them: late spans of a forgotten trace are decided on their own. 0: no limit.
	Decisions int
	// Partition, of Partitions, is the one that the machine reads. A trace that belongs to another one is Stats.Misplaced.
	// Partitions 0: every trace belongs here.
	Partition, Partitions int
	// MoveMisplaced makes spans of traces that belong to another partition Effects.Moves. Without it they are decided here, apart from
	// what their partition has of them.
	MoveMisplaced bool
	// DeliverDropped makes dropped traces and late spans of dropped traces deliveries too.
	DeliverDropped bool
	// Slabs is where the memory for spans comes from. nil: the Go heap.
	Slabs buffer.Slabs
	// Seed makes hashing unpredictable for who chooses the trace and span IDs. Decisions do not depend on it.
	Seed buffer.Seed
	// MaxPayload is the size in bytes above which a delivery is cut into parts. 0: 1 MiB.
	MaxPayload int
	// Explain, if not nil, says which traces are to be explained: Delivery.Why.
	Explain func(wire.TraceID) bool
}

const defaultMaxPayload = 1 << 20

func (s *Settings) validate(l *Limits) error {
	switch {
	case s.Plan == nil:
		return fmt.Errorf("sampler: no policies")
	case s.DecisionWait < 1:
		return fmt.Errorf("sampler: decision wait of %d ms, need at least 1", s.DecisionWait)
	case s.RootWait < 0:
		return fmt.Errorf("sampler: negative wait after the root span: %d ms", s.RootWait)
	case l.LateWindow < s.DecisionWait:
		return fmt.Errorf("sampler: late window of %d ms is shorter than the decision wait of %d ms", l.LateWindow, s.DecisionWait)
	}
	return nil
}

// Stats are running totals since the machine was made, and levels. Spans that are read again only to rebuild settled
// traces are counted in Rebuilt and nowhere else, so that always
//
//	Received = Kept + Dropped + LateKept + LateDropped + Duplicate + Invalid + Moved + InFlight
//
// Moved spans are received once more by the machine of their partition.
type Stats struct {
	Received, Kept, Dropped, LateKept, LateDropped, Duplicate, Invalid, Moved, InFlight, Rebuilt uint64 // spans

	// Misplaced are the spans that were moved, and those that came for traces that were opened here though they belong to another
	// partition: MisplacedTraces, each of which is decided in parts.
	Misplaced, MisplacedTraces uint64

	KeptTraces, DroppedTraces uint64
	EarlyTraces               uint64 // decided by size, before their deadline
	RootlessTraces            uint64 // decided without a root span
	SpilledTraces             uint64 // whose payload was given up for the budget
	RescuedTraces             uint64 // dropped, and kept from then on for a late span
	UnsureTraces              uint64 // kept because they may be the rest of a trace whose decision nobody remembers: Machine.Lost
	TimeLeaps, TimeFalls      uint64 // records stamped more than a step ahead of the one before, or behind all known clocks
	EvictedTraces             uint64 // decided before their deadline for lack of memory
	Forgotten                 uint64 // decisions forgotten before their time, for the limit
	ForgottenIDs              uint64 // kept traces whose span IDs were forgotten, for the budget: late spans that come twice are delivered twice
	Redelivered               uint64 // deliveries decided again and recognised as made before the restart
	Records, DamagedRecords   uint64
	BytesIn, BytesKept        uint64 // span bytes: received, kept
	OpenTraces, Decisions     int
	BufferedBytes, HeapBytes  int // payload pages in use; all that is held, see Memory
	Memory                    Memory
	Unsettled                 int // items from the resume offset on
	DecisionAge               [len(AgeBounds) + 1]uint64
	DecisionAgeSum            uint64 // milliseconds
	MissedAge                 [len(AgeBounds) + 1]uint64
	MissedAgeSum              uint64 // milliseconds
	Policies                  []PolicyStats
}

// Memory are the bytes that a machine holds, by what for: what it has taken from the heap or from Limits.Slabs, used or not.
type Memory struct {
	Payload    int // spans of open traces: Limits.BufferBytes
	Headers    int // of their resources and scopes, and what policies say of them: Limits.BufferBytes
	Open       int // the rest of what is known of open traces: Limits.OpenBytes
	Decisions  int // Limits.Decisions
	KeptIDs    int // Limits.KeptIDBytes
	Settlement int // what is settled, or handed out, behind the resume offset: Limits.SettlementBytes
	State      int // of policies that depend on other traces, at times that a restart may need
	Scratch    int // working memory
}

// Total returns the sum.
func (m *Memory) Total() int {
	return m.Payload + m.Headers + m.Open + m.Decisions + m.KeptIDs + m.Settlement + m.State + m.Scratch
}

// AgeBounds are the upper bounds, in milliseconds of partition time, of two histograms: DecisionAge, from a trace's first span to its
// decision, and MissedAge, from there to a late span of a dropped trace that a policy would have kept for it.
var AgeBounds = [...]int64{100, 250, 500, 1000, 2500, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000}

// PolicyStats are the decisions in which a policy decided. The name is empty for traces that no policy matched.
type PolicyStats struct {
	Name                             string
	KeptTraces, KeptSpans, KeptBytes uint64
	DroppedTraces, DroppedSpans      uint64
	// Sole are those of the kept that no other policy matched: what would not be kept without this one.
	SoleTraces, SoleSpans, SoleBytes uint64
	RescuedTraces                    uint64 // for a late span that this policy of rescue_on matched
	// MissedSpans came late to dropped traces that the policy would have kept, had they come before the decision. They are part of
	// LateDropped.
	MissedSpans uint64
	// Failed are the decided traces on which the policy had no vote, because a condition in it could not be evaluated, and Erred those
	// that have a span for which a condition could not be evaluated, and none of which it was true.
	Failed, Erred uint64
}
