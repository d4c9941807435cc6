package receive

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
)

// Clients of both protocols send at once, every third publishing fails, and every client sends until it is told success:
// everything arrives, and nobody reads anybody's memory.
func TestConcurrentLoad(t *testing.T) {
	const clients, each = 8, 30
	var calls atomic.Int64
	log := &memoryLog{publish: func(context.Context, []Fragment) error {
		if calls.Add(1)%3 == 0 {
			return errors.New("not now")
		}
		return nil
	}}
	r := startReceiver(t, log, nil)
	conn := grpcConn(t, r)
	c := httpClient(t)
	var all sync.WaitGroup
	sent := make([]int, clients)
	for client := range clients {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(client)))
			for range each {
				td := shopTraces(1 + rng.IntN(300))
				sent[client] += td.SpanCount()
				for ok := false; !ok; {
					switch rng.IntN(4) {
					case 0:
						_, err := ptraceotlp.NewGRPCClient(conn).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
						ok = err == nil
					case 1:
						_, err := ptraceotlp.NewGRPCClient(conn).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td), grpc.UseCompressor("zstd"))
						ok = err == nil
					case 2:
						ok = post(t, c, r, jsonOf(t, td), contentType, typeJSON).status == http.StatusOK
					default:
						ok = post(t, c, r, compress(t, "gzip", protoOf(t, td)), contentType, typeProto, "Content-Encoding", "gzip").status == http.StatusOK
					}
				}
			}
		})
	}
	all.Wait()
	want := 0
	for _, n := range sent {
		want += n
	}
	require.Len(t, log.names(t), want)
	s := r.Stats()
	require.EqualValues(t, want, s.GRPC.Spans+s.HTTP.Spans)
	require.EqualValues(t, clients*each, s.GRPC.Accepted+s.HTTP.Accepted)
	require.Equal(t, calls.Load(), int64(s.GRPC.Requests+s.HTTP.Requests))
	require.EqualValues(t, calls.Load()/3, s.GRPC.Unpublished+s.HTTP.Unpublished)
}
