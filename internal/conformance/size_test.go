package conformance

import (
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// TestSizes finds for traces in requests that are encoded in odd ways, and in which the spans of several traces take turns, the
// limit on bytes, for a policy or for all traces, that lets them just through: it must be the same for the peer and for Thresher with `compat: strict`.
func TestSizes(t *testing.T) {
	p := startPeer(t)
	compared := 0
	for no := range uint64(600) {
		g := newGenerator(*seed, 1<<40+no)
		var requests [][]byte
		for range 1 + g.IntN(3) {
			requests = append(requests, g.oddRequest())
		}
		size, bodies := sizeInPeer(t, requests)
		if size == 0 {
			continue // it has no span
		}
		for less, want := range []string{"sampled", "not_sampled"} {
			for limit, config := range map[int]string{
				size - less: `policies: [{name: a, type: and, and: {and_sub_policy: [
  {name: b, type: trace_state, trace_state: {key: target, values: ["yes"]}},
  {name: c, type: bytes_limiting, bytes_limiting: {bytes_per_second: 1, burst_capacity: %d}}]}}]`,
				bodies - less: "{maximum_trace_size_bytes: %d, policies: [{name: a, type: always_sample}]}",
			} {
				config = fmt.Sprintf(config, limit)
				theirs, err := p.decide(config, requests...)
				if err != nil {
					t.Fatal(err)
				}
				strict, err := thresher(config, true, requests)
				if err != nil {
					t.Fatalf("%v\n%x", err, requests)
				}
				if v := theirs[target()].decision; v != want {
					t.Fatalf("requests %d: a trace of %d bytes and a limit of %d: %s by the peer\n%s", no, size, limit, v, config)
				}
				if v := strict[target()].decision; v != want {
					t.Fatalf("requests %d: a trace of %d bytes and a limit of %d: %s with compat: strict\n%s\n%x", no, size, limit, v, config, requests)
				}
			}
		}
		compared++
	}
	if compared < 300 {
		t.Errorf("only %d traces", compared)
	}
}

// target is the trace that has the tracestate that the policies ask for, in each of its spans.
func target() traceID { return traceID{15: 1} }

// sizeInPeer adds up the sizes of the target's spans in each ResourceSpans message, each time with the resource and the scopes: as
// fields of a request, and by themselves.
func sizeInPeer(t *testing.T, requests [][]byte) (size, bodies int) {
	for _, r := range requests {
		var u ptrace.ProtoUnmarshaler
		td, err := u.UnmarshalTraces(r)
		if err != nil {
			t.Fatalf("%v\n%x", err, r)
		}
		for _, rs := range td.ResourceSpans().All() {
			rs.SetSchemaUrl("")
			rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
				ss.SetSchemaUrl("")
				ss.Spans().RemoveIf(func(s ptrace.Span) bool { return traceID(s.TraceID()) != target() })
				return ss.Spans().Len() == 0
			})
		}
		td.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool { return rs.ScopeSpans().Len() == 0 })
		var m ptrace.ProtoMarshaler
		size += m.TracesSize(td)
		for _, rs := range td.ResourceSpans().All() {
			bodies += m.ResourceSpansSize(rs)
		}
	}
	return size, bodies
}
