package node

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"thresher/internal/kafka"
)

// TestWrongClocksOfBrokers: whatever the broker's clock says for a while, once it is mended decisions go on, what is kept is what the
// log says, and a restart changes nothing.
func TestWrongClocksOfBrokers(t *testing.T) {
	for name, wrong := range map[string]func(int64, time.Time) time.Time{
		"an hour ahead":    func(_ int64, now time.Time) time.Time { return now.Add(time.Hour) },
		"an hour behind":   func(_ int64, now time.Time) time.Time { return now.Add(-time.Hour) },
		"leaps":            func(n int64, now time.Time) time.Time { return now.Add(time.Duration(n%5) * 7 * time.Minute) },
		"falls and leaps":  func(n int64, now time.Time) time.Time { return now.Add(time.Duration(n%2*2-1) * time.Hour) },
		"in the year 5000": func(_ int64, now time.Time) time.Time { return now.AddDate(3000, 0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			back := startBackend(t)
			var isWrong atomic.Bool
			var asked atomic.Int64
			broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{Partitions: partitionCount, Now: func() time.Time {
				if isWrong.Load() {
					return wrong(asked.Add(1), time.Now())
				}
				return time.Now()
			}})
			require.NoError(t, err)
			t.Cleanup(broker.Close)
			cfg := testConfig(t, broker.Addr(), back.addr)
			n := startNode(t, cfg)
			reqs := traffic(31, 2000)
			third := len(reqs) / 3
			n.send(reqs[:third]...)
			isWrong.Store(true)
			n.send(reqs[third : 2*third]...)
			require.Eventually(t, func() bool { return n.client.Stats().Ticks > 0 && asked.Load() >= 4 }, 10*time.Second, 10*time.Millisecond)
			n.send(reqs[2*third:]...)
			n.quiet(count(reqs)) // while it is still wrong
			isWrong.Store(false)
			more := traffic(32, 1000)
			n.send(more...)
			s := n.quiet(count(reqs) + count(more))
			kept, ledger := oracle(t, cfg)
			require.Equal(t, kept, back.names())
			require.Equal(t, ledger.Kept, int(s.Ledger.Kept))
			require.Equal(t, ledger.Received, int(s.Ledger.Received))
			require.Zero(t, back.twice())

			n.end()
			n = startNode(t, cfg)
			last := traffic(33, 500)
			n.send(last...)
			n.quiet(count(last))
			kept, _ = oracle(t, cfg)
			require.Equal(t, kept, back.names())
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

// TestTimePassesByTheLog: in a silent partition a record without spans says that time passes, and none is written when nothing waits.
func TestTimePassesByTheLog(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	n := startNode(t, cfg)
	reqs := traffic(41, 500)
	n.send(reqs...)
	n.quiet(count(reqs))
	ticks := n.client.Stats().Ticks
	require.Positive(t, ticks)
	ctx := context.Background()
	ends, err := n.client.EndOffsets(ctx, []int32{0, 1, 2, 3})
	require.NoError(t, err)
	empty := uint64(0)
	for p, end := range ends {
		require.NoError(t, n.client.ReadRange(ctx, p, 0, end, func(r kafka.Record) error {
			if len(r.Value) == 0 {
				empty++
			}
			return nil
		}))
	}
	require.Equal(t, ticks, empty)
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	// Ten intervals of silence: nothing waits, so nothing is written.
	deadline := time.Now().Add(10 * cfg.Kafka.TickInterval)
	require.Eventually(t, func() bool { return time.Now().After(deadline) }, 10*time.Second, 50*time.Millisecond)
	require.Equal(t, ticks, n.client.Stats().Ticks)
	http.DefaultClient.CloseIdleConnections()
}
