package node

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
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
	var s Status
	require.Eventually(t, func() bool {
		s = r.Status()
		return lagsAre(t, r, s)
	}, 10*time.Second, 10*time.Millisecond, "the lag counts what comes in while nothing is read")
	require.Equal(t, partitionCount, s.HeldPartitions)
	for _, p := range s.Partitions {
		require.Positive(t, p.LagRecords)
		require.Positive(t, p.LagSeconds)
	}
	older := func(p Partition) bool {
		return r.Status().Partitions[p.Partition].LagSeconds > p.LagSeconds
	}
	require.Eventually(t, func() bool { return !slices.ContainsFunc(s.Partitions, func(p Partition) bool { return !older(p) }) },
		10*time.Second, 10*time.Millisecond, "what is not read grows older")

	back.setRefuse(nil)
	r.quiet(count(first) + count(second))
	require.Eventually(t, func() bool {
		s := r.Status()
		return s.HeldPartitions == 0 && !slices.ContainsFunc(s.Partitions, func(p Partition) bool { return p.LagRecords+int64(p.LagSeconds) > 0 })
	}, 10*time.Second, 10*time.Millisecond, "no lag is left")
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	http.DefaultClient.CloseIdleConnections()
}

// lagsAre reports whether a status has the records of each partition that it has not read, as the broker counts them.
func lagsAre(t *testing.T, r *live, s Status) bool {
	var all []int32
	for _, p := range s.Partitions {
		all = append(all, p.Partition)
	}
	ends, err := r.client.EndOffsets(t.Context(), all)
	require.NoError(t, err)
	for _, p := range s.Partitions {
		if p.LagRecords != ends[p.Partition]-p.NextOffset {
			return false
		}
	}
	return true
}

// TestOldestUnread: the age of what is not read goes by the best that is known.
func TestOldestUnread(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	ago := func(s int64) time.Time { return now.Add(-time.Duration(s) * time.Second) }
	for _, x := range []struct {
		what             string
		oldest, readAt   time.Time
		caughtUp, answer time.Time
	}{
		{"the fetched record tells", ago(7), ago(30), ago(60), ago(7)},
		{"later than the last record read", time.UnixMilli(0), ago(30), ago(60), ago(30)},
		{"later than when nothing was left, however old the last record is", time.UnixMilli(0), ago(3600), ago(2), ago(2)},
		{"a fetched record of the future tells nothing", ago(-3600), ago(30), ago(60), ago(30)},
		{"nor does one that was read", ago(-3600), ago(-3601), ago(5), ago(5)},
		{"nothing is known yet", time.UnixMilli(0), time.UnixMilli(0), time.Time{}, now},
	} {
		v := view{oldest: x.oldest.UnixMilli(), readAt: x.readAt.UnixMilli()}
		require.Equal(t, x.answer, v.oldestUnread(now, x.caughtUp), x.what)
	}
}
