package node

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestReadyAfterQuietRestart: a partition whose last record is older than what is read again is ready after a restart, although no
// record comes.
func TestReadyAfterQuietRestart(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	n := startNode(t, cfg)
	reqs := traffic(8, 2000)
	sent := time.Now()
	n.send(reqs...)
	n.end() // most traces are open
	require.Eventually(t, func() bool { return time.Since(sent) > 4*time.Second }, 10*time.Second, 10*time.Millisecond)
	// What is open is decided now: the time of the checkpoint is far behind that of the last record.
	n = startNode(t, cfg)
	n.quiet(1)
	n.end()
	n = startNode(t, cfg)
	require.Eventually(t, func() bool { return n.Status().Ready }, 5*time.Second, 10*time.Millisecond, "%v", n.Status().NotReady)
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	require.Zero(t, back.twice(), "an orderly stop repeats nothing")
	http.DefaultClient.CloseIdleConnections()
}

// TestDrainWithoutKafka: a node whose Kafka has gone still ends in less than five seconds.
func TestDrainWithoutKafka(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	n := startNode(t, testConfig(t, broker.Addr(), back.addr))
	n.send(traffic(9, 1000)...)
	broker.Close()
	require.Eventually(t, func() bool { return !n.Status().Ready }, 10*time.Second, 20*time.Millisecond)
	require.Less(t, n.end(), 5*time.Second)
	http.DefaultClient.CloseIdleConnections()
}

// TestStatusWhileStarting asks for the status from the first moment on; it means something under the race detector.
func TestStatusWhileStarting(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	ready := make(chan struct{})
	n, err := New(testConfig(t, broker.Addr(), back.addr), Options{Logger: slog.New(slog.DiscardHandler), Ready: func() { close(ready) }})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	for up := false; !up; {
		s := n.Status()
		require.True(t, s.Ledger.Balanced())
		select {
		case <-ready:
			up = true
		default:
		}
	}
	stop()
	require.NoError(t, <-ended)
}

// TestHeldByBackends: when kept traces fill their budget the partitions stop reading, the lag grows, and all goes on when the backend
// comes back.
func TestHeldByBackends(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	back.setRefuse(status.Error(codes.Unavailable, "not now"))
	cfg := testConfig(t, broker.Addr(), back.addr)
	r := startChanged(t, cfg, func(n *Node) { n.budget.delivery = 30_000 })
	first := traffic(10, 5000)
	r.send(first...)
	require.Eventually(t, func() bool {
		for _, p := range r.Status().Partitions {
			if !p.Held {
				return false
			}
		}
		return true
	}, 10*time.Second, 10*time.Millisecond)
	read := r.Status().Ledger.Received
	second := traffic(11, 5000)
	r.send(second...)
	require.Equal(t, read, r.Status().Ledger.Received, "nothing more is read")
	back.setRefuse(nil)
	r.quiet(count(first) + count(second))
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	http.DefaultClient.CloseIdleConnections()
}
