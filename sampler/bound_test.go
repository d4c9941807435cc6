package sampler

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"thresher/internal/wire"
)

// TestShrink: whatever a checkpoint has, it fits, and what is left out is what costs least.
func TestShrink(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	id := func() (id wire.TraceID) {
		for i := range id {
			id[i] = byte(rnd.Uint32())
		}
		return id
	}
	full := func() *Checkpoint {
		c := &Checkpoint{Resume: 1 << 30, Next: 1<<30 + 1<<22, Rules: []Rules{{DecisionWait: 1, Tick: 1}}}
		for i := range 20_000 {
			c.Delivered = append(c.Delivered, DeliveredKey{Offset: Offset(1<<30 + i*10), ID: id()})
			c.Long = append(c.Long, LongTrace{ID: id(), LastSeen: 1_790_000_000_000 + int64(i), Kept: true, Share: 0.5, Policy: 1})
		}
		for range 200_000 {
			c.State = append(c.State, byte(rnd.Uint32()))
		}
		return c
	}
	plain := func(b []byte) []byte { return b }
	whole, shed := full().Shrink(8<<20, plain)
	require.Zero(t, shed)
	for _, most := range []int{len(whole) - 1, 1_000_000, 700_000, 300_000, 200_500, 100_000, 100} {
		c := full()
		b, shed := c.Shrink(most, plain)
		require.LessOrEqual(t, len(b), most)
		require.Equal(t, 20_000, shed.Delivered+len(c.Delivered))
		require.Equal(t, 20_000, shed.Long+len(c.Long))
		require.True(t, shed.Long == 0 || shed.Delivered == 20_000, most)
		require.True(t, !shed.State || shed.Long == 20_000, most)
		for _, l := range c.Long {
			require.GreaterOrEqual(t, l.LastSeen, 1_790_000_000_000+int64(shed.Long), "the oldest go first")
		}
		var again Checkpoint
		require.NoError(t, again.UnmarshalBinary(b))
		if most > 200_500 {
			require.Greater(t, len(b), most-len(whole)/8, "no more than is needed")
			require.Len(t, again.State, 200_000)
		}
	}
}
