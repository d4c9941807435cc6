package node

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"thresher/internal/kafka"
	"thresher/internal/wire"
	"thresher/sampler"
)

func TestLargeCheckpointsAreStoredLessOften(t *testing.T) {
	for _, c := range []struct {
		size int
		tick int // the first at which it may be stored
	}{{0, 1}, {1 << 10, 1}, {64 << 10, 1}, {65 << 10, 1}, {128 << 10, 2}, {256 << 10, 4}, {8 << 20, 128}} {
		// A tick can come a little early, or late.
		for _, off := range []time.Duration{-100 * time.Millisecond, 0, 100 * time.Millisecond} {
			for tick := 1; tick < 130; tick++ {
				require.Equal(t, tick >= c.tick, mayStore(c.size, time.Duration(tick)*time.Second+off), "%d bytes, tick %d%+v", c.size, tick, off)
			}
		}
	}
}

// large is the checkpoint of a partition of which much is delivered behind something that is not.
func large(deliveries int) *sampler.Checkpoint {
	c := &sampler.Checkpoint{Resume: 1, Next: 2, Rules: []sampler.Rules{{DecisionWait: 1000, Tick: 1}}}
	for i := range deliveries {
		id := wire.TraceID{1}
		binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
		c.Delivered = append(c.Delivered, sampler.DeliveredKey{Offset: sampler.Offset(2 + i), ID: id})
	}
	return c
}

// TestLastCheckpointDoesNotWait: a large checkpoint has to wait for its turn, but the last one is stored whatever its size.
func TestLastCheckpointDoesNotWait(t *testing.T) {
	broker := startBroker(t)
	n, err := New(testConfig(t, broker.Addr(), "127.0.0.1:1"), Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer n.client.Close()
	ctx := context.Background()
	require.NoError(t, n.client.Ensure(ctx))
	topic, err := n.client.SpansTopicID(ctx)
	require.NoError(t, err)
	c := large(16_000)
	b, err := c.MarshalBinary()
	require.NoError(t, err)
	wait := time.Duration(len(b)) * time.Second / checkpointRate
	require.Greater(t, wait, 4*time.Second)
	own := func(partition int32) *runner {
		data, shed := n.sealer.seal(topic, c)
		require.Zero(t, shed)
		r, _, err := n.newRunner(ctx, &takeover{
			partition: partition, topic: topic, stored: kafka.Stored{Epoch: 4, Data: data}, checkpoint: mustUnseal(t, n, data, topic),
			end: 1 << 40, cut: math.MaxInt64,
		})
		require.NoError(t, err)
		return r
	}
	r := own(0)
	require.NoError(t, err)
	defer r.machine.Release()
	next := c.Resume
	change := func() { // so that there is something new to store
		require.NoError(t, r.machine.Record(sampler.Offset(next), 1_000_000, nil))
		next++
	}

	change()
	r.checkpoint(false)
	require.False(t, r.saving, "the one of before is young")
	r.begun = r.begun.Add(-wait)
	r.checkpoint(false)
	require.True(t, r.saving, "its turn has come")
	r.checkpointStored(<-r.savedAcked)
	require.Len(t, mustUnseal(t, n, r.saved, topic).Delivered, 16_000)

	change()
	r.checkpoint(false)
	require.False(t, r.saving, "another one is too early")
	r.checkpoint(true)
	require.True(t, r.saving, "the last one is not")
	r.checkpointStored(<-r.savedAcked)
	stored, err := n.checkpoints.Load(ctx, 0)
	require.NoError(t, err)
	require.EqualValues(t, 5, stored.Epoch)
	require.Equal(t, next, mustUnseal(t, n, stored.Data, topic).Next)

	// A small one waits for nothing.
	c.Delivered = nil
	r = own(1)
	defer r.machine.Release()
	next = c.Resume
	change()
	r.checkpoint(false)
	require.True(t, r.saving)
	r.checkpointStored(<-r.savedAcked)
}

func mustUnseal(t *testing.T, n *Node, b []byte, topic [16]byte) *sampler.Checkpoint {
	t.Helper()
	c, err := n.sealer.unseal(b, topic)
	require.NoError(t, err)
	return c
}
