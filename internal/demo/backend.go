package demo

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // exporters compress
	"google.golang.org/grpc/stats"
)

// A Backend is an OTLP gRPC server on a loopback port that counts what it is sent and shows the latest trace. Its memory
// does not grow.
type Backend struct {
	ptraceotlp.UnimplementedGRPCServer

	address string
	server  *grpc.Server
	served  chan struct{}

	mu       sync.Mutex
	totals   BackendTotals
	seen     [2]map[pcommon.TraceID]struct{} // the latest traces, and those before
	latest   ptrace.Traces
	latestAt time.Time
}

// BackendTotals count what a Backend was sent.
type BackendTotals struct {
	Requests, Spans uint64
	Traces          uint64 // spans that follow their trace do not count it again, unless some 100,000 others came in between
	Bytes           uint64 // of requests, without compression
}

const (
	remembered   = 100_000
	latestEvery  = 100 * time.Millisecond // copying a trace is not free: not more often than anyone can see
	largestBatch = 64 << 20
)

// StartBackend starts a Backend on a free port.
func StartBackend() (*Backend, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo backend: cannot open a port on 127.0.0.1: %w", err)
	}
	b := &Backend{address: listener.Addr().String(), served: make(chan struct{}), latest: ptrace.NewTraces()}
	b.server = grpc.NewServer(grpc.MaxRecvMsgSize(largestBatch), grpc.StatsHandler(payloads{b}))
	ptraceotlp.RegisterGRPCServer(b.server, b)
	go func() {
		defer close(b.served)
		_ = b.server.Serve(listener) // ends with Stop
	}()
	return b, nil
}

// Address is the host and port that the backend listens on.
func (b *Backend) Address() string { return b.address }

// Stop answers what has been received and closes the port. It may be called again.
func (b *Backend) Stop() {
	b.server.GracefulStop()
	<-b.served
}

// Totals tells what has been received.
func (b *Backend) Totals() BackendTotals {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.totals
}

// Latest returns a trace that came lately, as far as it was in one request. Before the first it is empty.
// The caller must not change it.
func (b *Backend) Latest() ptrace.Traces {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.latest
}

// Export implements ptraceotlp.GRPCServer.
func (b *Backend) Export(_ context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	td := req.Traces()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.totals.Requests++
	spans := map[pcommon.TraceID]int{}
	var most pcommon.TraceID
	eachSpan(td, func(_ ptrace.ResourceSpans, s ptrace.Span) {
		id := s.TraceID()
		spans[id]++
		if spans[id] > spans[most] {
			most = id
		}
		b.totals.Spans++
		b.see(id)
	})
	if now := time.Now(); len(spans) > 0 && now.Sub(b.latestAt) >= latestEvery {
		b.latest, b.latestAt = only(td, most), now
	}
	return ptraceotlp.NewExportResponse(), nil
}

func (b *Backend) see(id pcommon.TraceID) {
	for _, s := range b.seen {
		if _, ok := s[id]; ok {
			return
		}
	}
	b.totals.Traces++
	if b.seen[0] == nil || len(b.seen[0]) >= remembered {
		b.seen[0], b.seen[1] = map[pcommon.TraceID]struct{}{}, b.seen[0]
	}
	b.seen[0][id] = struct{}{}
}

func eachSpan(td ptrace.Traces, f func(ptrace.ResourceSpans, ptrace.Span)) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				f(rs, s)
			}
		}
	}
}

// only copies the spans of one trace with their resources.
func only(td ptrace.Traces, id pcommon.TraceID) ptrace.Traces {
	out := ptrace.NewTraces()
	for _, rs := range td.ResourceSpans().All() {
		var to ptrace.SpanSlice
		found := false
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				if s.TraceID() != id {
					continue
				}
				if !found {
					found = true
					copied := out.ResourceSpans().AppendEmpty()
					rs.Resource().CopyTo(copied.Resource())
					to = copied.ScopeSpans().AppendEmpty().Spans()
				}
				s.CopyTo(to.AppendEmpty())
			}
		}
	}
	return out
}

// payloads counts the bytes of requests.
type payloads struct{ b *Backend }

func (payloads) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (payloads) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (payloads) HandleConn(context.Context, stats.ConnStats)                       {}

func (p payloads) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InPayload); ok {
		p.b.mu.Lock()
		p.b.totals.Bytes += uint64(in.Length)
		p.b.mu.Unlock()
	}
}
