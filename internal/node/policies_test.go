package node

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/bench/shop"
	"thresher/internal/twin"
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
		"probes":      {DroppedTraces: 1, DroppedSpans: 4},
		"errors":      {Traces: 2, Spans: 5, Bytes: s.Policies["errors"].Bytes, SoleTraces: 1, SoleSpans: 2, SoleBytes: size("errors")},
		"large":       {},
		"long-names":  {Traces: 1, Spans: 1, Bytes: size("long-names"), SoleTraces: 1, SoleSpans: 1, SoleBytes: size("long-names"), ErrorTraces: 4, FailedTraces: 4},
		"bad":         {ErrorTraces: 5},
		"quiet":       {ErrorTraces: 5},
		"late-errors": {RescuedTraces: 1},
		Unmatched:     {DroppedTraces: 1, DroppedSpans: 2},
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
