package node

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/kafka"
)

const keepAll = "policies: [{name: all, type: always_sample}]"

// bigTraces are requests of 20 traces of a span each, numbered.
func bigTraces(t *testing.T, first, count, size int) (reqs []shop.Request) {
	t.Helper()
	for n := first; n < first+count; {
		traces := ptrace.NewTraces()
		spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		for ; n < first+count && spans.Len() < 20; n++ {
			s := spans.AppendEmpty()
			s.SetTraceID(numbered(n))
			s.SetSpanID(pcommon.SpanID{1})
			s.SetName("big")
			s.Attributes().PutStr("x", string(bytes.Repeat([]byte{'a' + byte(n%26)}, size)))
		}
		data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
		require.NoError(t, err)
		reqs = append(reqs, shop.Request{Data: data, Spans: spans.Len()})
	}
	return reqs
}

func numbered(n int) pcommon.TraceID {
	return pcommon.TraceID{0xfe, byte(n >> 16), byte(n >> 8), byte(n), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, byte(n * 7)}
}

// rejectedTopic reads the rejected topic as long as a test asks for it.
type rejectedTopic struct {
	kc      *kgo.Client
	records []*kgo.Record
	found   map[pcommon.TraceID]int // in the first decoded records
	decoded int
}

func readRejected(t *testing.T, broker *kafka.Embedded, cfg *config.Config) *rejectedTopic {
	kc, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.ConsumeTopics(cfg.Kafka.Rejected.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	t.Cleanup(kc.Close)
	return &rejectedTopic{kc: kc, found: map[pcommon.TraceID]int{}}
}

func (r *rejectedTopic) read() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	r.records = append(r.records, r.kc.PollFetches(ctx).Records()...)
}

// traces returns how often each trace is there.
func (r *rejectedTopic) traces(t *testing.T) map[pcommon.TraceID]int {
	r.read()
	for ; r.decoded < len(r.records); r.decoded++ {
		td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(r.records[r.decoded].Value)
		require.NoError(t, err)
		eachSpan(td, func(s ptrace.Span) { r.found[s.TraceID()]++ })
	}
	return r.found
}

func unsettled(s Status) (n int) {
	for _, p := range s.Partitions {
		n += p.Unsettled
	}
	return n
}

// TestBurstOfRefusedTraces: a backend that works refuses a thousand traces at once, while the rejected topic has too few replicas, and
// the node is stopped in the middle of it. Not one is settled before the topic has it: after the restart each is there.
func TestBurstOfRefusedTraces(t *testing.T) {
	const count = 1000
	broker, back := startBroker(t), startBackend(t)
	cfg := configWith(t, broker.Addr(), back.addr, keepAll)
	n := startNode(t, cfg)
	n.send(bigTraces(t, 0, 1, 10)...)
	n.quiet(1)

	back.setRefuse(status.Error(codes.InvalidArgument, "bad trace"))
	mend := broker.RefuseWrites(cfg.Kafka.Rejected.Topic)
	n.send(bigTraces(t, 1, count, 4<<10)...)
	require.Eventually(t, func() bool { return n.Status().Exporters[0].RejectingTraces == count }, 60*time.Second, 20*time.Millisecond)
	s := n.Status()
	require.Equal(t, count, unsettled(s), "none is settled")
	require.Zero(t, s.Exporters[0].RejectedTraces)
	n.end()

	mend()
	n = startNode(t, cfg)
	topic := readRejected(t, broker, cfg)
	// What is refused right after a start is held: nothing shows yet that the backend takes anything. Then it does.
	back.setRefuseBig(status.Error(codes.InvalidArgument, "bad trace"))
	var there map[pcommon.TraceID]int
	for next := 5000; len(there) < count; next++ {
		require.Less(t, next, 5300, "%d are there", len(there))
		n.send(bigTraces(t, next, 1, 10)...)
		there = topic.traces(t) // takes a tenth of a second
	}
	for i := 1; i <= count; i++ {
		require.Contains(t, there, numbered(i))
	}
	require.Eventually(t, func() bool { return unsettled(n.Status()) == 0 }, 20*time.Second, 20*time.Millisecond)
	n.end()
	n = startNode(t, cfg)
	require.Zero(t, unsettled(n.Status()), "the checkpoint has passed them")
	http.DefaultClient.CloseIdleConnections()
}

// TestRejectedRecordsHoldTheCheckpoint: records that cannot be read, and spans that belong to no trace, are in the rejected topic
// before a checkpoint passes them, and only so many wait.
func TestRejectedRecordsHoldTheCheckpoint(t *testing.T) {
	const count = 20
	broker, back := startBroker(t), startBackend(t)
	cfg := configWith(t, broker.Addr(), back.addr, keepAll)
	n := startNode(t, cfg)
	mend := broker.RefuseWrites(cfg.Kafka.Rejected.Topic)
	kc, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.DefaultProduceTopic(cfg.Kafka.Spans.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer kc.Close()
	lost := ptrace.NewTraces() // a span without IDs
	lost.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("lost")
	invalid, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(lost)
	require.NoError(t, err)
	require.NoError(t, kc.ProduceSync(context.Background(), &kgo.Record{Partition: 2, Value: invalid}).FirstErr())
	for i := range count {
		junk := append([]byte(fmt.Sprintf("\xff\xff\xff%02d", i)), make([]byte, 800<<10)...)
		require.NoError(t, kc.ProduceSync(context.Background(), &kgo.Record{Partition: 2, Value: junk}).FirstErr())
	}
	at := func() Partition { return n.Status().Partitions[2] }
	require.Eventually(t, func() bool { return at().NextOffset > 4 }, 10*time.Second, 10*time.Millisecond)
	require.Never(t, func() bool { return at().NextOffset > 8 || at().CommittedOffset > 0 }, 1500*time.Millisecond, 20*time.Millisecond,
		"a 64th of 1 GiB, by 4 partitions, is 4 MiB: no more wait, and no checkpoint passes them")
	n.end()

	n = startNode(t, cfg)
	require.Zero(t, at().CommittedOffset)
	mend()
	topic := readRejected(t, broker, cfg)
	require.Eventually(t, func() bool { topic.read(); return len(topic.records) >= count+1 }, 40*time.Second, 10*time.Millisecond)
	offsets := map[string]bool{}
	for _, rec := range topic.records {
		for _, h := range rec.Headers {
			if h.Key == kafka.HeaderOffset {
				offsets[string(h.Value)] = true
			}
		}
	}
	require.Len(t, offsets, count+1)
	require.Eventually(t, func() bool { return at().CommittedOffset == count+1 }, 10*time.Second, 10*time.Millisecond)
	http.DefaultClient.CloseIdleConnections()
}

func TestCheckpointsWaitForWhatWasRejectedBefore(t *testing.T) {
	q := newRejects(1 << 20)
	var calls []int
	checkpoint := func(n int) { q.after(func() { calls = append(calls, n) }) }
	checkpoint(1)
	require.Equal(t, []int{1}, calls, "nothing to wait for")
	a, b := q.add(10), q.add(20)
	checkpoint(2)
	c := q.add(30)
	a()
	require.Equal(t, []int{1}, calls)
	b()
	require.Equal(t, []int{1, 2}, calls, "what came since does not hold it up")
	checkpoint(3)
	require.True(t, q.abandon())
	require.False(t, q.abandon())
	d := q.add(1)
	checkpoint(4)
	d()
	require.Equal(t, []int{1, 2}, calls, "what was rejected before the abandoned one counts still")
	c()
	require.Equal(t, []int{1, 2, 4}, calls)
	require.False(t, q.full())
	e := q.add(1 << 20)
	require.True(t, q.full())
	e()
	require.False(t, q.full())
}

// TestRefusedFromTheStart: a backend that refuses everything since the node started is a wrong configuration. The node is not ready,
// says why and what to do, and neither loses nor rejects anything; mended, it goes on.
func TestRefusedFromTheStart(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	back.setRefuse(status.Error(codes.InvalidArgument, "no tenant given"))
	cfg := configWith(t, broker.Addr(), back.addr, keepAll)
	n := startNode(t, cfg)
	n.send(bigTraces(t, 0, 200, 100)...)
	require.Eventually(t, func() bool { return !n.Status().Ready }, 10*time.Second, 10*time.Millisecond)
	code, body := n.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	for _, want := range []string{"exporter otlp_grpc", "InvalidArgument: no tenant given", "check the endpoint, headers, tenant", "on_refusal: reject"} {
		require.Contains(t, body, want)
	}
	require.Eventually(t, func() bool { return unsettled(n.Status()) == 200 }, 10*time.Second, 10*time.Millisecond)
	requests := func() uint64 { return n.Status().Exporters[0].Requests }
	before := requests()
	require.Eventually(t, func() bool { return requests() > before+20 }, 20*time.Second, 10*time.Millisecond)
	s := n.Status()
	require.Equal(t, 200, unsettled(s))
	require.Zero(t, s.Kafka.RejectedRecords+uint64(s.Kafka.RejectWaiting))
	require.Contains(t, s.Exporters[0].Refusal.Answer, "no tenant given")
	_, body = n.get("/metrics")
	require.Contains(t, body, `thresher_exporter_refused{exporter="otlp_grpc"} 1`)

	back.setRefuse(nil)
	n.quiet(200)
	require.Len(t, back.names(), 200)
	code, _ = n.get("/readyz")
	require.Equal(t, http.StatusOK, code)
	http.DefaultClient.CloseIdleConnections()
}
