package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/kafka"
	"thresher/internal/twin"
	"thresher/internal/wire"
	"thresher/sampler"
)

const keepErrors = `late_window: 20s
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
`

// misplacingConfig has waits long enough for what is moved to arrive, on a slow machine too.
func misplacingConfig(t *testing.T, broker, backend, misplaced string) *config.Config {
	cfg := configWith(t, broker, backend, keepErrors)
	cfg.Sampling.DecisionWait = 4 * time.Second
	cfg.Kafka.Spans.Misplaced = misplaced
	return cfg
}

// twoProducers writes the spans of traces by turns: through a receiver, with a client that partitions as the Collector's exporter does,
// and with one that has the hash of Java's clients. It returns the spans of the traces with an error, and how many there are of all.
func twoProducers(t *testing.T, broker string, traces int, receive func(data []byte)) (errors []string, spans int) {
	t.Helper()
	sarama := kgo.SaramaCompatHasher(func(key []byte) uint32 {
		h := fnv.New32a()
		_, _ = h.Write(key)
		return h.Sum32()
	})
	var producers []*kgo.Client
	for _, hasher := range []kgo.PartitionerHasher{sarama, nil} {
		p, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(hasher)), kgo.DefaultProduceTopic("thresher.spans"))
		require.NoError(t, err)
		defer p.Close()
		producers = append(producers, p)
	}
	const each = 20 // traces at a time
	for first := 0; first < traces; first += each {
		received := ptrace.NewTraces()
		var records [2][]*kgo.Record
		for n := first; n < first+each; n++ {
			var id pcommon.TraceID
			binary.BigEndian.PutUint64(id[:8], uint64(n)*0x9E3779B97F4A7C15)
			binary.BigEndian.PutUint64(id[8:], uint64(n+1))
			for k := range 6 {
				to := received
				if k%3 > 0 {
					to = ptrace.NewTraces()
				}
				s := to.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
				s.SetTraceID(id)
				s.SetSpanID(pcommon.SpanID{1, byte(k)})
				s.SetParentSpanID(pcommon.SpanID{1})
				if n%2 == 0 && k == n%6 { // so that by turns each of the producers writes the error
					s.Status().SetCode(ptrace.StatusCodeError)
				}
				spans++
				if n%2 == 0 {
					errors = append(errors, spanName(id, twin.SpanKey{ID: s.SpanID()}))
				}
				if k%3 > 0 {
					value, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(to)
					require.NoError(t, err)
					records[k%3-1] = append(records[k%3-1], &kgo.Record{Key: []byte(hex.EncodeToString(id[:])), Value: value})
				}
			}
		}
		data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(received)
		require.NoError(t, err)
		receive(data)
		for i, p := range producers {
			require.NoError(t, p.ProduceSync(t.Context(), records[i]...).FirstErr())
		}
	}
	slices.Sort(errors)
	return errors, spans
}

// logLines is what a node says, by its lines.
type logLines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *logLines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.all.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// TestAnotherHash: a producer with another hash splits traces. They are decided in parts, and the node says so wherever one looks.
func TestAnotherHash(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := misplacingConfig(t, broker.Addr(), back.addr, kafka.DecideMisplaced)
	var said logLines
	n := startChanged(t, cfg, func(n *Node) { n.log = slog.New(slog.NewTextHandler(&said, nil)) })
	errors, spans := twoProducers(t, broker.Addr(), 60, func(data []byte) { n.send(shop.Request{Data: data}) })
	s := n.quiet(spans)

	require.EqualValues(t, spans, s.Ledger.Received)
	require.Zero(t, s.Ledger.Moved)
	// Of the traces, 3 of 4 are elsewhere by the other hash, with 2 spans each.
	require.InDelta(t, 45, s.Ledger.MisplacedTraces, 15)
	require.Equal(t, 2*s.Ledger.MisplacedTraces, s.Ledger.Misplaced)
	require.Less(t, len(back.names()), len(errors), "parts without an error are dropped")

	require.NotNil(t, s.Misplaced)
	b, err := hex.DecodeString(s.Misplaced.TraceID)
	require.NoError(t, err)
	require.Equal(t, s.Misplaced.BelongsTo, wire.Partition(wire.TraceID(b), partitionCount))
	require.NotEqual(t, int(s.Misplaced.Partition), s.Misplaced.BelongsTo)
	code, body := n.get("/readyz")
	require.Equal(t, http.StatusOK, code)
	require.Regexp(t, fmt.Sprintf(`^ready\nmisplaced: %d spans .*\(0 moved there, %d traces decided in parts\).*trace %s in partition %d belongs to %d; .*`+
		`partition_traces_by_id: true and remove record_partitioner`, s.Ledger.Misplaced, s.Ledger.MisplacedTraces, s.Misplaced.TraceID,
		s.Misplaced.Partition, s.Misplaced.BelongsTo), body)
	_, body = n.get("/metrics")
	require.Contains(t, body, fmt.Sprintf("thresher_spans_misplaced_total %d\n", s.Ledger.Misplaced))
	require.Contains(t, body, fmt.Sprintf("thresher_traces_flagged_total{flag=\"misplaced\"} %d\n", s.Ledger.MisplacedTraces))
	lines := said.with("traces are not in their partition")
	require.Len(t, lines, 1, "one line a minute, for all partitions")
	for _, want := range []string{"level=WARN", "partition=", "trace_id=", "belongs_to=", "partition_traces_by_id: true", "kafka.spans.misplaced: move"} {
		require.Contains(t, lines[0], want)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestMisplacedSpansAreMoved: the same with the setting. Every trace that is kept arrives whole, once, though the node is stopped and
// started on the way; and nothing is moved twice, or to and fro.
func TestMisplacedSpansAreMoved(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := misplacingConfig(t, broker.Addr(), back.addr, kafka.MoveMisplaced)
	n := startNode(t, cfg)
	calls := 0
	errors, spans := twoProducers(t, broker.Addr(), 120, func(data []byte) {
		if calls++; calls == 4 {
			n.end()
			n = startNode(t, cfg)
		}
		n.send(shop.Request{Data: data})
	})
	var s Status
	require.Eventually(t, func() bool {
		s = n.Status()
		unsettled := 0
		for _, p := range s.Partitions {
			unsettled += p.Unsettled
			if p.LagRecords > 0 || p.Rebuilding {
				return false
			}
		}
		return s.Ledger.InFlight == 0 && unsettled == 0 && slices.Equal(errors, back.names())
	}, 30*time.Second, 50*time.Millisecond, "the spans of all traces with an error")
	require.True(t, s.Ledger.Balanced(), "%+v", s.Ledger)
	require.Zero(t, back.twice())
	require.Zero(t, s.Ledger.MisplacedTraces)
	require.Positive(t, s.Ledger.Moved)
	require.Equal(t, s.Ledger.Moved, s.Ledger.Misplaced)

	log, _ := readLog(t, cfg)
	moved, wrong, all := 0, 0, 0
	for p, records := range log {
		for _, r := range records {
			td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(r.Value)
			require.NoError(t, err)
			eachSpan(td, func(s ptrace.Span) {
				all++
				away := wire.Partition(wire.TraceID(s.TraceID()), partitionCount) != p
				if r.Moved() {
					moved++
					require.False(t, away, "moved to where it does not belong")
				} else if away {
					wrong++
				}
			})
		}
	}
	require.Equal(t, wrong, moved, "each misplaced span once")
	require.Equal(t, spans+moved, all)
	require.LessOrEqual(t, int(s.Ledger.Received+s.Ledger.Rebuilt), 2*all, "the log is read, and a part of it again, and nothing goes round")
	http.DefaultClient.CloseIdleConnections()
}

// TestMovedOnce: what was moved to where it does not belong, by a node that thinks otherwise, stays there and is decided.
func TestMovedOnce(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := misplacingConfig(t, broker.Addr(), back.addr, kafka.MoveMisplaced)
	cfg.Sampling.DecisionWait = 200 * time.Millisecond
	n := startNode(t, cfg)
	td := ptrace.NewTraces()
	span := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	id := pcommon.TraceID{15: 7}
	span.SetTraceID(id)
	span.SetSpanID(pcommon.SpanID{1})
	span.Status().SetCode(ptrace.StatusCodeError)
	value, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	wrong := (wire.Partition(wire.TraceID(id), partitionCount) + 1) % partitionCount
	done := make(chan error, 1)
	n.mover.producer.Move(t.Context(), int32(wrong), 0, 0, value, func(err error) { done <- err })
	require.NoError(t, <-done)
	s := n.quiet(1)
	require.Equal(t, []string{spanName(id, twin.SpanKey{ID: span.SpanID()})}, back.names())
	require.EqualValues(t, 1, s.Ledger.MisplacedTraces)
	require.Zero(t, s.Ledger.Moved)
	_, ends := readLog(t, cfg)
	for p, end := range ends {
		if int(p) != wrong {
			require.Zero(t, end, "partition %d", p)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestMovesThatKafkaDoesNotTake: what Kafka may take later is sent again and holds the partition until then; what it never takes goes to
// the rejected topic, alone.
func TestMovesThatKafkaDoesNotTake(t *testing.T) {
	broker := startBroker(t)
	cfg := misplacingConfig(t, broker.Addr(), "127.0.0.1:1", kafka.MoveMisplaced)
	cfg.Kafka.Spans.MaxRecordBytes, cfg.Kafka.Producer.RecordBytes = 64<<10, 60<<10
	n, err := New(cfg, Options{Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))})
	require.NoError(t, err)
	defer n.client.Close()
	require.NoError(t, n.client.Ensure(t.Context()))
	n.mover, err = n.newMover()
	require.NoError(t, err)
	defer n.mover.producer.Close()
	limits := n.limits
	limits.MaxPayload = 1 << 20 // so that the giant is not too large for a part
	m, err := sampler.New(limits, n.settings)
	require.NoError(t, err)
	r := &runner{n: n, machine: m, log: n.log, rejects: newRejects(1 << 20)}
	r.acks.ready = make(chan struct{}, 1)
	answer := func() *parcel {
		select {
		case <-r.acks.ready:
		case <-time.After(10 * time.Second):
			t.Fatal("Kafka does not answer")
		}
		all := r.acks.takeParcels()
		require.Len(t, all, 1)
		return all[0]
	}

	small, giant := ptrace.NewTraces(), ptrace.NewTraces()
	for i, td := range []ptrace.Traces{small, giant} {
		s := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		s.SetSpanID(pcommon.SpanID{1})
		id := wire.TraceID{15: byte(1 + 100*i)}
		for wire.Partition(id, partitionCount) != 1 {
			id[15]++
		}
		s.SetTraceID(pcommon.TraceID(id))
		if i == 1 {
			s.Attributes().PutStr("large", strings.Repeat("x", 80<<10))
		}
	}
	record := func(o sampler.Offset, td ptrace.Traces) {
		value, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(td)
		require.NoError(t, err)
		require.NoError(t, m.Record(o, 1_000_000, value))
		r.carryOut()
	}

	record(0, small)
	r.sendMoves()
	p := answer()
	require.NoError(t, p.err)
	p.err = fmt.Errorf("not now: %w", kafka.ErrTimeout) // as if it had not been taken
	r.moved(p)
	require.EqualValues(t, 0, m.Resume())
	require.Positive(t, n.mover.waiting.Load())
	r.moveAgain()
	r.moved(answer())
	require.EqualValues(t, 1, m.Resume())
	require.Zero(t, n.mover.waiting.Load())

	n.mover.record = 1 << 20 // so that both travel together
	record(1, small)
	record(2, giant)
	r.sendMoves()
	p = answer()
	require.Len(t, p.parts, 2)
	require.ErrorIs(t, p.err, kafka.ErrTooLarge)
	r.moved(p)
	require.EqualValues(t, 1, m.Resume())
	require.Eventually(t, func() bool { r.drainAcks(); return m.Resume() == 3 }, 10*time.Second, 10*time.Millisecond)
	require.Zero(t, n.mover.waiting.Load())
	require.Eventually(t, func() bool { return n.client.Stats().RejectedRecords == 1 }, 10*time.Second, 10*time.Millisecond)
	var sizes []int
	require.NoError(t, n.client.ReadRange(context.Background(), 1, 0, 10, func(rec kafka.Record) error {
		require.True(t, rec.Moved())
		sizes = append(sizes, len(rec.Value))
		return nil
	}))
	require.Len(t, sizes, 3, "the small one, twice for it was sent again, and once more")
	require.Less(t, slices.Max(sizes), 1000)
}
