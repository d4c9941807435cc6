package export

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// backend is an OTLP trace service that answers as a test says.
type backend struct {
	ptraceotlp.UnimplementedGRPCServer
	answer func(ctx context.Context, traces map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error)

	mu    sync.Mutex
	spans map[pcommon.TraceID]int // accepted
	calls int
}

func (b *backend) Export(ctx context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	traces := tracesIn(req)
	b.mu.Lock()
	b.calls++
	b.mu.Unlock()
	resp := ptraceotlp.NewExportResponse()
	var err error
	if b.answer != nil {
		resp, err = b.answer(ctx, traces)
	}
	if err == nil {
		b.take(traces)
	}
	return resp, err
}

func (b *backend) take(traces map[pcommon.TraceID]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spans == nil {
		b.spans = map[pcommon.TraceID]int{}
	}
	for id, n := range traces {
		b.spans[id] += n
	}
}

func (b *backend) got() map[pcommon.TraceID]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	copied := map[pcommon.TraceID]int{}
	for id, n := range b.spans {
		copied[id] = n
	}
	return copied
}

func tracesIn(req ptraceotlp.ExportRequest) map[pcommon.TraceID]int {
	traces := map[pcommon.TraceID]int{}
	for _, rs := range req.Traces().ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				traces[span.TraceID()]++
			}
		}
	}
	return traces
}

// has reports whether trace n is in a request.
func has(traces map[pcommon.TraceID]int, n int) bool { return traces[pcommon.TraceID(traceID(n))] > 0 }

func serveGRPC(t testing.TB, address string, b *backend, opts ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := grpc.NewServer(opts...)
	ptraceotlp.RegisterGRPCServer(server, b)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return listener.Addr().String()
}

func grpcTo(address string, more map[string]any) map[string]any {
	settings := map[string]any{"endpoint": address, "tls": map[string]any{"insecure": true}, "compression": "none",
		"batch_timeout": "1ms", "retry_on_failure": fast()}
	for k, v := range more {
		settings[k] = v
	}
	return map[string]any{"otlp_grpc": settings}
}

func accept() (ptraceotlp.ExportResponse, error) { return ptraceotlp.NewExportResponse(), nil }

func TestGRPCDeliversWholeTracesOnce(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "zstd", "snappy"} {
		t.Run(compression, func(t *testing.T) {
			b := &backend{}
			l := newLedger()
			d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), map[string]any{"compression": compression}), l, nil)
			for i := range 10 {
				d.Submit(items(t, 100*i, 100))
			}
			l.waitAcks(t, 1000)
			l.once(t, 1000)
			require.Len(t, b.got(), 1000)
			for id, n := range b.got() {
				require.Equal(t, 3, n, id.String())
			}
			s := statsOf(t, d, "otlp_grpc")
			require.EqualValues(t, 1000, s.Traces)
			require.EqualValues(t, 3000, s.Spans)
			require.EqualValues(t, 1000, s.Latency.Count)
			require.Zero(t, s.QueueBytes+s.QueueTraces)
			require.Zero(t, d.Stats().QueueBytes)
		})
	}
}

func TestGRPCPartialSuccessIsCountedAndSettled(t *testing.T) {
	b := &backend{answer: func(context.Context, map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
		resp := ptraceotlp.NewExportResponse()
		resp.PartialSuccess().SetRejectedSpans(2)
		resp.PartialSuccess().SetErrorMessage("too old")
		return resp, nil
	}}
	l, log := newLedger(), &logBuffer{}
	d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), map[string]any{"batch_timeout": "1s", "max_batch_traces": 5}), l,
		func(o *Options) { o.Logger = log.logger() })
	d.Submit(items(t, 0, 5))
	l.waitAcks(t, 5)
	require.NoError(t, d.Shutdown(context.Background()))
	s := statsOf(t, d, "otlp_grpc")
	require.EqualValues(t, 2, s.PartialSpans)
	require.EqualValues(t, 13, s.Spans)
	require.EqualValues(t, 1, s.Errors["partial"])
	require.Contains(t, log.String(), "too old")
	require.Empty(t, l.rejections())
}

func TestGRPCFindsTheGuiltyTrace(t *testing.T) {
	b := &backend{answer: func(_ context.Context, traces map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
		if has(traces, 37) {
			return ptraceotlp.NewExportResponse(), status.Error(codes.InvalidArgument, "span has no name")
		}
		return accept()
	}}
	l := newLedger()
	d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), map[string]any{"max_batch_traces": 100, "batch_timeout": "1s"}), l, nil)
	d.Submit(items(t, 0, 100))
	l.waitAcks(t, 100)
	l.once(t, 100)
	require.Len(t, b.got(), 99)
	rejected := l.rejections()
	require.Len(t, rejected, 1)
	require.Equal(t, payload(t, 37, 3), rejected[0].payload)
	require.Equal(t, "otlp_grpc", rejected[0].exporter)
	require.Contains(t, rejected[0].reason, "span has no name")
	s := statsOf(t, d, "otlp_grpc")
	require.EqualValues(t, 1, s.RejectedTraces)
	require.EqualValues(t, 3, s.RejectedSpans)
	require.LessOrEqual(t, s.Requests, uint64(15), "2 log2(100) requests find it")
}

func TestGRPCSplitsWhatIsTooLarge(t *testing.T) {
	b := &backend{}
	l, log := newLedger(), &logBuffer{}
	d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b, grpc.MaxRecvMsgSize(100<<10)), map[string]any{"batch_timeout": "1s", "max_batch_traces": 1001}), l,
		func(o *Options) { o.Logger = log.logger() })
	list := items(t, 0, 1000)
	list = append(list, Item{Partition: 7, Seq: 1000, TraceID: traceID(1000), Payload: payload(t, 1000, 1000), Spans: 1000})
	require.Greater(t, len(list[1000].Payload), 100<<10)
	d.Submit(list)
	l.waitAcks(t, 1001)
	l.once(t, 1001)
	require.Len(t, b.got(), 1000)
	rejected := l.rejections()
	require.Len(t, rejected, 1, "a single trace above the limit cannot be split")
	require.Contains(t, rejected[0].reason, "larger than max")
	require.NotZero(t, statsOf(t, d, "otlp_grpc").Errors["too_large"])
	require.Contains(t, log.String(), "max_batch_bytes")
}

func TestGRPCRetriesUntilAccepted(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented,
		codes.NotFound, codes.Internal, codes.ResourceExhausted, codes.Aborted} {
		t.Run(code.String(), func(t *testing.T) {
			var calls atomic.Int32
			b := &backend{answer: func(context.Context, map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
				if calls.Add(1) < 4 {
					return ptraceotlp.NewExportResponse(), status.Error(code, "not now")
				}
				return accept()
			}}
			l, log := newLedger(), &logBuffer{}
			d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), nil), l, func(o *Options) { o.Logger = log.logger() })
			d.Submit(items(t, 0, 1))
			l.waitAcks(t, 1)
			l.once(t, 1)
			require.Empty(t, l.rejections())
			require.NoError(t, d.Shutdown(context.Background()))
			require.EqualValues(t, 3, statsOf(t, d, "otlp_grpc").Retries)
			require.Contains(t, log.String(), "not now")
			require.Contains(t, log.String(), "accepts traces again")
		})
	}
}

func TestGRPCHonoursRetryInfo(t *testing.T) {
	var first, second time.Time
	b := &backend{answer: func(context.Context, map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
		if first.IsZero() {
			first = time.Now()
			st, err := status.New(codes.Unavailable, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(300 * time.Millisecond)})
			if err != nil {
				return ptraceotlp.NewExportResponse(), err
			}
			return ptraceotlp.NewExportResponse(), st.Err()
		}
		second = time.Now()
		return accept()
	}}
	l := newLedger()
	d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), nil), l, nil)
	d.Submit(items(t, 0, 1))
	l.waitAcks(t, 1)
	require.GreaterOrEqual(t, second.Sub(first), 300*time.Millisecond)
	require.EqualValues(t, 1, statsOf(t, d, "otlp_grpc").Errors["throttled"])
}

func TestGRPCBackendAbsentAtStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	l := newLedger()
	log := &failureSignal{seen: make(chan struct{})}
	d := start(t, grpcTo(address, nil), l, func(o *Options) { o.Logger = log.logger() })
	d.Submit(items(t, 0, 50))
	<-log.seen
	require.Equal(t, true, statsOf(t, d, "otlp_grpc").QueueTraces == 50)
	b := &backend{}
	serveGRPC(t, address, b)
	l.waitAcks(t, 50)
	l.once(t, 50)
	require.Len(t, b.got(), 50)
}

func TestGRPCTimeoutAndManyInFlight(t *testing.T) {
	release := make(chan struct{})
	var inside, most atomic.Int32
	b := &backend{answer: func(ctx context.Context, _ map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
		n := inside.Add(1)
		defer inside.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select {
		case <-release:
			return accept()
		case <-ctx.Done():
			return ptraceotlp.NewExportResponse(), ctx.Err()
		}
	}}
	l := newLedger()
	log := &failureSignal{seen: make(chan struct{})}
	d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), map[string]any{"max_batch_traces": 1, "max_in_flight": 4, "timeout": "200ms"}), l,
		func(o *Options) { o.Logger = log.logger() })
	d.Submit(items(t, 0, 20))
	<-log.seen // a request ran into the timeout
	close(release)
	l.waitAcks(t, 20)
	l.once(t, 20)
	require.EqualValues(t, 4, most.Load())
	require.NotZero(t, statsOf(t, d, "otlp_grpc").Errors["timeout"])
}

func TestShutdownWhileTheBackendHangs(t *testing.T) {
	entered := make(chan struct{}, 100)
	b := &backend{answer: func(ctx context.Context, _ map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
		entered <- struct{}{}
		<-ctx.Done()
		return ptraceotlp.NewExportResponse(), ctx.Err()
	}}
	l := newLedger()
	d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), map[string]any{"timeout": "1h"}), l,
		func(o *Options) { o.ShutdownGrace = time.Millisecond })
	d.Submit(items(t, 0, 10))
	<-entered
	require.NoError(t, d.Shutdown(context.Background()))
	require.NoError(t, d.Shutdown(context.Background()), "twice")
	require.Empty(t, statsOf(t, d, "otlp_grpc").Errors, "we hung up ourselves")
	d.Submit(items(t, 10, 1))
	l.once(t, 0)
}

func TestGRPCWithTLSAndHeaders(t *testing.T) {
	cert, pem := selfSigned(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem, 0o600))
	seen := make(chan []string, 1)
	b := &backend{answer: func(ctx context.Context, _ map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- append(md.Get("x-scope-orgid"), md.Get("content-type")...)
		return accept()
	}}
	address := serveGRPC(t, "127.0.0.1:0", b, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})))
	l := newLedger()
	d := start(t, grpcTo(address, map[string]any{"tls": map[string]any{"ca_file": ca}, "headers": map[string]any{"X-Scope-OrgID": "shop"}}), l, nil)
	d.Submit(items(t, 0, 1))
	l.waitAcks(t, 1)
	require.Equal(t, []string{"shop", "application/grpc+proto"}, <-seen)
}
