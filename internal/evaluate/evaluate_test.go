package evaluate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/wire"
)

func load(t testing.TB, text string) *config.Policies {
	t.Helper()
	p, err := config.ParsePolicies("t.yaml", []byte(text), config.PoliciesFrom{Getenv: func(string) (string, bool) { return "", false }})
	require.NoError(t, err)
	return p
}

const ordinary = `sampling:
  policies:
    - {name: health, type: drop, drop: {drop_sub_policy: [{type: string_attribute, string_attribute: {key: http.route, values: [/healthz]}}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
    - {name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}
`

func decide(t testing.TB, s *Store, p *config.Policies, o Options) []Result {
	t.Helper()
	var list []Result
	require.NoError(t, s.Decide(t.Context(), p, o, func(r *Result) error {
		list = append(list, *r)
		return nil
	}))
	return list
}

// requests are the export requests of some traffic.
func requests(traces int64) [][]byte {
	s := shop.New(shop.Default(3))
	var list [][]byte
	for {
		if s.Truth().Traces >= traces {
			s.Stop()
		}
		r := s.Next()
		if r.Spans == 0 {
			return list
		}
		list = append(list, r.Data)
	}
}

// What is decided does not depend on the order in which files have the spans, nor on how they are cut.
func TestOrderOfTheInputDoesNotMatter(t *testing.T) {
	list := requests(300)
	p := load(t, ordinary)
	var first Store
	for _, r := range list {
		require.NoError(t, first.Add(r))
	}
	want := decide(t, &first, p, Options{})
	require.GreaterOrEqual(t, len(want), 300)
	byPolicy := map[string]int{}
	for i, r := range want {
		byPolicy[r.Policy]++
		if i > 0 {
			assert.GreaterOrEqual(t, r.End, want[i-1].End, "in the order of their ends")
		}
	}
	for _, name := range []string{"health", "errors", "slow", "tenth", ""} {
		assert.Positive(t, byPolicy[name], name)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		var s Store
		for _, r := range list {
			traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(r)
			require.NoError(t, err)
			for _, rs := range traces.ResourceSpans().All() {
				one := ptrace.NewTraces()
				rs.CopyTo(one.ResourceSpans().AppendEmpty())
				b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(one)
				require.NoError(t, err)
				require.NoError(t, s.Add(b))
			}
		}
		got := decide(t, &s, p, Options{})
		for i := range got {
			got[i].Bytes = want[i].Bytes // pdata writes the same span in other bytes
		}
		require.Equal(t, want, got)
	}
}

// spans describes a trace: service, name, start and end in milliseconds, and the size of an attribute.
type spans struct {
	id         byte
	start, end int64
	padding    int
	count      int
	rootless   bool
	failed     bool
	random     uint64 // that the trace ID ends with, before id
	span       byte   // in the span ID
	service    string
}

func (s spans) message(t testing.TB) []byte {
	t.Helper()
	traces := ptrace.NewTraces()
	for i := range max(1, s.count) {
		rs := traces.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", cmp.Or(s.service, fmt.Sprintf("service-%d", i)))
		span := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		id := pcommon.TraceID{0xab, 15: s.id}
		binary.BigEndian.PutUint64(id[7:], s.random)
		span.SetTraceID(id)
		span.SetSpanID(pcommon.SpanID{byte(i), 1, s.span})
		if i > 0 || s.rootless {
			span.SetParentSpanID(pcommon.SpanID{9, 9})
		}
		span.SetName(fmt.Sprintf("operation-%d", i))
		base := time.Unix(1_700_000_000, 0)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(base.Add(time.Duration(s.start) * time.Millisecond)))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(base.Add(time.Duration(s.end) * time.Millisecond)))
		span.Attributes().PutStr("padding", strings.Repeat("x", s.padding))
		if s.failed {
			span.Status().SetCode(ptrace.StatusCodeError)
		}
	}
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	require.NoError(t, err)
	return b
}

func store(t testing.TB, list ...spans) *Store {
	t.Helper()
	var s Store
	for _, one := range list {
		require.NoError(t, s.Add(one.message(t)))
	}
	return &s
}

// Limits work in the time of the traces, so the last of many that end together does not get what is left over by the clock.
func TestLimitsInTheTimeOfTraces(t *testing.T) {
	p := load(t, "sampling: {policies: [{name: two, type: rate_limiting, rate_limiting: {spans_per_second: 2}}]}\n")
	var list []spans
	for i := range 60 {
		list = append(list, spans{id: byte(i), random: uint64(i+1) * 0x9e3779b97f4a7c15, start: int64(i) * 100, end: int64(i)*100 + 5})
	}
	kept := 0
	for _, r := range decide(t, store(t, list...), p, Options{}) {
		if r.Kept {
			kept++
			assert.Equal(t, "two", r.Policy)
		}
	}
	// Six seconds of two spans each, and what the bucket held at first.
	assert.InDelta(t, 6*2+2, kept, 3)
}

func TestResult(t *testing.T) {
	p := load(t, ordinary)
	s := store(t, spans{id: 1, start: 10, end: 1500, count: 3}, spans{id: 2, start: 0, end: 20, rootless: true, failed: true}, spans{id: 1, start: 10, end: 1500})
	asked := wire.TraceID{0xab, 15: 1}
	got := decide(t, s, p, Options{Explain: func(id wire.TraceID) bool { return id == asked }})
	require.Len(t, got, 2)
	assert.Equal(t, "errors", got[0].Policy)
	assert.Empty(t, got[0].Why)
	assert.False(t, got[0].Complete)
	r := got[1]
	assert.Equal(t, asked, r.TraceID)
	assert.True(t, r.Kept)
	assert.Equal(t, []string{"slow"}, r.Matched)
	assert.Equal(t, 3, r.Spans, "the fourth is a duplicate")
	assert.EqualValues(t, 1490*time.Millisecond, r.End-r.Start)
	assert.Equal(t, "service-0 operation-0", r.Service+" "+r.Operation)
	require.Len(t, r.Why, 4)
	assert.Equal(t, "slow", r.Why[2].Name)
	assert.True(t, r.Why[2].Passed)
	assert.Contains(t, r.Why[2].Saw, "1490 ms")
}

// The Collector holds an upper threshold against every duration that a trace has on the way: 5, 1000 and 1000 ms here. Were the
// spans put together by resource, it would be 5, 50 and 1000.
func TestStrictSeesSpansAsTheyCame(t *testing.T) {
	p := load(t, "sampling: {compat: strict, policies: [{name: brief, type: latency, latency: {threshold_ms: 10, upper_threshold_ms: 100}}]}\n")
	list := []spans{{id: 1, end: 5, span: 1}, {id: 1, end: 1000, span: 2, service: "other"}, {id: 1, end: 50, span: 3}}
	got := decide(t, store(t, list...), p, Options{})
	require.Len(t, got, 1)
	assert.False(t, got[0].Kept)
	assert.Equal(t, 3, got[0].Spans)
	list[1], list[2] = list[2], list[1]
	assert.True(t, decide(t, store(t, list...), p, Options{})[0].Kept)
}

// The Collector counts the resource in each message that comes, and the scope in each part of it. Were spans of equal resources and
// scopes put together, the trace would be smaller.
func TestStrictSeesMessagesAsTheyCame(t *testing.T) {
	var s Store
	size := 0
	id := byte(0)
	for range 2 {
		td := ptrace.NewTraces()
		for range 2 {
			rs := td.ResourceSpans().AppendEmpty()
			rs.Resource().Attributes().PutStr("service.name", "shop")
			for _, scope := range []string{"a", "b", "b", "a"} {
				ss := rs.ScopeSpans().AppendEmpty()
				ss.Scope().SetName(scope)
				for range 2 {
					id++
					one := ss.Spans().AppendEmpty()
					one.SetTraceID(pcommon.TraceID{1})
					one.SetSpanID(pcommon.SpanID{id})
				}
			}
		}
		b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
		require.NoError(t, err)
		size += len(b)
		require.NoError(t, s.Add(b))
	}
	for limit, kept := range map[int]bool{size: true, size - 1: false} {
		p := load(t, fmt.Sprintf("sampling: {compat: strict, policies: [{name: small, type: bytes_limiting,"+
			" bytes_limiting: {bytes_per_second: 1, burst_capacity: %d}}]}\n", limit))
		got := decide(t, &s, p, Options{})
		require.Len(t, got, 1)
		assert.Equal(t, 32, got[0].Spans)
		assert.Equal(t, kept, got[0].Kept, "%d bytes, a limit of %d", size, limit)
	}
}

func TestTraceOverItsSize(t *testing.T) {
	p := load(t, "sampling: {maximum_trace_size_bytes: 1000, policies: [{name: all, type: always_sample}]}\n")
	got := decide(t, store(t, spans{id: 1, padding: 400, count: 10}, spans{id: 2, end: 1}), p, Options{})
	require.Len(t, got, 2)
	early, normal := got[0], got[1]
	assert.True(t, early.Early)
	assert.Equal(t, 10, early.Spans, "those behind the limit follow the decision")
	assert.False(t, normal.Early)
}

// Who gives a file twice sees no other sizes than with the file once: what counts in SPANS counts in BYTES, also if the trace is cut,
// and if policies see each repeated span.
func TestRepeatedSpansAreNotBytes(t *testing.T) {
	list := []spans{{id: 1, end: 5, count: 3}, {id: 2, end: 10, padding: 400, count: 10}}
	for _, section := range []string{"", "compat: strict, ", "maximum_trace_size_bytes: 1000, "} {
		p := load(t, "sampling: {"+section+"policies: [{name: all, type: always_sample}]}\n")
		once, twice := decide(t, store(t, list...), p, Options{}), decide(t, store(t, append(list, list...)...), p, Options{})
		require.Len(t, twice, 2, section)
		for i := range once {
			assert.Zero(t, once[i].Repeats, section)
			once[i].Repeats = once[i].Spans
		}
		assert.Equal(t, once, twice, section)
		for _, r := range twice {
			sent := list[r.TraceID[15]-1]
			assert.Equal(t, sent.count, r.Spans, section)
			assert.EqualValues(t, sent.size(t), r.Bytes, section)
		}
	}
}

// What no other policy would have kept counts, also a limit that was not asked.
func TestAlone(t *testing.T) {
	for rate, alone := range map[string]bool{"1": true, "1000": false} {
		p := load(t, "sampling: {policies: [{name: all, type: always_sample}, {name: limit, type: rate_limiting, rate_limiting: {spans_per_second: "+rate+"}}]}\n")
		got := decide(t, store(t, spans{id: 1, count: 10}), p, Options{})
		require.Len(t, got, 1)
		assert.Equal(t, alone, got[0].Sole)
		assert.Equal(t, []string{"all"}, got[0].Matched)
	}
}

// The Collector counts repeated spans, so a policy can say another number than the table. An explanation has both.
func TestRepeatedSpansAreExplained(t *testing.T) {
	one := spans{id: 1, end: 5}
	for mode, saw := range map[string]string{"": "saw 1 span\n", "strict": "saw 3 spans (2 of them repeated)\n"} {
		p := load(t, "sampling: {compat: '"+mode+"', policies: [{name: large, type: span_count, span_count: {min_spans: 3}}]}\n")
		got := decide(t, store(t, one, one, one), p, Options{Explain: func(wire.TraceID) bool { return true }})
		require.Len(t, got, 1)
		var b bytes.Buffer
		require.NoError(t, Explain(&b, &got[0]))
		assert.Contains(t, b.String(), "operation-0, 1 span (and 2 repeated), 5ms\n", mode)
		assert.Contains(t, b.String(), saw, mode)
	}
}

// size is what pdata has for the spans alone.
func (s spans) size(t testing.TB) (size int) {
	t.Helper()
	traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(s.message(t))
	require.NoError(t, err)
	for _, rs := range traces.ResourceSpans().All() {
		size += (&ptrace.ProtoMarshaler{}).SpanSize(rs.ScopeSpans().At(0).Spans().At(0))
	}
	return size
}

func TestRefusedSpans(t *testing.T) {
	var s Store
	good := spans{id: 1, start: 1, end: 2}.message(t)
	without := bytes.ReplaceAll(good, append([]byte{0x0a, 16, 0xab}, make([]byte, 14)...), append([]byte{0x0a, 16, 0}, make([]byte, 14)...))
	without[bytes.Index(without, append([]byte{0x0a, 16}, make([]byte, 15)...))+17] = 0
	require.ErrorContains(t, s.Add(without), "a span is left out: span has no trace ID")
	require.ErrorContains(t, s.Add(append(bytes.Clone(without), without...)), "2 spans are left out, the first because: span has no trace ID")
	require.NoError(t, s.Add(good))
	require.ErrorIs(t, s.Add(good[:len(good)-1]), wire.ErrTruncated)
	assert.Equal(t, 1, s.Len())
}

func TestFind(t *testing.T) {
	var s Store
	for _, id := range []wire.TraceID{{0xab, 0xcd}, {0xab, 0xce}, {8: 0x12, 15: 1}, {0x12}} {
		traces := ptrace.NewTraces()
		span := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		span.SetTraceID(pcommon.TraceID(id))
		span.SetSpanID(pcommon.SpanID{1})
		b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
		require.NoError(t, err)
		require.NoError(t, s.Add(b))
	}
	assert.Len(t, s.Find("ab"), 2)
	assert.Equal(t, []wire.TraceID{{0xab, 0xce}}, s.Find("abce"))
	assert.Equal(t, []wire.TraceID{{0x12}}, s.Find("12"), "the beginning of the whole ID goes first")
	assert.Equal(t, []wire.TraceID{{8: 0x12, 15: 1}}, s.Find("1200000000000001"), "an ID of 64 bits")
	assert.Empty(t, s.Find("ff"))
	assert.Len(t, s.Find(""), 4)
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := store(t, spans{id: 1}).Decide(ctx, load(t, ordinary), Options{}, func(*Result) error { return nil })
	require.ErrorIs(t, err, context.Canceled)
	full := errors.New("the disk is full")
	err = store(t, spans{id: 1}).Decide(t.Context(), load(t, ordinary), Options{}, func(*Result) error { return full })
	require.ErrorIs(t, err, full)
}

func TestTable(t *testing.T) {
	p := load(t, ordinary)
	var b bytes.Buffer
	table, totals := NewTable(&b, p.Plan), NewTotals(p.Plan)
	long := Result{TraceID: wire.TraceID{1}, Kept: true, Policy: "tenth", Matched: []string{"tenth"}, Probability: 0.1, Spans: 12, Bytes: 123_456, Sole: true,
		Start: 1, End: 1 + 33_400_000, Service: strings.Repeat("service", 5), Operation: "a\x1b[2Jb\n" + strings.Repeat("operation", 5)}
	list := []Result{
		{TraceID: wire.TraceID{0xff}, Policy: "health", Matched: []string{"health", "errors"}, Spans: 1, Bytes: 300, Complete: true, Start: 5, End: 310_005, Service: "cart", Operation: "GET /healthz"},
		{TraceID: wire.TraceID{2}, Kept: true, Policy: "errors", Matched: []string{"errors", "slow"}, Probability: 1, Spans: 1234, Bytes: 5_000_000, Complete: true, Early: true, Start: 1, End: 90_000_000_001, Service: "s"},
		{TraceID: wire.TraceID{3}, Spans: 2, Bytes: 800},
		long,
	}
	for i := range list {
		require.NoError(t, table.Add(&list[i]))
		totals.Add(&list[i])
	}
	b.WriteString("\n")
	require.NoError(t, totals.Write(&b))
	assert.Equal(t, `TRACE ID                          VERDICT  POLICY   PROB   SPANS  DURATION  ROOT
ff000000000000000000000000000000  dropped  health      -       1     310µs  cart  GET /healthz
02000000000000000000000000000000  kept     errors      1    1234       90s  [cut by size] s
03000000000000000000000000000000  dropped  -           -       2         -  [no root]
01000000000000000000000000000000  kept     tenth     0.1      12    33.4ms  [no root] serviceserviceserviceserviceservi…

POLICY       DECIDES     TRACES               SPANS               BYTES    MATCHES  ALONE
health       drop             1  25.0 %           1   0.1 %       300 B          1
errors       keep             1  25.0 %       1,234  98.8 %        5 MB          2
slow         keep             0   0.0 %           0   0.0 %         0 B          1
tenth        keep             1  25.0 %          12   1.0 %      123 kB          1  1 trace, 123 kB
(no policy)  drop             1  25.0 %           2   0.2 %       800 B

kept 2 of 4 traces (50.0 %), 1,246 of 1,249 spans (99.8 %), 5.12 MB of 5.12 MB (100.0 %)
2 traces had no root span: decided on a part, or the rest is not in the input
1 trace decided early, at maximum_trace_size_bytes
`, b.String())
	for line := range strings.Lines(b.String()) {
		assert.LessOrEqual(t, columns(line), tableWidth+1)
	}
	b.Reset()
	require.NoError(t, Explain(&b, &long))
	assert.Contains(t, b.String(), "kept by tenth, probability 0.1\n")
	assert.NotContains(t, b.String(), "\x1b", "names of spans cannot move the cursor")
}

func TestDurations(t *testing.T) {
	for want, nanos := range map[string]uint64{"999ns": 999, "1µs": 1000, "12.3µs": 12_345, "999ms": 999_000_000, "1.23s": 1_234_567_890, "99s": 99e9,
		"1m40s": 100e9, "2h5m": 2*3600e9 + 300e9, "100h": 0, "21d": 500 * 3600e9, ">292y": 1 << 63} {
		if nanos > 0 {
			assert.Equal(t, want, took(&Result{Start: 1, End: nanos + 1}))
		}
	}
	assert.Equal(t, "-", took(&Result{Start: 5, End: 1}))
	assert.Equal(t, "-", took(&Result{End: 1}))
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteJSON(&b, &Result{TraceID: wire.TraceID{1}, Kept: true, Policy: "a<b", Matched: []string{"a<b", "c"}, Probability: 0.25, Spans: 3, Complete: true,
		Service: "pay", Operation: "POST /pay", Start: 1_700_000_000_123_456_789, End: 1_700_000_001_123_956_789, Bytes: 700}))
	require.NoError(t, WriteJSON(&b, &Result{TraceID: wire.TraceID{2}, Spans: 1}))
	assert.Equal(t, `{"trace_id":"01000000000000000000000000000000","decision":"kept","policy":"a<b","matched":["a<b","c"],"probability":0.25,"spans":3,"complete":true,"service":"pay","operation":"POST /pay","start":"2023-11-14T22:13:20.123456789Z","duration_ms":1000.5,"bytes":700}
{"trace_id":"02000000000000000000000000000000","decision":"dropped","policy":"","matched":[],"probability":0,"spans":1,"complete":false,"service":"","operation":"","bytes":0}
`, b.String())
	b.Reset()
	require.NoError(t, WriteJSONWarnings(&b, nil))
	assert.Empty(t, b.String())
	require.NoError(t, WriteJSONWarnings(&b, []config.Warning{{Line: 3, Path: "sampling.policies[0]", Msg: "a < b"}}))
	assert.Equal(t, `{"warnings":[{"line":3,"path":"sampling.policies[0]","message":"a < b"}]}`+"\n", b.String())

	s := store(t, spans{id: 1, end: 2000})
	got := decide(t, s, load(t, ordinary), Options{Explain: func(wire.TraceID) bool { return true }})
	b.Reset()
	require.NoError(t, WriteJSON(&b, &got[0]))
	var l line
	require.NoError(t, json.Unmarshal(b.Bytes(), &l))
	require.Len(t, l.Why, 4)
	assert.Equal(t, "drop", l.Why[0].Type)
	require.Len(t, l.Why[0].Sub, 1)
	assert.False(t, l.Why[0].Sub[0].Passed)
	assert.True(t, l.Why[2].Passed)
}

func BenchmarkEvaluate(b *testing.B) {
	list := requests(2000)
	p := load(b, ordinary)
	n, size := 0, 0
	for _, r := range list {
		size += len(r)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		var s Store
		for _, r := range list {
			if err := s.Add(r); err != nil {
				b.Fatal(err)
			}
		}
		n = len(s.spans)
		_ = s.Decide(b.Context(), p, Options{}, func(*Result) error { return nil })
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
}
