package tracefile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// jaeger is an answer of Jaeger's API with whatever a span can have.
const jaeger = `{"data":[{"traceID":"1f2e3d4c5b6a7988","spans":[
 {"traceID":"1f2e3d4c5b6a7988","spanID":"a1","flags":3,"operationName":"GET /cart","references":[],"startTime":1700000000000000,"duration":250000,
  "tags":[{"key":"span.kind","type":"string","value":"server"},{"key":"http.status_code","type":"int64","value":200},
   {"key":"big","type":"int64","value":"9007199254740993"},{"key":"ratio","type":"float64","value":0.5},{"key":"cached","type":"bool","value":true},
   {"key":"raw","type":"binary","value":"AQI="},{"key":"w3c.tracestate","type":"string","value":"vendor=debug"},
   {"key":"otel.scope.name","type":"string","value":"net/http"},{"key":"otel.scope.version","type":"string","value":"1.2"}],
  "logs":[{"timestamp":1700000000100000,"fields":[{"key":"event","type":"string","value":"exception"},{"key":"exception.type","type":"string","value":"E"}]}],
  "processID":"p1","warnings":null},
 {"traceID":"1f2e3d4c5b6a7988","spanID":"b2","operationName":"charge","startTime":1700000000010000,"duration":1,
  "references":[{"refType":"FOLLOWS_FROM","traceID":"1f2e3d4c5b6a7988","spanID":"c3"},{"refType":"CHILD_OF","traceID":"1f2e3d4c5b6a7988","spanID":"a1"},
   {"refType":"CHILD_OF","traceID":"00000000000000000000000000000007","spanID":"d4"}],
  "tags":[{"key":"error","type":"bool","value":true},{"key":"otel.status_code","type":"string","value":"ERROR"},
   {"key":"otel.status_description","type":"string","value":"declined"}],"logs":[],"processID":"p2"}],
 "processes":{"p1":{"serviceName":"cart","tags":[{"key":"hostname","type":"string","value":"h1"},{"key":"zone","type":"string","value":"z"}]},
  "p2":{"serviceName":"payment","tags":[]}},"warnings":null}],"total":0,"limit":0,"offset":0,"errors":null}`

func TestJaeger(t *testing.T) {
	k := read(t, jaeger)
	require.Empty(t, k.problems)
	require.Equal(t, 2, k.all.ResourceSpans().Len())

	cart := k.all.ResourceSpans().At(0)
	assert.Equal(t, map[string]any{"service.name": "cart", "host.name": "h1", "zone": "z"}, cart.Resource().Attributes().AsRaw())
	scope := cart.ScopeSpans().At(0)
	assert.Equal(t, "net/http 1.2", scope.Scope().Name()+" "+scope.Scope().Version())
	s := scope.Spans().At(0)
	assert.Equal(t, "00000000000000001f2e3d4c5b6a7988", s.TraceID().String())
	assert.Equal(t, "00000000000000a1", s.SpanID().String())
	assert.True(t, s.ParentSpanID().IsEmpty())
	assert.Equal(t, "GET /cart", s.Name())
	assert.Equal(t, ptrace.SpanKindServer, s.Kind())
	assert.EqualValues(t, 1, s.Flags())
	assert.EqualValues(t, 1700000000000000000, s.StartTimestamp())
	assert.EqualValues(t, 1700000000250000000, s.EndTimestamp())
	assert.Equal(t, "vendor=debug", s.TraceState().AsRaw())
	assert.Equal(t, ptrace.StatusCodeUnset, s.Status().Code())
	assert.Equal(t, map[string]any{"http.status_code": int64(200), "big": int64(9007199254740993), "ratio": 0.5, "cached": true, "raw": []byte{1, 2}}, s.Attributes().AsRaw())
	event := s.Events().At(0)
	assert.Equal(t, "exception", event.Name())
	assert.EqualValues(t, 1700000000100000000, event.Timestamp())
	assert.Equal(t, map[string]any{"exception.type": "E"}, event.Attributes().AsRaw())

	s = k.all.ResourceSpans().At(1).ScopeSpans().At(0).Spans().At(0)
	assert.Equal(t, "00000000000000a1", s.ParentSpanID().String(), "CHILD_OF goes before FOLLOWS_FROM")
	assert.Equal(t, ptrace.StatusCodeError, s.Status().Code())
	assert.Equal(t, "declined", s.Status().Message())
	assert.Empty(t, s.Attributes().AsRaw())
	require.Equal(t, 2, s.Links().Len())
	assert.Equal(t, "00000000000000c3", s.Links().At(0).SpanID().String())
	assert.Equal(t, map[string]any{"opentracing.ref_type": "follows_from"}, s.Links().At(0).Attributes().AsRaw())
	assert.Equal(t, "00000000000000000000000000000007", s.Links().At(1).TraceID().String())
}

func TestJaegerStatus(t *testing.T) {
	for tags, want := range map[string]ptrace.StatusCode{
		``: ptrace.StatusCodeUnset,
		`{"key":"error","type":"bool","value":false}`:                                                                   ptrace.StatusCodeUnset,
		`{"key":"error","type":"bool","value":true},{"key":"otel.status_code","type":"string","value":"OK"}`:            ptrace.StatusCodeError,
		`{"key":"otel.status_code","type":"string","value":"ok"}`:                                                       ptrace.StatusCodeOk,
		`{"key":"http.status_code","type":"int64","value":503}`:                                                         ptrace.StatusCodeError,
		`{"key":"http.status_code","type":"int64","value":404}`:                                                         ptrace.StatusCodeError,
		`{"key":"http.status_code","type":"int64","value":404},{"key":"span.kind","type":"string","value":"server"}`:    ptrace.StatusCodeUnset,
		`{"key":"http.status_code","type":"int64","value":503},{"key":"otel.status_code","type":"string","value":"OK"}`: ptrace.StatusCodeOk,
	} {
		k := read(t, `{"data":[{"traceID":"1","spans":[{"spanID":"1","processID":"p","tags":[`+tags+`]}],"processes":{"p":{"serviceName":"s"}}}]}`)
		require.Empty(t, k.problems, tags)
		assert.Equal(t, want, k.all.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Status().Code(), tags)
	}
}

func TestJaegerMistakes(t *testing.T) {
	for from, c := range map[string]struct{ to, want string }{
		`"spanID":"b2"`:                   {`"spanID":"b2z"`, `t:1: span "b2z" of trace "1f2e3d4c5b6a7988" is left out: the span ID "b2z" is not hexadecimal`},
		`"processID":"p2"`:                {`"processID":"p9"`, `t:1: span "b2" of trace "1f2e3d4c5b6a7988" is left out: its process "p9" is not among processes (p1, p2)`},
		`"spanID":"d4"`:                   {`"spanID":"12345678901234567"`, `references[2]: the span ID "12345678901234567" has more than 16 digits`},
		`"type":"string","value":"ERROR"`: {`"type":"int64","value":"ERROR"`, `tag "otel.status_code": "ERROR" is not an int64`},
		`"value":"declined"`:              {`"type":"odd","value":"declined"`, `tag "otel.status_description": the type "odd" is none of`},
	} {
		require.Contains(t, jaeger, from)
		k := read(t, strings.Replace(jaeger, from, c.to, 1))
		if assert.Len(t, k.problems, 1, from) {
			assert.Contains(t, k.problems[0], c.want)
		}
		assert.Equal(t, []string{"GET /cart"}, k.names, "the other span is read")
	}
	k := read(t, `{"data":[5]}`)
	require.Len(t, k.problems, 1)
	assert.Contains(t, k.problems[0], "t:1: is not a trace of Jaeger's API: ")
}

// As Jaeger stores spans in Elasticsearch.
func TestJaegerInlineProcess(t *testing.T) {
	k := read(t, `{"data":[{"spans":[{"traceID":"1","spanID":"1","operationName":"a","parentSpanID":"2","process":{"serviceName":"s"}},
		{"traceID":"1","spanID":"3","operationName":"b","parentSpanID":"0","process":{"serviceName":"s"}}]}]}`)
	require.Empty(t, k.problems)
	require.Equal(t, 1, k.all.ResourceSpans().Len())
	spans := k.all.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	assert.Equal(t, "0000000000000002", spans.At(0).ParentSpanID().String())
	assert.True(t, spans.At(1).ParentSpanID().IsEmpty())
}
