package sampler

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// heap returns the bytes that are in use. The tests here that ask for it are not parallel.
func heap() int {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// hostile makes requests that are small on the wire.
type hostile struct {
	t testing.TB
	n uint64
}

func (h *hostile) id(b []byte) {
	h.n++
	binary.BigEndian.PutUint64(b, h.n*0x9E3779B97F4A7C15|1)
}

// request has n resources, each with spans as fill makes them.
func (h *hostile) request(n int, fill func(i int, rs ptrace.ResourceSpans)) []byte {
	td := ptrace.NewTraces()
	for i := range n {
		fill(i, td.ResourceSpans().AppendEmpty())
	}
	b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	require.NoError(h.t, err)
	return b
}

// traces has n traces of one span that is as small as a span can be.
func (h *hostile) traces(n int) []byte {
	return h.request(1, func(_ int, rs ptrace.ResourceSpans) {
		ss := rs.ScopeSpans().AppendEmpty().Spans()
		for range n {
			s := ss.AppendEmpty()
			var id pcommon.TraceID
			h.id(id[:])
			s.SetTraceID(id)
			s.SetSpanID(pcommon.SpanID{1})
		}
	})
}

// spans has n spans of a trace.
func (h *hostile) spans(trace pcommon.TraceID, n int, attribute string) []byte {
	return h.request(1, func(_ int, rs ptrace.ResourceSpans) {
		ss := rs.ScopeSpans().AppendEmpty().Spans()
		for range n {
			s := ss.AppendEmpty()
			s.SetTraceID(trace)
			var id pcommon.SpanID
			h.id(id[:])
			s.SetSpanID(id)
			if attribute != "" {
				s.Attributes().PutStr("a", attribute)
			}
		}
	})
}

func machineFor(t testing.TB, l Limits, policies string, wait int64) *Machine {
	m, err := New(l, Settings{Plan: mustPlan(t, policies), DecisionWait: wait})
	require.NoError(t, err)
	return m
}

func acknowledge(m *Machine) {
	for _, d := range m.Effects().Deliveries {
		m.Ack(d.Seq)
	}
	m.Clear()
}

const everything = `[{name: all, type: always_sample}]`

// holds wants what a machine has taken from the heap to be what it says, about, and says how much that is.
func holds(t testing.TB, m *Machine, before int) Memory {
	grown := heap() - before
	b := m.Stats().Memory
	require.Equal(t, b.Total(), m.Stats().HeapBytes)
	require.InDelta(t, grown, b.Total(), float64(grown)/4+512<<10, "%+v", b)
	runtime.KeepAlive(m)
	return b
}

// TestOpenTracesAreBounded: a million traces of one span, in half an hour of decision wait.
func TestOpenTracesAreBounded(t *testing.T) {
	const budget = 8 << 20
	h, before := &hostile{t: t}, heap()
	m := machineFor(t, Limits{LateWindow: 1_800_000, BufferBytes: 1 << 20, OpenBytes: budget, Decisions: 10_000}, onlyErrors, 1_800_000)
	for i := range 200 {
		require.NoError(t, m.Record(Offset(i), 1_000_000+int64(i)*1000, h.traces(1000)))
		m.Clear()
		require.LessOrEqual(t, m.opened, budget)
	}
	b := holds(t, m, before)
	require.Less(t, b.Open, budget)
	require.Less(t, b.Total(), 12<<20)
	st := m.Stats()
	require.EqualValues(t, 200_000, st.DroppedTraces+uint64(st.OpenTraces), "all is accounted for")
	require.EqualValues(t, st.DroppedTraces, st.EvictedTraces)
}

// TestOneTraceIsBounded: a trace of millions of spans is too much all by itself.
func TestOneTraceIsBounded(t *testing.T) {
	const budget = 2 << 20
	h := &hostile{t: t}
	m := machineFor(t, Limits{LateWindow: 30_000, BufferBytes: 1 << 20, OpenBytes: budget, KeptIDBytes: 1 << 20}, everything, 30_000)
	for i := range 200 {
		require.NoError(t, m.Record(Offset(i), 1_000_000+int64(i), h.spans(pcommon.TraceID{7}, 1000, "")))
		acknowledge(m)
		b := m.Stats().Memory
		require.Less(t, b.Total(), 8<<20, "%+v", b)
		require.Less(t, b.Scratch, 2<<20)
	}
	require.EqualValues(t, 1, m.Stats().EvictedTraces)
	require.EqualValues(t, 200_000, m.Stats().Kept+m.Stats().LateKept)
}

// TestHeadersAreBounded: resources that are all different, of traces that are spilled.
func TestHeadersAreBounded(t *testing.T) {
	const budget = 1 << 20
	h, before := &hostile{t: t}, heap()
	m := machineFor(t, Limits{LateWindow: 1_800_000, BufferBytes: budget}, onlyErrors, 1_800_000)
	wire := 0
	for i := range 1000 {
		v := h.request(20, func(j int, rs ptrace.ResourceSpans) {
			rs.Resource().Attributes().PutStr("service.instance.id", fmt.Sprintf("%d-%d-%0500d", i, j, 0))
			s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			var id pcommon.TraceID
			h.id(id[:])
			s.SetTraceID(id)
			s.SetSpanID(pcommon.SpanID{1})
		})
		wire += len(v)
		require.NoError(t, m.Record(Offset(i), 1_000_000+int64(i)*1000, v))
		require.Less(t, m.payloadBytes(), budget+budget/8+4*len(v))
	}
	b := holds(t, m, before)
	require.Less(t, b.Payload+b.Headers, 2*budget, "of %d on the wire", wire)
}

// TestHeadersInUseSurviveTheSweep: what is stored is put together as ever, after headers of others were given up and their numbers
// given to new ones.
func TestHeadersInUseSurviveTheSweep(t *testing.T) {
	limits := Limits{LateWindow: 60_000, BufferBytes: 20_000}
	m := machineFor(t, limits, `[{name: own, type: string_attribute, string_attribute: {key: service.name, values: [keep, kept]}}]`, 30_000)
	require.NoError(t, m.Record(0, 1_000_000, spans(t, "a1 svc=keep\nb1 svc=other")))
	h := &hostile{t: t}
	swept := 0
	for i := range 100 {
		n := m.traces.Headers.Len()
		require.NoError(t, m.Record(Offset(1+i), 1_000_000+int64(i), h.request(5, func(j int, rs ptrace.ResourceSpans) {
			rs.Resource().Attributes().PutStr("service.name", fmt.Sprintf("%d-%d-%0500d", i, j, 0))
			s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			var id pcommon.TraceID
			h.id(id[:])
			s.SetTraceID(id)
			s.SetSpanID(pcommon.SpanID{1})
		})))
		if m.traces.Headers.Len() < n+5 {
			swept++
		}
	}
	require.Greater(t, swept, 5)
	require.NoError(t, m.Record(200, 1_000_500, spans(t, "c1 svc=kept")))
	until(m, 1_040_000)
	got := map[string][]string{}
	for _, d := range m.Effects().Deliveries {
		got[traceName(d.TraceID)] = services(t, d.Payload)
	}
	require.Equal(t, map[string][]string{"a": {"keep"}, "c": {"kept"}}, got)
}

func services(t testing.TB, payload []byte) (names []string) {
	var u ptrace.ProtoUnmarshaler
	td, err := u.UnmarshalTraces(payload)
	require.NoError(t, err)
	for _, rs := range td.ResourceSpans().All() {
		v, _ := rs.Resource().Attributes().Get("service.name")
		names = append(names, v.AsString())
	}
	return names
}

// TestLateSpanIDsAreBounded: late spans of one kept trace that never end.
func TestLateSpanIDsAreBounded(t *testing.T) {
	const budget = 1 << 20
	h, before := &hostile{t: t}, heap()
	m := machineFor(t, Limits{LateWindow: 30_000, BufferBytes: 1 << 20, Decisions: 1000, KeptIDBytes: budget}, everything, 1000)
	require.NoError(t, m.Record(0, 1_000_000, spans(t, "b1")))
	for i := range 400 {
		require.NoError(t, m.Record(Offset(1+i), 1_002_000+int64(i)*10, h.spans(pcommon.TraceID{7}, 1000, "")))
		acknowledge(m)
	}
	b := holds(t, m, before)
	require.Less(t, b.KeptIDs, budget)
	require.Less(t, b.Total(), 4<<20, "%+v", b)
	st := m.Stats()
	require.Greater(t, st.ForgottenIDs, uint64(1))
	require.EqualValues(t, 400_001, st.Kept+st.LateKept, "no span was lost, or taken for another")
	require.NoError(t, m.Record(500, 1_006_010, spans(t, "b1")))
	require.Equal(t, st.Duplicate+1, m.Stats().Duplicate, "one giant trace does not cost others their IDs")
}

// TestSettledBehindOneDelivery: a delivery that is never acknowledged, and what is dropped behind it.
func TestSettledBehindOneDelivery(t *testing.T) {
	h, before := &hostile{t: t}, heap()
	m := machineFor(t, Limits{LateWindow: 2000, Decisions: 1000}, onlyErrors, 1000)
	require.NoError(t, m.Record(0, 1000, spans(t, "a1 root error")))
	until(m, 5000)
	require.Len(t, m.Effects().Deliveries, 1)
	m.Clear()
	for i := range 400 {
		require.NoError(t, m.Record(Offset(1+i), 10_000+int64(i)*1000, h.traces(1000)))
		m.Clear()
	}
	require.EqualValues(t, 0, m.Resume())
	b := holds(t, m, before)
	require.Less(t, b.Settlement, 400_000, "of 400,000 traces")
	require.Equal(t, 401_000, 1000+m.Stats().Unsettled-1)
	m.Ack(0)
	require.EqualValues(t, 400, m.Resume(), "of the last record")
}

// TestFull: behind a delivery that is not acknowledged, so much that was delivered must be remembered that reading pauses. It goes on with the
// acknowledgement. While an undecided trace holds the resume offset, it never pauses, and forgets instead.
func TestFull(t *testing.T) {
	const budget = 64 << 10
	limits := Limits{LateWindow: 100_000, SettlementBytes: budget}
	h := &hostile{t: t}
	m := machineFor(t, limits, everything, 1000)
	require.NoError(t, m.Record(0, 1000, spans(t, "a1")))
	until(m, 3000)
	m.Clear()
	i := 0
	for ; !m.Full(); i++ {
		require.Less(t, i, 100)
		require.NoError(t, m.Record(Offset(1+i), 10_000+int64(i)*1000, h.traces(100)))
		acknowledge(m)
	}
	require.Less(t, m.Stats().Memory.Settlement, 2*budget)
	c := m.Checkpoint()
	require.Len(t, c.Delivered, (i-1)*100)
	b, err := c.MarshalBinary()
	require.NoError(t, err)
	require.InEpsilon(t, len(b), m.CheckpointSize(), 0.2)
	m.Ack(0)
	require.False(t, m.Full())

	m, err = New(limits, Settings{Plan: mustPlan(t, everything), DecisionWait: 90_000, RootWait: 10})
	require.NoError(t, err)
	require.NoError(t, m.Record(0, 1000, spans(t, "a1")))
	n := 0
	for i := range 80 {
		var b []byte
		for range 100 {
			n++
			b = append(b, h.request(1, func(_ int, rs ptrace.ResourceSpans) {
				s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
				var id pcommon.TraceID
				h.id(id[:])
				s.SetTraceID(id)
				s.SetSpanID(pcommon.SpanID{1})
			})...)
		}
		require.NoError(t, m.Record(Offset(1+i), 2000+int64(i)*1000, b))
		acknowledge(m)
		require.False(t, m.Full())
		require.Less(t, m.Stats().Memory.Settlement, 3*budget+100*itemBytes)
	}
	require.EqualValues(t, 0, m.Resume())
	require.NotEmpty(t, m.Checkpoint().Delivered)
	until(m, 200_000)
	acknowledge(m)
	require.EqualValues(t, 81, m.Resume())
}

// TestGiantTraceStreams: a trace is read again part by part, and is settled with the last of them, however early the first ones are
// acknowledged.
func TestGiantTraceStreams(t *testing.T) {
	const largest = 768 << 10
	h := &hostile{t: t}
	m := machineFor(t, Limits{LateWindow: 30_000, BufferBytes: 1 << 20, MaxPayload: largest}, everything, 30_000)
	var log [][]byte
	total := 0
	text := fmt.Sprintf("%01000d", 1)
	for i := range 20 {
		v := h.spans(pcommon.TraceID{9}, 500, text)
		log = append(log, v)
		total += len(v)
		require.NoError(t, m.Record(Offset(i), 1_000_000+int64(i)*100, v))
	}
	until(m, 1_031_000)
	require.Len(t, m.Effects().Deliveries, 1)
	d := m.Effects().Deliveries[0]
	require.NotNil(t, d.Offsets)
	m.Clear()
	g := NewGathering(&d, largest)
	spans, bytes := 0, 0
	take := func(parts []Part) {
		for _, p := range parts {
			m.Parts(d.Seq, 1)
			spans, bytes = spans+p.Spans, bytes+len(p.Payload)
			require.Less(t, len(p.Payload), largest/100*102, "with its framing")
			m.Ack(d.Seq)
			require.True(t, m.Unacknowledged(), "more is to come")
		}
	}
	for _, o := range d.Offsets {
		parts, err := g.Add(log[o])
		require.NoError(t, err)
		take(parts)
		require.LessOrEqual(t, g.part.bytes, largest)
	}
	require.Greater(t, bytes, total*9/10, "parts come as soon as they are complete")
	last, whole := g.End()
	require.True(t, whole)
	take(last)
	require.Equal(t, 10_000, spans)
	require.EqualValues(t, 0, m.Resume())
	m.Ack(d.Seq)
	require.EqualValues(t, 20, m.Resume())
}

// TestCheckpointOfManyLongTraces: what it costs to take a checkpoint must not hold the partition up, and whether it is worth it can be asked
// before.
func TestCheckpointOfManyLongTraces(t *testing.T) {
	policies := ""
	for i := range 20 {
		policies += fmt.Sprintf("- {name: p%d, type: latency, latency: {threshold_ms: %d}}\n", i, 100_000+i)
	}
	h := &hostile{t: t}
	m := machineFor(t, Limits{LateWindow: 310_000}, policies, 1000)
	const traces = 20_000
	for round := range 4 {
		h.n = 0 // the same traces again
		for i := range traces / 1000 {
			require.NoError(t, m.Record(Offset(round*100+i), 1_000_000+int64(round)*300_000+int64(i)*50, h.traces(1000)))
		}
		m.Elapse(299_000)
		m.Clear()
	}
	var c *Checkpoint
	allocs := testing.AllocsPerRun(1, func() { c = m.Checkpoint() })
	require.Len(t, c.Long, traces)
	require.Less(t, allocs, 100.0)
	b, err := c.MarshalBinary()
	require.NoError(t, err)
	require.InDelta(t, len(b), m.CheckpointSize(), float64(len(b))/2, "a kept one takes more than a dropped one")
	require.Zero(t, testing.AllocsPerRun(1, func() { m.CheckpointSize() }))
}

// TestOneRecordHandsOutLittle: a resource of 100 kB in front of late spans of a thousand traces is not copied a thousand times at once.
func TestOneRecordHandsOutLittle(t *testing.T) {
	h := &hostile{t: t}
	const traces = 1000
	limits := Limits{LateWindow: 30_000, BufferBytes: 4 << 20, MaxPayload: 256 << 10}
	m := machineFor(t, limits, everything, 1000)
	first := h.traces(traces)
	require.NoError(t, m.Record(0, 1_000_000, first))
	until(m, 1_002_000)
	require.Len(t, m.Effects().Deliveries, traces)
	acknowledge(m)

	h.n = 0 // the same traces
	late := h.request(1, func(_ int, rs ptrace.ResourceSpans) {
		rs.Resource().Attributes().PutStr("large", fmt.Sprintf("%0100000d", 1))
		ss := rs.ScopeSpans().AppendEmpty().Spans()
		for i := range 3 * traces { // each trace has one that came before, and two of which the second is the first again
			s := ss.AppendEmpty()
			if i%traces == 0 {
				h.n = 0
			}
			var id pcommon.TraceID
			h.id(id[:])
			s.SetTraceID(id)
			s.SetSpanID(pcommon.SpanID{byte(1 + (i/traces+1)/2)})
		}
	})
	require.NoError(t, m.Record(1, 1_003_000, late))
	ds := m.Effects().Deliveries
	require.Len(t, ds, traces)
	bytes, again := 0, 0
	log := []logRecord{{1_000_000, first}, {1_003_000, late}}
	for i := range ds {
		require.True(t, ds[i].Late)
		bytes += len(ds[i].Payload)
		payloads := [][]byte{ds[i].Payload}
		if ds[i].Offsets != nil {
			again++
			payloads = readAgain(t, m, &ds[i], limits.MaxPayload, log)
		}
		require.Len(t, payloads, 1)
		require.Equal(t, []string{"0200000000000000 server=false"}, spanKeys(t, payloads[0]))
		m.Ack(ds[i].Seq)
	}
	require.Less(t, bytes, 1<<20)
	require.Greater(t, again, traces*9/10)
	require.EqualValues(t, 2, m.Resume())
}

// TestGiantTraceIsHandedOutByReference: though it was not over budget.
func TestGiantTraceIsHandedOutByReference(t *testing.T) {
	h := &hostile{t: t}
	m := machineFor(t, Limits{LateWindow: 30_000, BufferBytes: 4 << 20, MaxPayload: 256 << 10}, everything, 1000)
	require.NoError(t, m.Record(0, 1_000_000, h.spans(pcommon.TraceID{1}, 400, fmt.Sprintf("%01000d", 1))))
	require.NoError(t, m.Record(1, 1_000_001, h.spans(pcommon.TraceID{2}, 1000, fmt.Sprintf("%01000d", 1))))
	until(m, 1_002_000)
	ds := m.Effects().Deliveries
	require.Nil(t, ds[0].Offsets)
	require.Equal(t, []Offset{1}, ds[len(ds)-1].Offsets)
}
