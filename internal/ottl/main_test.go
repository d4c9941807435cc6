package ottl

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"

	"thresher/internal/wire"
	"thresher/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parts are what a view is given.
type parts struct{ resource, scope, span []byte }

func (p *parts) Resource(header []byte) error {
	p.resource = append([]byte(nil), header...)
	return nil
}
func (p *parts) Scope(header []byte) error { p.scope = append([]byte(nil), header...); return nil }
func (p *parts) Span(raw []byte) error     { p.span = append([]byte(nil), raw...); return nil }

// cut takes a request with one span apart as the partition machine does.
func cut(t testing.TB, traces ptrace.Traces) parts {
	t.Helper()
	var m ptrace.ProtoMarshaler
	request, err := m.MarshalTraces(traces)
	require.NoError(t, err)
	var p parts
	require.NoError(t, wire.Walk(request, new(wire.Scratch), &p))
	return p
}

// sample is a span with a bit of everything.
func sample(edit ...func(ptrace.Span)) ptrace.Traces {
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl("https://opentelemetry.io/schemas/1.26.0")
	rs.Resource().Attributes().PutStr("service.name", "checkout")
	rs.Resource().Attributes().PutStr("host.name", "h1")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("my-scope")
	ss.Scope().SetVersion("1.2.3")
	ss.Scope().Attributes().PutBool("stable", true)
	span := ss.Spans().AppendEmpty()
	span.SetTraceID([16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	span.SetSpanID([8]byte{1, 2, 3, 4, 5, 6, 7, 8})
	span.SetParentSpanID([8]byte{8})
	span.SetName("GET /pay")
	span.SetKind(ptrace.SpanKindServer)
	span.SetStartTimestamp(1_700_000_000_000_000_000)
	span.SetEndTimestamp(1_700_000_002_500_000_000)
	span.TraceState().FromRaw("vendor=1")
	span.Status().SetCode(ptrace.StatusCodeError)
	span.Status().SetMessage("no funds")
	a := span.Attributes()
	a.PutStr("http.route", "/pay")
	a.PutInt("http.response.status_code", 502)
	a.PutDouble("cost", 2.5)
	a.PutBool("cached", false)
	a.PutStr("json", `{"b":{"z":1,"y":2},"a":[3,4],"d":true,"c":"x","e":null,"f":1.5}`)
	a.PutStr("csv", "1,2,3")
	tags := a.PutEmptySlice("tags")
	tags.AppendEmpty().SetStr("vip")
	tags.AppendEmpty().SetStr("eu")
	user := a.PutEmptyMap("user")
	user.PutStr("zip", "10115")
	user.PutStr("id", "u7")
	a.PutEmptyBytes("raw").FromRaw([]byte{1, 2, 3})
	first := span.Events().AppendEmpty()
	first.SetName("retry")
	first.Attributes().PutInt("attempt", 1)
	second := span.Events().AppendEmpty()
	second.SetName("exception")
	second.Attributes().PutStr("exception.type", "Timeout")
	span.Links().AppendEmpty().SetSpanID([8]byte{9})
	for _, e := range edit {
		e(span)
	}
	return traces
}

// viewOf returns a view of the span in traces at the given partition time.
func viewOf(t testing.TB, traces ptrace.Traces, now int64) policies.SpanView {
	t.Helper()
	p := cut(t, traces)
	v := New().NewView()
	v.Set(p.resource, p.scope, p.span, now)
	return v
}

// compiled compiles expressions that are right.
func compiled(t testing.TB, e policies.Expressions) policies.SpanCondition {
	t.Helper()
	c, errs := New().Compile(e)
	require.Empty(t, errs)
	return c
}

func about(span ...string) policies.Expressions { return policies.Expressions{Span: span} }

func aboutEvents(event ...string) policies.Expressions { return policies.Expressions{SpanEvent: event} }
