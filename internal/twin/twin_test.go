package twin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/bench/shop"
)

// one is a span of a test log: of trace and span by number, parent 0 for a root.
type one struct {
	trace, span, parent byte
	kind                ptrace.SpanKind
	failed              bool
}

func record(t *testing.T, offset, at int64, spans ...one) Record {
	t.Helper()
	traces := ptrace.NewTraces()
	to := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for _, o := range spans {
		s := to.AppendEmpty()
		s.SetName("op")
		s.SetTraceID(pcommon.TraceID{15: o.trace})
		s.SetSpanID(pcommon.SpanID{7: o.span})
		s.SetParentSpanID(pcommon.SpanID{7: o.parent})
		s.SetKind(o.kind)
		if o.failed {
			s.Status().SetCode(ptrace.StatusCodeError)
		}
	}
	var m ptrace.ProtoMarshaler
	b, err := m.MarshalTraces(traces)
	require.NoError(t, err)
	return Record{Offset: offset, TimestampMs: at, Value: b}
}

func key(span byte) SpanKey { return SpanKey{ID: pcommon.SpanID{7: span}} }

// errorsOnly waits 1000 ms, 100 after the root, remembers for 3000, and keeps traces with an error.
var errorsOnly = Rules{
	DecisionWaitMs: 1000, AfterRootMs: 100, LateWindowMs: 3000,
	Decide: Set{{"errors", StatusCode{ptrace.StatusCodeError}}}.Decide,
}

func TestDeadlineIsReachedBeforeTheRecordIsApplied(t *testing.T) {
	r := Run([]Record{
		record(t, 10, 5000, one{trace: 1, span: 1, parent: 9}),
		record(t, 11, 5999, one{trace: 1, span: 2, parent: 9}),
		record(t, 12, 6000, one{trace: 1, span: 3, parent: 9, failed: true}), // too late to change the decision
	}, errorsOnly, 6000)
	require.Len(t, r.Traces, 1)
	require.False(t, r.Traces[0].Keep)
	require.EqualValues(t, 10, r.Traces[0].FirstOffset)
	require.Equal(t, []SpanKey{key(1), key(2)}, r.Traces[0].Spans)
	require.Equal(t, []SpanKey{key(3)}, r.Traces[0].Late)
	require.Equal(t, Ledger{Received: 3, Dropped: 2, LateDropped: 1}, r.Ledger)
}

func TestRootBringsTheDeadlineForwardOnly(t *testing.T) {
	r := Run([]Record{
		record(t, 1, 0, one{trace: 1, span: 2, parent: 1}, one{trace: 2, span: 2, parent: 1}),
		record(t, 2, 100, one{trace: 1, span: 1, failed: true}),             // due at 200
		record(t, 3, 950, one{trace: 2, span: 1}),                           // still due at 1000
		record(t, 4, 1000, one{trace: 2, span: 3, parent: 1, failed: true}), // late
	}, errorsOnly, 1000)
	require.Equal(t, "errors", r.Traces[0].Policy)
	require.True(t, r.Traces[0].Keep)
	require.False(t, r.Traces[1].Keep)
	require.Equal(t, Ledger{Received: 5, Kept: 2, Dropped: 2, LateDropped: 1}, r.Ledger)
}

func TestOrderIsDeadlineThenCreation(t *testing.T) {
	r := Run([]Record{
		record(t, 1, 0, one{trace: 3, span: 2, parent: 1}, one{trace: 1, span: 2, parent: 1}, one{trace: 2, span: 2, parent: 1}),
		record(t, 2, 10, one{trace: 2, span: 1}),
	}, errorsOnly, 9000)
	var order []byte
	for _, tr := range r.Decided {
		order = append(order, tr.ID[15])
	}
	require.Equal(t, []byte{2, 3, 1}, order)
}

func TestPartitionTimeNeverGoesBack(t *testing.T) {
	r := Run([]Record{
		record(t, 1, 2000, one{trace: 1, span: 1, parent: 9}),
		record(t, 2, 500, one{trace: 2, span: 1, parent: 9}), // begins at 2000 all the same
	}, errorsOnly, 2999)
	require.Equal(t, Ledger{Received: 2, InFlight: 2}, r.Ledger)
}

func TestDuplicates(t *testing.T) {
	failed := one{trace: 1, span: 1, parent: 9, failed: true}
	server := one{trace: 1, span: 1, parent: 9, kind: ptrace.SpanKindServer}
	dropped := one{trace: 2, span: 1, parent: 9}
	r := Run([]Record{
		record(t, 1, 0, failed, server, failed, dropped),
		record(t, 2, 1000, failed, dropped, one{trace: 1, span: 2, parent: 9}, one{trace: 1, span: 2, parent: 9}),
	}, errorsOnly, 1000)
	require.Equal(t, []SpanKey{key(1), {pcommon.SpanID{7: 1}, true}}, r.Traces[0].Spans)
	require.Equal(t, []SpanKey{key(2)}, r.Traces[0].Late)
	// What a dropped trace gets again is late: its span IDs are not remembered.
	require.Equal(t, Ledger{Received: 8, Kept: 2, LateKept: 1, Duplicate: 3, Dropped: 1, LateDropped: 1}, r.Ledger)
}

func TestDecisionHoldsForTheLateWindowAfterTheLatestSpan(t *testing.T) {
	first := one{trace: 1, span: 1, parent: 9, failed: true}
	r := Run([]Record{
		record(t, 1, 0, first),
		record(t, 2, 2999, first),                              // a duplicate refreshes it
		record(t, 3, 5998, one{trace: 1, span: 2, parent: 9}),  // late
		record(t, 4, 8998, one{trace: 1, span: 3, parent: 9}),  // forgotten: another life
		record(t, 5, 9998, one{trace: 2, span: 1, parent: 9}),  // time passes
		record(t, 6, 11997, one{trace: 1, span: 4, parent: 9}), // late to the second life
		record(t, 7, 20000, one{trace: 3, span: 1, parent: 9}), // in flight
	}, errorsOnly, 20000)
	require.Len(t, r.Traces, 4)
	require.Equal(t, []SpanKey{key(2)}, r.Traces[0].Late)
	require.Equal(t, r.Traces[0].ID, r.Traces[1].ID)
	require.EqualValues(t, 4, r.Traces[1].FirstOffset)
	require.False(t, r.Traces[1].Keep)
	require.Equal(t, []SpanKey{key(4)}, r.Traces[1].Late)
	require.Equal(t, Ledger{Received: 7, Kept: 1, Duplicate: 1, LateKept: 1, Dropped: 2, LateDropped: 1, InFlight: 1}, r.Ledger)
}

func TestAnUndecidedTraceIsNotForgotten(t *testing.T) {
	rules := errorsOnly
	rules.LateWindowMs = 10
	r := Run([]Record{
		record(t, 1, 0, one{trace: 1, span: 1, parent: 9}),
		record(t, 2, 900, one{trace: 1, span: 2, parent: 9}),
	}, rules, 1000)
	require.Len(t, r.Traces, 1)
	require.Equal(t, Ledger{Received: 2, Dropped: 2}, r.Ledger)
}

func TestSizeLimitDecidesEarly(t *testing.T) {
	spans := []one{{trace: 1, span: 1, parent: 9, failed: true}, {trace: 1, span: 2, parent: 9}, {trace: 1, span: 3, parent: 9}}
	rec := record(t, 1, 0, spans...)
	sizes := spanSizes(rec.Value)
	require.Len(t, sizes, 3)
	rules := errorsOnly
	rules.MaxTraceBytes = uint64(sizes[0] + sizes[1])
	r := Run([]Record{rec}, rules, 0)
	require.Equal(t, Ledger{Received: 3, Kept: 3}, r.Ledger, "the limit is exceeded by the third span")
	rules.MaxTraceBytes--
	r = Run([]Record{rec}, rules, 0)
	require.True(t, r.Traces[0].Early)
	require.Equal(t, Ledger{Received: 3, Kept: 2, LateKept: 1}, r.Ledger)
}

func TestInvalidSpansAndDamagedRecords(t *testing.T) {
	r := Run([]Record{
		record(t, 1, 0, one{trace: 0, span: 1}, one{trace: 1, span: 0}, one{trace: 1, span: 1, parent: 9}),
		{Offset: 2, TimestampMs: 1000, Value: []byte("no protobuf")},
	}, errorsOnly, 0)
	require.Equal(t, Ledger{Received: 3, Invalid: 2, Dropped: 1}, r.Ledger, "time passes with a damaged record too")
	require.Equal(t, []int64{2}, r.Damaged)
}

func TestSwitchAppliesToNewTraces(t *testing.T) {
	tw := New(errorsOnly)
	tw.Apply(record(t, 1, 0, one{trace: 1, span: 1, parent: 9}))
	all := errorsOnly
	all.Decide = Set{{"all", AlwaysSample{}}}.Decide
	tw.Switch(all)
	tw.Apply(record(t, 2, 1, one{trace: 1, span: 2, parent: 9}, one{trace: 2, span: 1, parent: 9}))
	tw.Tick(5000)
	require.Equal(t, Ledger{Received: 3, Dropped: 2, Kept: 1}, tw.Result().Ledger)
}

// TestShop reads shop traffic as one partition and compares with what the shop says it has made.
func TestShop(t *testing.T) {
	cfg := shop.Default(11)
	cfg.LateBy = 20 * time.Second
	s := shop.New(cfg)
	var records []Record
	for {
		req := s.Next()
		if req.Spans == 0 {
			break
		}
		records = append(records, Record{Offset: int64(len(records)), TimestampMs: req.At.Milliseconds(), Value: req.Data})
		if req.At > 30*time.Second {
			s.Stop()
		}
	}
	truth := s.Truth()
	end := records[len(records)-1].TimestampMs + 60_000
	r := Run(records, Rules{
		DecisionWaitMs: 10_000, LateWindowMs: 60_000,
		Decide: Set{
			{"no-health", Drop{StringAttribute{Key: "http.route", Values: []string{"/healthz"}}}},
			{"errors", StatusCode{ptrace.StatusCodeError}},
			{"slow", Latency{ThresholdMs: 1000}},
			{"vip", StringAttribute{Key: "user.tier", Values: []string{"vip"}}},
			{"rest", Probabilistic{Percentage: 1}},
		}.Decide,
	}, end)
	l := r.Ledger
	require.EqualValues(t, truth.Spans, l.Received)
	require.EqualValues(t, truth.Late, l.LateKept+l.LateDropped)
	require.Equal(t, l.Received, l.Kept+l.Dropped+l.LateKept+l.LateDropped+l.Duplicate)
	require.LessOrEqual(t, int64(l.Duplicate), truth.Duplicates)
	require.Len(t, r.Traces, int(truth.Traces))
	require.Len(t, r.Decided, int(truth.Traces))
	by := map[string]int64{}
	for _, tr := range r.Decided {
		by[tr.Policy]++
	}
	require.Equal(t, truth.HealthTraces, by["no-health"])
	require.GreaterOrEqual(t, by["errors"], truth.ErrorTraces)
	require.LessOrEqual(t, by["errors"], truth.ErrorTraces+truth.RetryTraces)
	for _, policy := range []string{"slow", "vip", "rest", ""} {
		require.NotZero(t, by[policy], policy)
	}
}
