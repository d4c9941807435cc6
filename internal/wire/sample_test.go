package wire

import (
	"encoding/binary"
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// sampleTraces builds a request of spans with 14 attributes, about 575 bytes each: what an instrumented web service sends.
// Each trace has perTrace spans; spans are dealt over the given numbers of resources and scopes.
func sampleTraces(spans, perTrace, resources, scopes int) ptrace.Traces {
	td := ptrace.NewTraces()
	var lists []ptrace.SpanSlice
	for r := range resources {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", fmt.Sprintf("shop-service-%d", r))
		rs.Resource().Attributes().PutStr("deployment.environment.name", "production")
		rs.Resource().Attributes().PutInt("process.pid", int64(1000+r))
		rs.SetSchemaUrl("https://opentelemetry.io/schemas/1.26.0")
		for s := range scopes {
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName(fmt.Sprintf("go.opentelemetry.io/contrib/instrumentation/lib%d", s))
			ss.Scope().SetVersion("0.60.0")
			ss.SetSchemaUrl("https://opentelemetry.io/schemas/1.24.0")
			lists = append(lists, ss.Spans())
		}
	}
	for i := range spans {
		fillSpan(lists[i%len(lists)].AppendEmpty(), i/perTrace, i)
	}
	return td
}

func fillSpan(s ptrace.Span, trace, i int) {
	s.SetTraceID(pcommon.TraceID(sampleTraceID(trace)))
	s.SetSpanID(pcommon.SpanID(sampleSpanID(i)))
	if i%10 != 0 {
		s.SetParentSpanID(pcommon.SpanID(sampleSpanID(i - 1)))
	}
	s.SetName("GET /api/v1/products/{productId}")
	s.SetKind(ptrace.SpanKindServer)
	s.SetFlags(0x101)
	s.SetStartTimestamp(pcommon.Timestamp(1_700_000_000_000_000_000 + i*1000))
	s.SetEndTimestamp(pcommon.Timestamp(1_700_000_000_012_000_000 + i*1000))
	a := s.Attributes()
	a.PutStr("http.request.method", "GET")
	a.PutStr("url.scheme", "https")
	a.PutStr("url.path", fmt.Sprintf("/api/v1/products/%08d", i))
	a.PutStr("http.route", "/api/v1/products/{productId}")
	a.PutInt("http.response.status_code", 200)
	a.PutStr("server.address", "shop.example.com")
	a.PutInt("server.port", 8443)
	a.PutStr("client.address", "10.24.17.203")
	a.PutStr("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)")
	a.PutStr("network.protocol.version", "1.1")
	a.PutStr("network.peer.address", "10.24.1.9")
	a.PutInt("network.peer.port", 51544)
	a.PutStr("app.user.id", fmt.Sprintf("user-%06d", i))
	a.PutBool("app.cache.hit", i%2 == 0)
	if i%16 == 0 {
		s.Status().SetCode(ptrace.StatusCodeError)
	}
}

func sampleTraceID(trace int) (id TraceID) {
	x := uint64(trace+1) * 0x9e3779b97f4a7c15
	binary.BigEndian.PutUint64(id[:], x)
	binary.BigEndian.PutUint64(id[8:], x^x>>29|1)
	return id
}

func sampleSpanID(i int) (id SpanID) {
	binary.BigEndian.PutUint64(id[:], uint64(i+1)*0xbf58476d1ce4e5b9)
	return id
}

func marshal(t testing.TB, td ptrace.Traces) []byte {
	t.Helper()
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recorder keeps what Walk shows it.
type recorder struct {
	resources, scopes [][]byte
	spans             [][]byte
	spanScope         []int // index into scopes
	scopeResource     []int // index into resources
}

func (r *recorder) Resource(header []byte) error {
	r.resources = append(r.resources, header)
	return nil
}

func (r *recorder) Scope(header []byte) error {
	r.scopes = append(r.scopes, header)
	r.scopeResource = append(r.scopeResource, len(r.resources)-1)
	return nil
}

func (r *recorder) Span(raw []byte) error {
	r.spans = append(r.spans, raw)
	r.spanScope = append(r.spanScope, len(r.scopes)-1)
	return nil
}
