package receive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"thresher/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testPartitions = 8

// memoryLog is a Publisher that keeps what it is given, by partition.
type memoryLog struct {
	// publish, when set, comes first. Its error is the outcome.
	publish func(ctx context.Context, frags []Fragment) error

	mu        sync.Mutex
	fragments map[int32][][]byte
	spans     int
}

func (l *memoryLog) Publish(ctx context.Context, frags []Fragment) error {
	if l.publish != nil {
		if err := l.publish(ctx, frags); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fragments == nil {
		l.fragments = map[int32][][]byte{}
	}
	for _, f := range frags {
		l.fragments[f.Partition] = append(l.fragments[f.Partition], bytes.Clone(f.Data))
		l.spans += f.Spans
	}
	return nil
}

// names returns the names of all spans, sorted, after checking that every trace is in its partition and that the
// fragments count their spans rightly.
func (l *memoryLog) names(t *testing.T) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	names := []string{}
	for _, partition := range slices.Sorted(maps.Keys(l.fragments)) {
		for _, data := range l.fragments[partition] {
			req := ptraceotlp.NewExportRequest()
			require.NoError(t, req.UnmarshalProto(data))
			for _, rs := range req.Traces().ResourceSpans().All() {
				for _, ss := range rs.ScopeSpans().All() {
					for _, s := range ss.Spans().All() {
						require.EqualValues(t, partition, wire.Partition(wire.TraceID(s.TraceID()), testPartitions))
						names = append(names, s.Name())
					}
				}
			}
		}
	}
	require.Len(t, names, l.spans)
	slices.Sort(names)
	return names
}

// startReceiver serves both protocols on free ports until the test ends.
func startReceiver(t testing.TB, p Publisher, change func(*Config, *Settings)) *Receiver {
	t.Helper()
	c := DefaultConfig()
	c.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = "127.0.0.1:0"
	c.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = "127.0.0.1:0"
	s := Settings{Name: "otlp", Partitions: testPartitions, Publisher: p, Logger: slog.New(slog.DiscardHandler), Memory: NewMemory(256 << 20)}
	if change != nil {
		change(&c, &s)
	}
	r, err := New(c, s)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, r.Shutdown(ctx))
		// gRPC gives the buffers of a connection back when it notices that the connection has ended.
		// Some of them it leaves to the garbage collector.
		require.Eventually(t, func() bool {
			runtime.GC()
			return s.Memory.Used() == 0 && r.Stats().InflightBytes == 0
		}, 5*time.Second, time.Millisecond,
			"bytes are still accounted for after all requests have been answered and all connections closed")
		require.Zero(t, r.Stats().InflightRequests)
	})
	return r
}

// grpcClient connects to r over gRPC without TLS.
func grpcClient(t testing.TB, r *Receiver, options ...grpc.DialOption) ptraceotlp.GRPCClient {
	return ptraceotlp.NewGRPCClient(grpcConn(t, r, options...))
}

func insecureCredentials() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

func grpcConn(t testing.TB, r *Receiver, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append([]grpc.DialOption{insecureCredentials()}, options...)
	conn, err := grpc.NewClient(r.GRPCAddr().String(), options...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// httpClient returns a client whose connections end with the test.
func httpClient(t testing.TB) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

type httpAnswer struct {
	status int
	header http.Header
	body   []byte
}

// post sends body to the trace path of r with headers given as pairs.
func post(t testing.TB, c *http.Client, r *Receiver, body []byte, headers ...string) httpAnswer {
	t.Helper()
	return do(t, c, http.MethodPost, "http://"+r.HTTPAddr().String()+"/v1/traces", body, headers...)
}

func do(t testing.TB, c *http.Client, method, url string, body []byte, headers ...string) httpAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return httpAnswer{resp.StatusCode, resp.Header, b}
}

const contentType = "Content-Type"

// shopTraces makes spans with 14 attributes, about 575 bytes each, ten to a trace, under three resources.
func shopTraces(spans int) ptrace.Traces {
	td := ptrace.NewTraces()
	var lists []ptrace.SpanSlice
	for i := range 3 {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", fmt.Sprintf("shop-%d", i))
		rs.SetSchemaUrl("https://opentelemetry.io/schemas/1.26.0")
		ss := rs.ScopeSpans().AppendEmpty()
		ss.Scope().SetName("go.opentelemetry.io/contrib/instrumentation/net/http")
		lists = append(lists, ss.Spans())
	}
	for i := range spans {
		s := lists[i%3].AppendEmpty()
		s.SetTraceID(traceID(i / 10))
		s.SetSpanID(spanID(i))
		s.SetParentSpanID(spanID(i / 10 * 10))
		s.SetName(fmt.Sprintf("span-%06d", i))
		s.SetStartTimestamp(pcommon.Timestamp(1_700_000_000_000_000_000 + i*1000))
		s.SetEndTimestamp(pcommon.Timestamp(1_700_000_000_050_000_000 + i*1000))
		for a := range 14 {
			s.Attributes().PutStr(fmt.Sprintf("http.request.attribute.%02d", a), fmt.Sprintf("value-%d", i))
		}
	}
	return td
}

func traceID(i int) (id pcommon.TraceID) {
	binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15+1)
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	return id
}

func spanID(i int) (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], uint64(i)+1)
	return id
}

// spanNames are the names of shopTraces(n).
func spanNames(n int) []string {
	names := []string{}
	for i := range n {
		names = append(names, fmt.Sprintf("span-%06d", i))
	}
	return names
}

func protoOf(t testing.TB, td ptrace.Traces) []byte {
	t.Helper()
	b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	require.NoError(t, err)
	return b
}

func jsonOf(t testing.TB, td ptrace.Traces) []byte {
	t.Helper()
	b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalJSON()
	require.NoError(t, err)
	return b
}

// syncBuffer collects log lines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// mixedTraces has ten good spans, two without a trace ID and one without a span ID.
func mixedTraces() ptrace.Traces {
	td := shopTraces(10)
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	for i := range 3 {
		s := spans.AppendEmpty()
		s.SetName("bad")
		if i < 2 {
			s.SetSpanID(spanID(100 + i))
		} else {
			s.SetTraceID(traceID(0))
		}
	}
	return td
}
