package sampler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protowire"

	"thresher/policies"
)

// The trace that the size of is asked, by its tracestate.
const measured = 1

// mixedTraces are requests in which the spans of three traces take turns, messages have equal headers and spans come twice.
func mixedTraces(rnd *rand.Rand) (log []ptrace.Traces) {
	for range 1 + rnd.IntN(4) {
		td := ptrace.NewTraces()
		for range rnd.IntN(4) {
			rs := td.ResourceSpans().AppendEmpty()
			rs.SetSchemaUrl([]string{"", "https://schema"}[rnd.IntN(2)])
			if service := rnd.IntN(3); service > 0 {
				rs.Resource().Attributes().PutStr("service.name", fmt.Sprint(service))
			}
			for range rnd.IntN(4) {
				ss := rs.ScopeSpans().AppendEmpty()
				ss.Scope().SetName([]string{"", "lib", "other lib"}[rnd.IntN(3)])
				ss.SetSchemaUrl([]string{"", "https://schema"}[rnd.IntN(2)])
				for range rnd.IntN(4) {
					trace := byte(rnd.IntN(3))
					s := ss.Spans().AppendEmpty()
					s.SetTraceID(pcommon.TraceID{15: 1 + trace})
					s.SetSpanID(pcommon.SpanID{7: byte(1 + rnd.IntN(9))})
					s.SetName(fmt.Sprintf("%*d", rnd.IntN(200), 1))
					if trace == measured {
						s.TraceState().FromRaw("size=asked")
					}
				}
			}
		}
		log = append(log, td)
	}
	return log
}

// sizeInCollector is the size of requests with the measured trace alone, without what the Collector's processor does not copy.
func sizeInCollector(log []ptrace.Traces) (size int) {
	for _, td := range log {
		only := ptrace.NewTraces()
		td.CopyTo(only)
		only.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
			rs.SetSchemaUrl("")
			rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
				ss.SetSchemaUrl("")
				ss.Spans().RemoveIf(func(s ptrace.Span) bool { return s.TraceID()[15] != 1+measured })
				return ss.Spans().Len() == 0
			})
			return rs.ScopeSpans().Len() == 0
		})
		size += (&ptrace.ProtoMarshaler{}).TracesSize(only)
	}
	return size
}

// limitOf has other policies that want words of a trace, and keep none.
func limitOf(t *testing.T, bytes int) Settings {
	var list yaml.Node
	require.NoError(t, yaml.Unmarshal(fmt.Appendf(nil, `[
{name: slow, type: latency, latency: {threshold_ms: 1000000}},
{name: none, type: and, and: {and_sub_policy: [
  {type: trace_state, trace_state: {key: size, values: [unasked]}}, {type: diversity, diversity: {fingerprint: [service.name], period: 40s}}]}},
{name: small, type: and, and: {and_sub_policy: [
  {type: trace_state, trace_state: {key: size, values: [asked]}},
  {type: bytes_limiting, bytes_limiting: {bytes_per_second: 1, burst_capacity: %d}}]}}]`, bytes), &list))
	plan, err := policies.Parse(list.Content[0], policies.Options{Strict: true})
	require.NoError(t, err)
	return Settings{Plan: plan, DecisionWait: 8000}
}

// TestStrictBytes finds the limit on bytes that lets a trace just through, without and with a restart behind each record.
func TestStrictBytes(t *testing.T) {
	compared := 0
	for seed := range uint64(150) {
		log := mixedTraces(rand.New(rand.NewPCG(seed, 11)))
		size := sizeInCollector(log)
		if size == 0 {
			continue
		}
		compared++
		for _, limit := range []int{size, size - 1} {
			s := limitOf(t, limit)
			for stop := range len(log) {
				by := decidedBy(t, s, log, stop)
				require.Equal(t, limit == size, by == "small", "seed %d: %d bytes, a limit of %d, restart before record %d", seed, size, limit, stop)
			}
		}
	}
	require.Greater(t, compared, 75)
}

// decidedBy returns which policy keeps the measured trace. Before a record the machine is restored and reads all of the log again.
func decidedBy(t *testing.T, s Settings, log []ptrace.Traces, stop int) (policy string) {
	l := Limits{LateWindow: 12_000}
	m, err := New(l, s)
	require.NoError(t, err)
	record := func(i int) {
		b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(log[i])
		require.NoError(t, err)
		require.NoError(t, m.Record(Offset(i), 100_000+int64(i), withUnknown(b, 0)))
	}
	for i := range log {
		if i == stop {
			m = reread(t, l, s, m.Checkpoint())
			for before := range stop {
				record(before)
			}
		}
		record(i)
	}
	until(m, 200_000)
	for _, d := range m.Effects().Deliveries {
		if d.TraceID[15] == 1+measured && d.Kept {
			policy = d.Policy
		}
	}
	return policy
}

// withUnknown adds a field to the spans of a message that the Collector does not know, so that it is lost there. depth is that of the
// message: a request, ResourceSpans, ScopeSpans, Span.
func withUnknown(b []byte, depth int) (out []byte) {
	if depth == 3 {
		return protowire.AppendVarint(protowire.AppendTag(b[:len(b):len(b)], 99, protowire.VarintType), 7)
	}
	inner := []protowire.Number{1, 2, 2}[depth]
	for len(b) > 0 {
		number, wireType, n := protowire.ConsumeField(b)
		field := b[:n]
		if number == inner && wireType == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(field)
			content, _ := protowire.ConsumeBytes(field[tag:])
			field = protowire.AppendBytes(protowire.AppendTag(nil, number, wireType), withUnknown(content, depth+1))
		}
		out, b = append(out, field...), b[n:]
	}
	return out
}
