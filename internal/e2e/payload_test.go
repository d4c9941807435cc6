//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// traceID names the traces that tests make by hand.
func traceID(n uint64) (id pcommon.TraceID) {
	copy(id[:], "thresher")
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func spanID(n uint64) (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

// build makes a request of spans of one service; each gets IDs, a name and times before adjust.
func build(spans int, adjust func(i int, s ptrace.Span)) ptraceotlp.ExportRequest {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "by-hand")
	list := rs.ScopeSpans().AppendEmpty().Spans()
	now := time.Now()
	for i := range spans {
		s := list.AppendEmpty()
		s.SetTraceID(traceID(1))
		s.SetSpanID(spanID(uint64(i) + 1))
		if i > 0 {
			s.SetParentSpanID(spanID(1))
		}
		s.SetName(fmt.Sprint("step ", i))
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(now))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Millisecond)))
		if adjust != nil {
			adjust(i, s)
		}
	}
	return ptraceotlp.NewExportRequestFromTraces(td)
}

// proto is the request in protobuf.
func proto(r ptraceotlp.ExportRequest) []byte {
	data, err := r.MarshalProto()
	if err != nil {
		panic(err) // pdata marshals whatever it has built
	}
	return data
}

// traceOf is a trace of three spans in one request; the last may be an error.
func traceOf(id uint64, fails bool) []byte {
	return proto(build(3, func(i int, s ptrace.Span) {
		s.SetTraceID(traceID(id))
		if fails && i == 2 {
			s.Status().SetCode(ptrace.StatusCodeError)
		}
	}))
}

// serviceSpans lists the trace IDs of the spans of a request by service, one for each span.
func serviceSpans(t testing.TB, request []byte) map[string][]string {
	t.Helper()
	var unmarshaler ptrace.ProtoUnmarshaler
	td, err := unmarshaler.UnmarshalTraces(request)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string][]string{}
	for _, rs := range td.ResourceSpans().All() {
		service, _ := rs.Resource().Attributes().Get("service.name")
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				ids[service.AsString()] = append(ids[service.AsString()], s.TraceID().String())
			}
		}
	}
	return ids
}
