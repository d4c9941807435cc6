package node

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"thresher/bench/shop"
)

// giant is a trace with an error, of so many requests of 50 kB.
func giant(t *testing.T, trace byte, requests int) (reqs []shop.Request) {
	for i := range requests {
		td := ptrace.NewTraces()
		ss := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
		for j := range 50 {
			s := ss.AppendEmpty()
			s.SetTraceID(pcommon.TraceID{1, trace})
			s.SetSpanID(pcommon.SpanID{trace, byte(i), byte(j), 1})
			s.SetParentSpanID(pcommon.SpanID{9})
			s.Status().SetCode(ptrace.StatusCodeError)
			s.Attributes().PutStr("a", fmt.Sprintf("%01000d", 1))
		}
		b, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
		require.NoError(t, err)
		reqs = append(reqs, shop.Request{Data: b, Spans: 50})
	}
	return reqs
}

// TestGiantTracesAreHeldInParts: traces of 2.5 MB that are read again are handed to a backend that is down in parts, and the rest of them stays
// in the log.
func TestGiantTracesAreHeldInParts(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	back.setRefuse(status.Error(codes.Unavailable, "not now"))
	cfg := testConfig(t, broker.Addr(), back.addr)
	const budget, largest = 1 << 20, 256 << 10
	r := startChanged(t, cfg, func(n *Node) { n.limits.BufferBytes, n.limits.MaxPayload, n.budget.delivery = 20_000, largest, budget })
	var all []shop.Request
	for i := range byte(4) {
		reqs := giant(t, i, 50)
		r.send(reqs...)
		all = append(all, reqs...)
	}
	most := int64(0)
	look := func() {
		most = max(most, r.Status().Exporters[0].QueueBytes)
	}
	require.Eventually(t, func() bool {
		look()
		return r.delivery.Full()
	}, time.Minute, 5*time.Millisecond)
	back.setRefuse(nil)
	require.Eventually(t, func() bool {
		look()
		return len(back.names()) == count(all)
	}, time.Minute, 5*time.Millisecond)
	r.quiet(count(all))
	require.Less(t, most, int64(budget+partitionCount*fetchers*largest*11/10))
	require.Positive(t, r.Status().Ledger.SpilledTraces)
	require.Zero(t, r.Status().Ledger.LostTraces)
	http.DefaultClient.CloseIdleConnections()
}

// TestPausesForWhatMustBeRemembered: behind deliveries that are not acknowledged a partition reads on only for as long as there is room to remember
// what became of what it read; then it waits, and goes on.
func TestPausesForWhatMustBeRemembered(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	back.setRefuse(status.Error(codes.Unavailable, "not now"))
	cfg := testConfig(t, broker.Addr(), back.addr)
	r := startChanged(t, cfg, func(n *Node) { n.limits.SettlementBytes = 15_000 })
	reqs := traffic(12, 30_000)
	r.send(reqs...)
	require.Eventually(t, func() bool {
		for _, p := range r.Status().Partitions {
			if !p.Held {
				return false
			}
		}
		return true
	}, time.Minute, 10*time.Millisecond)
	require.False(t, r.delivery.Full(), "it is not the payloads")
	require.Less(t, r.Status().Ledger.Received, uint64(count(reqs)))
	for _, p := range r.Status().Places {
		if p.Name == "settlement" {
			require.Less(t, p.Bytes, int64(partitionCount*100_000))
		}
	}
	back.setRefuse(nil)
	r.quiet(count(reqs))
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	http.DefaultClient.CloseIdleConnections()
}
