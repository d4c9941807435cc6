package node

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/twin"
	"thresher/policies"
	"thresher/sampler"
)

// spansOf is a request with the spans of one trace, the root first; each has an ID from 1 on.
func spansOf(trace byte, from, to int, adjust func(i int, s ptrace.Span)) shop.Request {
	td := ptrace.NewTraces()
	list := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := from; i <= to; i++ {
		s := list.AppendEmpty()
		s.SetTraceID(pcommon.TraceID{0: trace, 15: trace})
		s.SetSpanID(pcommon.SpanID{7: byte(i)})
		if i > 1 {
			s.SetParentSpanID(pcommon.SpanID{7: 1})
		}
		s.SetName("short")
		if adjust != nil {
			adjust(i, s)
		}
	}
	data, _ := (&ptrace.ProtoMarshaler{}).MarshalTraces(td) // cannot fail
	return shop.Request{Data: data, Spans: to - from + 1}
}

func failing(_ int, s ptrace.Span) { s.Status().SetCode(ptrace.StatusCodeError) }

// TestPolicyFigures follows what /api/status and /metrics say of policies to traces made for it, and what delivered spans say.
func TestPolicyFigures(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := configWith(t, broker.Addr(), back.addr, `late_window: 10m
  reasons: all
  rescue_on: [{name: late-errors, type: status_code, status_code: {status_codes: [ERROR]}}]
  policies:
    - {name: probes, type: drop, drop: {drop_sub_policy: [{type: string_attribute, string_attribute: {key: probe, values: [yes]}}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: large, type: span_count, span_count: {min_spans: 3}}
    - {name: bad, type: ottl_condition, ottl_condition: {error_mode: ignore, span: ['Substring(name, 0, 1000) == ""']}}
    - {name: quiet, type: ottl_condition, ottl_condition: {error_mode: silent, span: ['Substring(name, 0, 1001) == ""']}}
    - {name: long-names, type: ottl_condition, ottl_condition: {error_mode: propagate, span: ['Substring(name, 0, 10) == "a long nam"']}}
`)
	said := &lines{}
	n := startChanged(t, cfg, func(n *Node) { n.log = slog.New(slog.NewTextHandler(said, nil)) })
	n.send(
		spansOf(1, 1, 2, failing),
		spansOf(2, 1, 3, failing),
		spansOf(3, 1, 2, nil),
		spansOf(4, 1, 1, func(_ int, s ptrace.Span) { s.SetName("a long name") }),
		spansOf(5, 1, 4, func(_ int, s ptrace.Span) { s.Attributes().PutStr("probe", "yes") }),
	)
	n.quiet(12)
	n.send(spansOf(3, 3, 3, failing)) // it comes when the trace was dropped
	s := n.quiet(13)

	size := func(name string) uint64 { return s.Policies[name].SoleBytes }
	require.Positive(t, size("errors"))
	require.Equal(t, map[string]PolicyCount{
		"probes":           {DroppedTraces: 1, DroppedSpans: 4},
		"errors":           {KeptTraces: 2, KeptSpans: 5, KeptBytes: s.Policies["errors"].KeptBytes, SoleTraces: 1, SoleSpans: 2, SoleBytes: size("errors")},
		"large":            {},
		"long-names":       {KeptTraces: 1, KeptSpans: 1, KeptBytes: size("long-names"), SoleTraces: 1, SoleSpans: 1, SoleBytes: size("long-names"), ErrorTraces: 4, FailedTraces: 4},
		"bad":              {ErrorTraces: 5},
		"quiet":            {ErrorTraces: 5},
		"late-errors":      {RescuedTraces: 1},
		policies.Unmatched: {DroppedTraces: 1, DroppedSpans: 2},
	}, s.Policies)
	require.Equal(t, uint64(1), s.Ledger.RescuedTraces)

	code, body := n.get("/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, want := range []string{
		`thresher_policy_sole_traces_total{policy="errors"} 1`, `thresher_policy_sole_spans_total{policy="errors"} 2`,
		fmt.Sprintf(`thresher_policy_sole_bytes_total{policy="errors"} %d`, size("errors")),
		`thresher_policy_rescued_traces_total{policy="late-errors"} 1`, `thresher_policy_failed_traces_total{policy="long-names"} 4`,
		`thresher_policy_error_traces_total{policy="long-names"} 4`, `thresher_policy_error_traces_total{policy="bad"} 5`,
		`thresher_traces_flagged_total{flag="rescued"} 1`, `thresher_traces_total{decision="dropped",policy="probes"} 1`,
	} {
		require.Contains(t, body, want+"\n")
	}

	require.Eventually(t, func() bool { return len(said.about("cannot be evaluated")) > 0 }, 5*time.Second, 10*time.Millisecond)
	complaints := said.about("cannot be evaluated")
	require.Len(t, complaints, 1, "not for each span, partition or silent policy")
	require.Regexp(t, `policy=bad error="the span expression .*Substring.* has no answer: `, complaints[0])

	for name, policy := range map[string]string{named(1, 1): "errors", named(2, 3): "errors", named(3, 3): "late-errors", named(4, 1): "long-names"} {
		back.mu.Lock()
		span, ok := back.last[name]
		back.mu.Unlock()
		require.True(t, ok, name)
		require.Equal(t, map[string]any{"thresher.policy": policy, "thresher.probability": 1.0}, span.Attributes().AsRaw(), name)
		require.Equal(t, "ot=th:0", span.TraceState().AsRaw(), name)
	}
	require.NotContains(t, back.names(), named(3, 1))
	http.DefaultClient.CloseIdleConnections()
	require.Less(t, n.end(), 5*time.Second)
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *lines) about(words string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, words) {
			found = append(found, line)
		}
	}
	return found
}

// TestComplainsOnceAMinute: of each policy, whatever the partition.
func TestComplainsOnceAMinute(t *testing.T) {
	var c complaints
	start := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		policy string
		after  time.Duration
		due    bool
	}{
		{"a", 0, true}, {"a", 0, false}, {"b", time.Second, true}, {"a", 59 * time.Second, false}, {"a", time.Minute, true}, {"b", time.Minute, false},
		{"b", 61 * time.Second, true}, {"a", 61 * time.Second, false},
	} {
		require.Equal(t, x.due, c.due(x.policy, start.Add(x.after)), "%s after %v", x.policy, x.after)
	}
}

func named(trace, span byte) string {
	return spanName(pcommon.TraceID{0: trace, 15: trace}, twin.SpanKey{ID: pcommon.SpanID{7: span}})
}

// TestMissedSpans follows late spans of dropped traces, which a policy would have kept, to /api/status, /metrics and the log.
func TestMissedSpans(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := configWith(t, broker.Addr(), back.addr, "late_window: 10m\n  policies:\n"+testPolicies)
	said := &lines{}
	n := startChanged(t, cfg, func(n *Node) { n.log = slog.New(slog.NewTextHandler(said, nil)) })
	first := spansOf(1, 1, 1, nil)
	n.send(first)
	s := n.quiet(1)
	require.Equal(t, uint64(1), s.Ledger.DroppedTraces, "its hash is not among the ten percent")
	require.Empty(t, s.Advice)
	n.send(spansOf(1, 2, 4, failing), spansOf(1, 5, 5, nil))
	s = n.quiet(5)
	require.Equal(t, uint64(4), s.Ledger.LateDropped)
	require.Equal(t, uint64(3), s.Ledger.MissedSpans)
	require.Equal(t, uint64(3), s.Policies["errors"].MissedSpans)
	require.Len(t, s.Advice, 1)
	require.Regexp(t, `^3 spans came after their traces were dropped, which policies would have kept for them \(errors 3\): r(emove|aise) decision_wait`, s.Advice[0])

	code, body := n.get("/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, want := range []string{
		`thresher_policy_missed_spans_total{policy="errors"} 3`, `thresher_policy_missed_spans_total{policy="ten"} 0`, `thresher_missed_delay_seconds_count 3`,
		`thresher_spans_total{outcome="late_dropped"} 4`,
	} {
		require.Contains(t, body, want+"\n")
	}
	const words = "spans came after their traces were dropped"
	require.Eventually(t, func() bool { return len(said.about(words)) > 0 }, 5*time.Second, 10*time.Millisecond)
	require.Regexp(t, `level=WARN .*late_spans=3 policies="errors 3" advice="r(emove|aise) decision_wait`, said.about(words)[0])
	http.DefaultClient.CloseIdleConnections()
	require.Less(t, n.end(), 5*time.Second)
}

// TestMissedLog: a line a minute at most, of what is new since the last one.
func TestMissedLog(t *testing.T) {
	var all missed
	come := func(spans int) missed {
		all.add(&sampler.Stats{MissedAge: [len(sampler.AgeBounds) + 1]uint64{5: uint64(spans)}, Policies: []sampler.PolicyStats{{Name: "errors", MissedSpans: uint64(spans)}}})
		copied := all
		copied.policies = maps.Clone(all.policies)
		return copied
	}
	var l missedLog
	start := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	for _, x := range []struct{ after, come, said int }{{0, 0, 0}, {1, 3, 3}, {2, 1, 0}, {60, 1, 0}, {61, 0, 2}, {200, 0, 0}, {201, 7, 7}} {
		fresh, ok := l.due(come(x.come), start.Add(time.Duration(x.after)*time.Second))
		require.Equal(t, x.said > 0, ok, x)
		require.EqualValues(t, x.said, fresh.spans, x)
		require.Equal(t, uint64(x.said), fresh.policies["errors"], x)
	}
	began := missed{spans: 2, policies: map[string]uint64{"errors": 2}} // a partition began again
	began.after[5] = 2
	require.Zero(t, began.since(&all).spans, "it is below what was told")
}

// TestAdvice: what to change follows from how late the spans come, and from the waits there are.
func TestAdvice(t *testing.T) {
	const or = "; or list the policies below rescue_on, too"
	for _, x := range []struct {
		wait, root time.Duration
		after      []int // seconds, of a span each
		want       string
	}{
		{30 * time.Second, 2 * time.Second, []int{5, 6, 7}, "raise decision_wait_after_root_received from 2s to 15s" + or},
		{30 * time.Second, 2 * time.Second, []int{5, 16}, "remove decision_wait_after_root_received" + or},
		{10 * time.Second, 2 * time.Second, []int{5}, "remove decision_wait_after_root_received" + or},
		{10 * time.Second, 2 * time.Second, []int{25}, "remove decision_wait_after_root_received, and raise decision_wait from 10s to 30s" + or},
		{10 * time.Second, 0, []int{14}, "raise decision_wait from 10s to 15s" + or},
		{30 * time.Second, 15 * time.Second, []int{4}, "raise maximum_trace_size_bytes, which decides large traces before the waits are over" + or},
		{30 * time.Second, 15 * time.Second, []int{4000}, "they come too late to be waited for: list the policies below rescue_on"},
	} {
		var m missed
		for _, s := range x.after {
			i := 0
			for i < len(sampler.AgeBounds) && int64(s)*1000 > sampler.AgeBounds[i] {
				i++
			}
			m.after[i]++
			m.spans++
		}
		require.Equal(t, x.want, m.advice(&config.Sampling{DecisionWait: x.wait, DecisionWaitAfterRoot: x.root}), x)
	}
}
