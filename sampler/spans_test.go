package sampler

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.yaml.in/yaml/v3"

	"thresher/internal/wire"
	"thresher/policies"
)

// parseSpans reads spans in short form, one a line, and returns them as one OTLP request:
//
//	a1 root error start=100 end=250 svc=cart user=vip
//
// is span 1 of trace a. Without `root` it has a parent. start and end are milliseconds. svc names the resource; other
// k=v are attributes. rv is the randomness in its tracestate. `server` sets the kind. `noid` makes the trace ID zero.
func parseSpans(text string) ([]byte, error) {
	td := ptrace.NewTraces()
	resources := map[string]ptrace.SpanSlice{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		id, n, err := parseName(f[0])
		if err != nil {
			return nil, err
		}
		svc := "shop"
		for _, w := range f[1:] {
			if v, ok := strings.CutPrefix(w, "svc="); ok {
				svc = v
			}
		}
		spans, ok := resources[svc]
		if !ok {
			rs := td.ResourceSpans().AppendEmpty()
			rs.Resource().Attributes().PutStr("service.name", svc)
			spans = rs.ScopeSpans().AppendEmpty().Spans()
			resources[svc] = spans
		}
		s := spans.AppendEmpty()
		s.SetTraceID(pcommon.TraceID(id))
		s.SetSpanID(spanID(n))
		s.SetParentSpanID(spanID(999))
		for _, w := range f[1:] {
			k, v, _ := strings.Cut(w, "=")
			ms, _ := strconv.ParseUint(v, 10, 64)
			switch k {
			case "root":
				s.SetParentSpanID(pcommon.SpanID{})
			case "error":
				s.Status().SetCode(ptrace.StatusCodeError)
			case "server":
				s.SetKind(ptrace.SpanKindServer)
			case "noid":
				s.SetTraceID(pcommon.TraceID{})
			case "start":
				s.SetStartTimestamp(pcommon.Timestamp(ms * 1e6))
			case "end":
				s.SetEndTimestamp(pcommon.Timestamp(ms * 1e6))
			case "pad":
				s.Attributes().PutStr("pad", strings.Repeat("x", int(ms)))
			case "rv":
				s.TraceState().FromRaw("ot=rv:" + v)
			case "svc":
			default:
				s.Attributes().PutStr(k, v)
			}
		}
	}
	return (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
}

func parseName(s string) (id wire.TraceID, n uint64, err error) {
	i := strings.IndexAny(s, "0123456789")
	if i < 1 {
		return id, 0, fmt.Errorf("%q is not a span; want a trace name and a number, like a1", s)
	}
	copy(id[:], s[:i])
	n, err = strconv.ParseUint(s[i:], 10, 64)
	return id, n, err
}

func spanID(n uint64) (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

func traceName(id wire.TraceID) string { return strings.TrimRight(string(id[:]), "\x00") }

// spanNames decodes a payload and names its spans.
func spanNames(payload []byte) (names []string, err error) {
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(payload)
	if err != nil {
		return nil, err
	}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				b := s.SpanID()
				names = append(names, fmt.Sprintf("%s%d", traceName(wire.TraceID(s.TraceID())), binary.BigEndian.Uint64(b[:])))
			}
		}
	}
	sort.Strings(names)
	return names, nil
}

func parsePlan(text string) (*policies.Plan, error) {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		return nil, err
	}
	if len(n.Content) == 0 {
		return nil, fmt.Errorf("no policies")
	}
	return policies.Parse(n.Content[0], policies.Options{})
}

func mustPlan(t testing.TB, text string) *policies.Plan {
	t.Helper()
	p, err := parsePlan(text)
	require.NoError(t, err)
	return p
}

// mustPlanWith also reads policies of rescue_on.
func mustPlanWith(t testing.TB, text, rescue string) *policies.Plan {
	var list, late yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &list))
	require.NoError(t, yaml.Unmarshal([]byte(rescue), &late))
	plan, err := policies.Parse(list.Content[0], policies.Options{Rescue: late.Content[0]})
	require.NoError(t, err)
	return plan
}
