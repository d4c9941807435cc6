package export

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"

	"thresher/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// traceID makes the ID of trace n.
func traceID(n int) (id wire.TraceID) {
	id[0] = 0xab
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// payload is a trace of some spans, as wire bytes.
func payload(t testing.TB, n, spans int) []byte {
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "checkout")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("test")
	for i := range spans {
		span := ss.Spans().AppendEmpty()
		span.SetTraceID(pcommon.TraceID(traceID(n)))
		span.SetSpanID(pcommon.SpanID{1, byte(i >> 8), byte(i)})
		span.SetName(fmt.Sprintf("GET /%d", n))
		span.SetStartTimestamp(1_700_000_000_000_000_000)
		span.SetEndTimestamp(1_700_000_000_250_000_000)
		span.Attributes().PutStr("http.route", "/"+strings.Repeat("x", 100))
	}
	data, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	require.NoError(t, err)
	return data
}

// items makes kept traces first..first+count-1 of partition 7, with their number as the sequence.
func items(t testing.TB, first, count int) []Item {
	list := make([]Item, count)
	for i := range list {
		n := first + i
		list[i] = Item{Partition: 7, Seq: uint64(n), TraceID: traceID(n), Payload: payload(t, n, 3), Spans: 3, Policy: "errors"}
	}
	return list
}

type ackKey struct {
	partition int32
	seq       uint64
}

// ledger records acknowledgements and rejections and lets tests wait for them.
type ledger struct {
	mu       sync.Mutex
	changed  chan struct{}
	acks     map[ackKey]int
	order    []ackKey
	rejected []rejection
}

type rejection struct {
	payload          []byte
	reason, exporter string
}

func newLedger() *ledger { return &ledger{changed: make(chan struct{}), acks: map[ackKey]int{}} }

func (l *ledger) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *ledger) ack(partition int32, seq uint64) {
	l.note(func() {
		k := ackKey{partition, seq}
		l.acks[k]++
		l.order = append(l.order, k)
	})
}

func (l *ledger) reject(payload []byte, reason, exporter string, done func()) {
	l.note(func() { l.rejected = append(l.rejected, rejection{payload, reason, exporter}) })
	done()
}

// wait blocks until ok holds for the ledger.
func (l *ledger) wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		l.mu.Lock()
		done, changed := ok(), l.changed
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited in vain for %s: %d acks, %d rejected", what, len(l.acks), len(l.rejected))
		}
	}
}

func (l *ledger) waitAcks(t testing.TB, n int) {
	t.Helper()
	l.wait(t, fmt.Sprintf("%d acks", n), func() bool { return len(l.acks) >= n })
}

func (l *ledger) acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acks)
}

// count returns how often an item of partition 7 was acknowledged.
func (l *ledger) count(seq uint64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks[ackKey{7, seq}]
}

// once asserts that exactly the items 0..count-1 of partition 7 were acknowledged, each once.
func (l *ledger) once(t testing.TB, count int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.acks, count)
	for i := range count {
		require.Equal(t, 1, l.acks[ackKey{7, uint64(i)}], "acks of %d", i)
	}
}

func (l *ledger) rejections() []rejection {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]rejection(nil), l.rejected...)
}

// logBuffer collects log lines.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// start runs a delivery to all exporters of a section and ends it with the test.
func start(t testing.TB, exporters map[string]any, l *ledger, change func(*Options)) *Delivery {
	t.Helper()
	cfg, err := ParseConfig(exporters)
	require.NoError(t, err)
	r, err := ParseRoutes(nil, cfg)
	require.NoError(t, err)
	return startParsed(t, cfg, r, l, change)
}

func startParsed(t testing.TB, cfg Config, r Routes, l *ledger, change func(*Options)) *Delivery {
	t.Helper()
	opts := Options{Ack: l.ack, Reject: l.reject}
	if change != nil {
		change(&opts)
	}
	d, err := New(cfg, r, opts)
	require.NoError(t, err)
	require.NoError(t, d.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, d.Shutdown(context.Background())) })
	return d
}

// fast is a retry section for tests with real sockets.
func fast() map[string]any {
	return map[string]any{"initial_interval": "10ms", "max_interval": "30ms", "max_elapsed_time": "0s"}
}

func statsOf(t testing.TB, d *Delivery, id string) ExporterStats {
	t.Helper()
	for _, s := range d.Stats().Exporters {
		if s.ID == id {
			return s
		}
	}
	t.Fatalf("no exporter %s", id)
	return ExporterStats{}
}
