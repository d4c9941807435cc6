package receive

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"thresher/internal/wire"
)

const benchPartitions = 64

// discard is a log that takes everything at once and counts it.
type discard struct{ spans atomic.Int64 }

func (d *discard) Publish(_ context.Context, frags []Fragment) error {
	for i := range frags {
		d.spans.Add(int64(frags[i].Spans))
	}
	return nil
}

// pdataServer receives as the Collector does, configgrpc included: decode to objects, sort the spans into one request for
// each partition, encode each.
type pdataServer struct {
	ptraceotlp.UnimplementedGRPCServer
	publisher Publisher
}

func (s *pdataServer) Export(ctx context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	resp := ptraceotlp.NewExportResponse()
	var parts [benchPartitions]ptrace.Traces
	for _, rs := range req.Traces().ResourceSpans().All() {
		var resources [benchPartitions]ptrace.ResourceSpans
		var haveResource [benchPartitions]bool
		for _, ss := range rs.ScopeSpans().All() {
			var scopes [benchPartitions]ptrace.ScopeSpans
			var haveScope [benchPartitions]bool
			for _, span := range ss.Spans().All() {
				p := wire.Partition(wire.TraceID(span.TraceID()), benchPartitions)
				if parts[p] == (ptrace.Traces{}) {
					parts[p] = ptrace.NewTraces()
				}
				if !haveResource[p] {
					resources[p] = parts[p].ResourceSpans().AppendEmpty()
					rs.Resource().CopyTo(resources[p].Resource())
					resources[p].SetSchemaUrl(rs.SchemaUrl())
					haveResource[p] = true
				}
				if !haveScope[p] {
					scopes[p] = resources[p].ScopeSpans().AppendEmpty()
					ss.Scope().CopyTo(scopes[p].Scope())
					scopes[p].SetSchemaUrl(ss.SchemaUrl())
					haveScope[p] = true
				}
				span.MoveTo(scopes[p].Spans().AppendEmpty())
			}
		}
	}
	var frags []Fragment
	for p, td := range parts {
		if td == (ptrace.Traces{}) {
			continue
		}
		b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
		if err != nil {
			return resp, err
		}
		frags = append(frags, Fragment{Partition: int32(p), Data: b, Spans: td.SpanCount()})
	}
	return resp, s.publisher.Publish(ctx, frags)
}

// frozenCodec sends the same bytes over and over, so that the client costs next to nothing.
type frozenCodec struct{ body []byte }

func (frozenCodec) Name() string { return "proto" }

func (c frozenCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(c.body)}, nil
}

func (frozenCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

// BenchmarkGRPC sends a request of 1000 spans over loopback. raw is this package, pdata the way of the Collector, empty is
// raw with a request without spans: what gRPC, configgrpc and the client cost. bare is that without configgrpc's
// interceptors and instruments.
func BenchmarkGRPC(b *testing.B) {
	body := protoOf(b, shopTraces(1000))
	for _, compression := range []string{"identity", "zstd"} {
		b.Run("raw/"+compression, func(b *testing.B) { benchGRPC(b, rawAddr, body, 1000, compression) })
		b.Run("pdata/"+compression, func(b *testing.B) { benchGRPC(b, pdataAddr, body, 1000, compression) })
	}
	b.Run("raw/empty", func(b *testing.B) { benchGRPC(b, rawAddr, nil, 0, "identity") })
	b.Run("bare/empty", func(b *testing.B) { benchGRPC(b, bareAddr, nil, 0, "identity") })
	b.Run("pdata/empty", func(b *testing.B) { benchGRPC(b, pdataAddr, nil, 0, "identity") })
}

func rawAddr(b *testing.B, d *discard) string {
	r := startReceiver(b, d, func(_ *Config, s *Settings) { s.Partitions = benchPartitions })
	return r.GRPCAddr().String()
}

func pdataAddr(b *testing.B, d *discard) string {
	c := configgrpc.NewDefaultServerConfig()
	c.ReadBufferSize = 512 << 10
	s, err := c.ToServer(context.Background(), extensions(), telemetry(slog.New(slog.DiscardHandler)))
	require.NoError(b, err)
	ptraceotlp.RegisterGRPCServer(s, &pdataServer{publisher: d})
	return serveGRPC(b, s)
}

func bareAddr(b *testing.B, d *discard) string {
	r := startReceiver(b, d, nil)
	s := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.ReadBufferSize(512<<10))
	r.registerServices(s)
	return serveGRPC(b, s)
}

func serveGRPC(b *testing.B, s *grpc.Server) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.Cleanup(func() { s.Stop(); require.NoError(b, <-served) })
	return l.Addr().String()
}

func benchGRPC(b *testing.B, serve func(*testing.B, *discard) string, body []byte, spans int, compression string) {
	d := &discard{}
	conn, err := grpc.NewClient(serve(b, d), insecureCredentials(), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(frozenCodec{body}), grpc.UseCompressor(compression)))
	require.NoError(b, err)
	defer func() { require.NoError(b, conn.Close()) }()
	send := func() {
		if err := conn.Invoke(context.Background(), "/"+traceService+"/"+exportMethod, struct{}{}, nil); err != nil {
			b.Fatal(err)
		}
	}
	for range 10 {
		send()
	}
	require.EqualValues(b, 10*spans, d.spans.Load())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		send()
	}
	if spans > 0 {
		b.ReportMetric(float64(spans)*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
	}
}

// BenchmarkTake is the receiver without network: validate, split, publish.
func BenchmarkTake(b *testing.B) {
	body := protoOf(b, shopTraces(1000))
	r := startReceiver(b, &discard{}, func(_ *Config, s *Settings) { s.Partitions = benchPartitions })
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		q, err := r.requests.get()
		if err == nil {
			q.body, err = q.Grow(q.body, len(body))
		}
		if err != nil {
			b.Fatal(err)
		}
		q.body = append(q.body, body...)
		if o := r.store(context.Background(), q, &r.grpcCounts); o.verdict != accepted {
			b.Fatal(o.message)
		}
		r.requests.put(q)
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "spans/s")
}

// BenchmarkHTTP calls the HTTP server's own code, confighttp included, without network.
func BenchmarkHTTP(b *testing.B) {
	td := shopTraces(1000)
	for _, tc := range []struct {
		name, mediaType, compression string
		body                         []byte
	}{
		{"proto", typeProto, "", protoOf(b, td)},
		{"proto zstd", typeProto, "zstd", protoOf(b, td)},
		{"json", typeJSON, "", jsonOf(b, td)},
		{"empty", typeProto, "", nil},
	} {
		b.Run(strings.ReplaceAll(tc.name, " ", "_"), func(b *testing.B) {
			r := startReceiver(b, &discard{}, func(_ *Config, s *Settings) { s.Partitions = benchPartitions })
			body := compress(b, tc.compression, tc.body)
			reader := bytes.NewReader(nil)
			b.SetBytes(int64(len(tc.body)))
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/v1/traces", reader)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set(contentType, tc.mediaType)
				if tc.compression != "" {
					req.Header.Set("Content-Encoding", tc.compression)
				}
				w := discardWriter{header: http.Header{}, status: new(int)}
				r.http.Handler.ServeHTTP(w, req)
				if *w.status != http.StatusOK {
					b.Fatal(*w.status)
				}
			}
		})
	}
}

type discardWriter struct {
	header http.Header
	status *int
}

func (w discardWriter) Header() http.Header         { return w.header }
func (w discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w discardWriter) WriteHeader(status int)      { *w.status = status }
