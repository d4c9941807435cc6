package twin

import (
	"math"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// A Record is a record of the partition's log.
type Record struct {
	Offset      int64
	TimestampMs int64
	Value       []byte // TracesData protobuf
}

// Rules say when a trace is decided and how. Times are milliseconds of partition time.
type Rules struct {
	DecisionWaitMs int64
	AfterRootMs    int64  // 0: a root span changes nothing
	LateWindowMs   int64  // how long after its latest span the decision about a trace holds
	MaxTraceBytes  uint64 // of Span messages; 0: no limit
	// MaxOpen is what undecided traces may cost together, TraceCost each and SpanCost a span; beyond it the oldest are decided
	// early, all of a record together, until the rest cost an eighth less. 0: no limit.
	MaxOpen, TraceCost, SpanCost int
	Decide                       Decider
}

// A Decider decides a trace by its spans and names the policy that decided, "" if none did.
type Decider func(spans []Span) (keep bool, policy string)

// A Span is a span and the resource it came with.
type Span struct {
	Resource pcommon.Map
	Span     ptrace.Span
}

// A SpanKey names a span in its trace. Clients and servers of the Zipkin tradition share an ID, so server spans
// count apart.
type SpanKey struct {
	ID     pcommon.SpanID
	Server bool
}

// A Trace is one life of a trace: a span that comes after its decision is forgotten begins another.
type Trace struct {
	ID          pcommon.TraceID
	FirstOffset int64
	Decided     bool
	Keep        bool
	Early       bool // decided by size or for lack of memory, before its deadline
	Policy      string
	Spans       []SpanKey // that were decided together: delivered if Keep
	Late        []SpanKey // that followed the decision: delivered if Keep

	rules              *Rules
	deadline, lastSeen int64
	bytes              uint64
	spans              []Span
	seen               map[SpanKey]bool
}

// A Ledger counts spans. Received is the sum of the others.
type Ledger struct {
	Received, Kept, Dropped, LateKept, LateDropped, Duplicate, Invalid, InFlight int
}

// Result is what became of a log.
type Result struct {
	Traces  []*Trace // in order of their first span
	Decided []*Trace // in order of their decision
	Ledger  Ledger
	Damaged []int64 // offsets of records that are no OTLP
}

// A Twin reads a log. Make one with New.
type Twin struct {
	rules *Rules
	now   int64
	next  int64               // no undecided trace has an earlier deadline
	open  []*Trace            // undecided, in order of creation
	byID  map[[16]byte]*Trace // the latest of an ID
	out   Result

	clocks []reading // the latest first
}

// A reading is the largest timestamp of a clock that stamps records, and how far partition time is ahead of it.
type reading struct{ stamp, ahead int64 }

// New returns a twin that has read nothing.
func New(rules Rules) *Twin {
	return &Twin{rules: &rules, now: math.MinInt64, next: math.MaxInt64, byID: map[[16]byte]*Trace{}}
}

// stamp moves time as a record does: by what the clock that stamped it has advanced since its last record. A stamp more than ten
// seconds from those of the last four clocks is of a new one; ten seconds are thought to have passed if it is ahead.
func (t *Twin) stamp(s int64) {
	const step = 10_000
	s = min(max(s, 0), 1<<50)
	if t.clocks == nil {
		t.clocks = []reading{{s, 0}}
		t.Tick(s)
		return
	}
	i := slices.IndexFunc(t.clocks, func(r reading) bool { return s-r.stamp <= step && r.stamp-s <= step })
	if i < 0 {
		if s > t.clocks[0].stamp {
			t.Tick(t.now + step)
		}
		t.clocks = slices.Insert(t.clocks[:min(len(t.clocks), 3)], 0, reading{s, t.now - s})
		return
	}
	r := t.clocks[i]
	r.stamp = max(r.stamp, s)
	r.ahead = max(r.ahead, t.now-step-r.stamp) // time waits for no clock for longer than a step
	t.clocks = slices.Insert(slices.Delete(t.clocks, i, i+1), 0, r)
	t.Tick(r.stamp + r.ahead)
}

// Run reads a whole log and lets time pass until end.
func Run(records []Record, rules Rules, end int64) Result {
	t := New(rules)
	for _, r := range records {
		t.Apply(r)
	}
	t.Tick(end)
	return t.Result()
}

// Switch puts other rules in force for traces that begin from now on.
func (t *Twin) Switch(rules Rules) { t.rules = &rules }

// Result tells what has become of the log so far.
func (t *Twin) Result() Result {
	r := t.out
	for _, tr := range t.open {
		r.Ledger.InFlight += len(tr.Spans)
	}
	return r
}

// Tick lets partition time pass.
func (t *Twin) Tick(now int64) {
	t.now = max(t.now, now)
	if t.next > t.now {
		return
	}
	due := slices.DeleteFunc(slices.Clone(t.open), func(tr *Trace) bool { return tr.deadline > t.now })
	slices.SortStableFunc(due, func(a, b *Trace) int { return int(a.deadline - b.deadline) })
	for _, tr := range due {
		t.decide(tr)
	}
	t.open = slices.DeleteFunc(t.open, func(tr *Trace) bool { return tr.Decided })
	t.next = math.MaxInt64
	for _, tr := range t.open {
		t.next = min(t.next, tr.deadline)
	}
}

func (t *Twin) decide(tr *Trace) {
	tr.Keep, tr.Policy = tr.rules.Decide(tr.spans)
	tr.Decided = true
	tr.spans = nil
	if tr.Keep {
		t.out.Ledger.Kept += len(tr.Spans)
	} else {
		t.out.Ledger.Dropped += len(tr.Spans)
	}
	t.out.Decided = append(t.out.Decided, tr)
}

// Apply reads the next record: time first, then its spans.
func (t *Twin) Apply(r Record) {
	t.stamp(r.TimestampMs)
	var unmarshaler ptrace.ProtoUnmarshaler
	traces, err := unmarshaler.UnmarshalTraces(r.Value)
	if err != nil {
		t.out.Damaged = append(t.out.Damaged, r.Offset)
		return
	}
	sizes := spanSizes(r.Value)
	for _, rs := range traces.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				t.span(r.Offset, Span{rs.Resource().Attributes(), s}, sizes[0])
				t.evict()
				sizes = sizes[1:]
			}
		}
	}
}

// evict decides the oldest traces if all that are undecided cost too much.
func (t *Twin) evict() {
	cost := 0
	for _, tr := range t.open {
		cost += t.cost(tr)
	}
	if t.rules.MaxOpen == 0 || cost <= t.rules.MaxOpen {
		return
	}
	for left, last := t.rules.MaxOpen-t.rules.MaxOpen/8, int64(-1); len(t.open) > 0; t.open = t.open[1:] {
		tr := t.open[0]
		if cost <= left && tr.FirstOffset != last {
			return
		}
		cost -= t.cost(tr)
		last = tr.FirstOffset
		tr.Early = true
		t.decide(tr)
	}
}

func (t *Twin) cost(tr *Trace) int { return t.rules.TraceCost + len(tr.Spans)*t.rules.SpanCost }

func (t *Twin) span(offset int64, s Span, size int) {
	ledger := &t.out.Ledger
	ledger.Received++
	id := s.Span.TraceID()
	if id.IsEmpty() || s.Span.SpanID().IsEmpty() {
		ledger.Invalid++
		return
	}
	tr := t.byID[id]
	if tr == nil || tr.Decided && t.now >= tr.lastSeen+tr.rules.LateWindowMs {
		tr = &Trace{ID: id, FirstOffset: offset, rules: t.rules, deadline: t.now + t.rules.DecisionWaitMs, seen: map[SpanKey]bool{}}
		t.byID[id] = tr
		t.open = append(t.open, tr)
		t.out.Traces = append(t.out.Traces, tr)
		t.next = min(t.next, tr.deadline)
	}
	tr.lastSeen = t.now
	key := SpanKey{s.Span.SpanID(), s.Span.Kind() == ptrace.SpanKindServer}
	switch {
	case tr.Decided && !tr.Keep:
		ledger.LateDropped++
		tr.Late = append(tr.Late, key)
	case tr.seen[key]:
		ledger.Duplicate++
	case tr.Decided:
		ledger.LateKept++
		tr.seen[key] = true
		tr.Late = append(tr.Late, key)
	default:
		tr.seen[key] = true
		tr.Spans = append(tr.Spans, key)
		tr.spans = append(tr.spans, s)
		tr.bytes += uint64(size)
		if s.Span.ParentSpanID().IsEmpty() && tr.rules.AfterRootMs > 0 {
			tr.deadline = min(tr.deadline, t.now+tr.rules.AfterRootMs)
			t.next = min(t.next, tr.deadline)
		}
		if tr.rules.MaxTraceBytes > 0 && tr.bytes > tr.rules.MaxTraceBytes {
			tr.Early = true
			t.decide(tr)
			t.open = slices.DeleteFunc(t.open, func(o *Trace) bool { return o == tr })
		}
	}
}
