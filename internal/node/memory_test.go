package node

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"thresher/internal/receive"
)

// What receiving may take follows node.memory_limit, and never exceeds what the configuration says.
func TestReceivingFollowsTheMemoryLimit(t *testing.T) {
	for _, c := range []struct{ limit, configured, receive, produce int64 }{
		{64 << 20, 128 << 20, 8 << 20, 2 << 20},
		{256 << 20, 128 << 20, 32 << 20, 8 << 20},
		{8 << 30, 128 << 20, 1 << 30, 128 << 20},
		{8 << 30, 4 << 20, 1 << 30, 4 << 20},
	} {
		cfg := testConfig(t, "127.0.0.1:1", "127.0.0.1:1")
		cfg.Node.MemoryLimit = receive.ByteSize(c.limit)
		cfg.Kafka.Producer.BufferBytes = int(c.configured)
		n, err := New(cfg, Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		require.EqualValues(t, c.receive, n.receiving.Limit())
		require.EqualValues(t, c.produce, n.cfg.Kafka.Producer.BufferBytes)
		require.Contains(t, n.Status().Places, Place{"receive", 0, c.receive})
		n.client.Close()
	}
}
