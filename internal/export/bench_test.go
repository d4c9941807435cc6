package export

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

// discardCodec lets the server throw requests away undecoded, so that the client is what is measured.
type discardCodec struct{}

func (discardCodec) Name() string                         { return "proto" }
func (discardCodec) Marshal(any) (mem.BufferSlice, error) { return nil, nil }
func (discardCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

func serveDiscard(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := grpc.NewServer(grpc.ForceServerCodecV2(discardCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(nil); err != nil {
			return err
		}
		return stream.SendMsg(nil)
	}))
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	b.Cleanup(func() { server.Stop(); <-done })
	return listener.Addr().String()
}

const (
	benchTraces = 500
	benchSpans  = 20
)

// export runs b.N rounds of benchTraces traces through a delivery, waiting for Ready as a runner does.
func export(b *testing.B, exporters map[string]any) {
	acked := make(chan struct{}, 1<<20)
	cfg, err := ParseConfig(exporters)
	require.NoError(b, err)
	routes, err := ParseRoutes(nil, cfg)
	require.NoError(b, err)
	d, err := New(cfg, routes, Options{MaxBytes: 32 << 20, Ack: func(int32, uint64) { acked <- struct{}{} }})
	require.NoError(b, err)
	require.NoError(b, d.Start(context.Background()))
	list := make([]Item, benchTraces)
	size := 0
	for i := range list {
		list[i] = Item{Seq: uint64(i), TraceID: traceID(i), Payload: payload(b, i, benchSpans), Spans: benchSpans}
		size += len(list[i].Payload)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			<-d.Ready()
			d.Submit(list)
		}
	}()
	for range b.N * benchTraces {
		<-acked
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchTraces*benchSpans), "ns/span")
	require.NoError(b, d.Shutdown(context.Background()))
}

func BenchmarkGRPC(b *testing.B) {
	for _, compression := range []string{"none", "zstd", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			export(b, grpcTo(serveDiscard(b), map[string]any{"compression": compression}))
		})
	}
}

func BenchmarkHTTP(b *testing.B) {
	for _, compression := range []string{"none", "zstd", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			}))
			b.Cleanup(server.Close)
			export(b, httpTo(server.URL, map[string]any{"compression": compression}))
		})
	}
}
