package tracefile

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// testdata/shop.jaeger.json is what Jaeger 1.76 answers to /api/traces after it was sent testdata/shop.jsonl over OTLP:
// two traces with events, a link and trace states. What a policy can look at has to come out as it went in.
func TestWhatJaegerMakesOfOTLP(t *testing.T) {
	spans := func(path string) map[pcommon.SpanID]map[string]any {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		k := read(t, string(text))
		require.Empty(t, k.problems)
		all := map[pcommon.SpanID]map[string]any{}
		for _, rs := range k.all.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					all[s.SpanID()] = describe(rs, ss, s)
				}
			}
		}
		return all
	}
	sent, got := spans("testdata/shop.jsonl"), spans("testdata/shop.jaeger.json")
	require.Len(t, sent, 24)
	for id, span := range sent {
		require.Equal(t, span, got[id], "%v", span["name"])
	}
	assert.Len(t, got, len(sent))
}

func describe(rs ptrace.ResourceSpans, ss ptrace.ScopeSpans, s ptrace.Span) map[string]any {
	var events []any
	for _, e := range s.Events().All() {
		events = append(events, map[string]any{"name": e.Name(), "at": e.Timestamp() / 1000, "attributes": e.Attributes().AsRaw()})
	}
	links := map[pcommon.SpanID]pcommon.TraceID{}
	for _, l := range s.Links().All() {
		links[l.SpanID()] = l.TraceID()
	}
	return map[string]any{
		"trace": s.TraceID(), "parent": s.ParentSpanID(), "name": s.Name(), "kind": s.Kind(), "status": s.Status().Code(), "message": s.Status().Message(),
		"state": s.TraceState().AsRaw(), "start": s.StartTimestamp() / 1000, "attributes": s.Attributes().AsRaw(), "events": events, "links": links,
		// Jaeger cuts the start and the duration to microseconds, each by itself.
		"microseconds": (s.EndTimestamp() - s.StartTimestamp()) / 1000,
		"resource":     rs.Resource().Attributes().AsRaw(), "scope": ss.Scope().Name() + " " + ss.Scope().Version(),
	}
}
