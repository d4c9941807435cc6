package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"

	"thresher/bench/shop"
)

func TestBackendCountsWhatItIsSent(t *testing.T) {
	b, err := StartBackend()
	require.NoError(t, err)
	defer b.Stop()
	require.Zero(t, b.Latest().SpanCount())

	conn, err := grpc.NewClient(b.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	client := ptraceotlp.NewGRPCClient(conn)

	cfg := shop.Default(1)
	cfg.LateBy = time.Second
	s := shop.New(cfg)
	for {
		r := s.Next()
		if r.Spans == 0 {
			break
		}
		if r.At > 5*time.Second {
			s.Stop()
		}
		req := ptraceotlp.NewExportRequest()
		require.NoError(t, req.UnmarshalProto(r.Data))
		_, err := client.Export(t.Context(), req)
		require.NoError(t, err)
	}
	truth, got := s.Truth(), b.Totals()
	require.EqualValues(t, truth.Requests, got.Requests)
	require.EqualValues(t, truth.Spans, got.Spans)
	require.EqualValues(t, truth.Traces, got.Traces)
	require.InEpsilon(t, truth.Bytes, got.Bytes, 0.01, "without compression; the library encodes roots a bit larger")

	latest := b.Latest()
	require.NotZero(t, latest.SpanCount())
	ids := map[pcommon.TraceID]bool{}
	eachSpan(latest, func(rs ptrace.ResourceSpans, sp ptrace.Span) {
		ids[sp.TraceID()] = true
		require.NotZero(t, rs.Resource().Attributes().Len())
	})
	require.Len(t, ids, 1)
	b.Stop()
}

func TestBackendShowsTheLargestTraceOfARequest(t *testing.T) {
	td := trace(span{id: 1, name: "a"}, span{trace: 7, id: 1, name: "b"}, span{trace: 7, id: 2, name: "c"})
	b := &Backend{}
	_, err := b.Export(t.Context(), ptraceotlp.NewExportRequestFromTraces(td))
	require.NoError(t, err)
	require.Equal(t, 2, b.Latest().SpanCount())
}

func TestBackendForgetsTraces(t *testing.T) {
	b := &Backend{}
	id := func(i int) pcommon.TraceID { return pcommon.TraceID{byte(i), byte(i >> 8), byte(i >> 16), 1} }
	for i := range 3*remembered + 5 {
		b.see(id(i))
		b.see(id(max(0, i-remembered/2)))
	}
	require.EqualValues(t, 3*remembered+5, b.totals.Traces)
	require.LessOrEqual(t, len(b.seen[0])+len(b.seen[1]), 2*remembered)
}
