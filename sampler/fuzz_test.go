package sampler

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzRecord feeds arbitrary bytes between good records: the machine neither panics nor loses count, and what it delivers can be
// decoded. Run with -tags invariants it checks itself after each record.
func FuzzRecord(f *testing.F) {
	good, err := parseSpans("a1 root error svc=x user=vip\na2 server\nb1 noid\nc1 path=/healthz")
	require.NoError(f, err)
	f.Add(good, int64(1000))
	f.Add(good[:len(good)-3], int64(0))
	f.Add(append(bytes.Clone(good), good...), int64(-1))
	f.Add([]byte{0x0a, 0x02, 0x12, 0x00}, int64(1<<62))
	f.Add([]byte(nil), int64(-1<<63))
	limits, s := mixed(f)
	f.Fuzz(func(t *testing.T, value []byte, at int64) {
		m, err := New(limits, s)
		require.NoError(t, err)
		for i, v := range [][]byte{good, value, good, value} {
			ts := int64(1_000_000 + i*3000)
			if i%2 == 1 {
				ts = at
			}
			_ = m.Record(Offset(i), ts, v) // damaged records are among the inputs
			for _, d := range m.Effects().Deliveries {
				n := keyVisitor{}
				require.NoError(t, walk(d.Payload, &n))
				require.Len(t, n.names, d.Spans)
				m.Ack(d.Seq)
			}
			m.Clear()
			st := m.Stats()
			require.Equal(t, st.Received, st.Kept+st.Dropped+st.LateKept+st.LateDropped+st.Duplicate+st.Invalid+st.InFlight)
		}
		b, err := m.Checkpoint().MarshalBinary()
		require.NoError(t, err)
		var c Checkpoint
		require.NoError(t, c.UnmarshalBinary(b))
	})
}

// FuzzCheckpoint decodes arbitrary bytes: an error, or a checkpoint that encodes to the same state.
func FuzzCheckpoint(f *testing.F) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		c := Checkpoint{Resume: 1<<20 + Resume(rnd.Int64N(1<<40)), ReplayFrom: randomStart(rnd), Unsure: rnd.Int64() - rnd.Int64(), Policies: rnd.Uint64(), Rules: randomRules(rnd)}
		c.Next = c.Resume + Resume(rnd.Int64N(1000))
		for range rnd.IntN(5) {
			c.Delivered = append(c.Delivered, DeliveredKey{Offset(c.Resume) + Offset(rnd.IntN(1000)), [16]byte{byte(rnd.Uint32())}, DeliveryKind(rnd.IntN(3))})
			c.Long = append(c.Long, LongTrace{[16]byte{byte(rnd.Uint32())}, rnd.Int64(), rnd.IntN(2) == 0, rnd.Uint32N(100), 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0})
			if l := &c.Long[len(c.Long)-1]; l.Kept {
				l.Share = 1 - rnd.Float64()
			}
			c.State, c.StateAt = append(c.State, byte(rnd.Uint32())), rnd.Int64()
		}
		b, err := c.MarshalBinary()
		require.NoError(f, err)
		var again Checkpoint
		require.NoError(f, again.UnmarshalBinary(b))
		require.Equal(f, c, again)
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{4})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Checkpoint
		if err := c.UnmarshalBinary(b); err != nil {
			require.True(t, errors.Is(err, ErrCheckpoint))
			return
		}
		out, err := c.MarshalBinary()
		require.NoError(t, err)
		var again Checkpoint
		require.NoError(t, again.UnmarshalBinary(out))
		require.Equal(t, c, again)
		limits, s := mixed(t)
		m, err := Restore(limits, s, &c)
		require.NoError(t, err)
		_ = m.Record(0, 1_000_000, []byte("garbage"))
		m.Skip(c.Next)
		_ = m.Record(Offset(m.Next()), 2_000_000, nil)
		b, err = m.Checkpoint().MarshalBinary()
		require.NoError(t, err)
		require.NoError(t, again.UnmarshalBinary(b), "what was written is refused")
	})
}

func randomStart(rnd *rand.Rand) Start {
	var c clock
	for range rnd.IntN(6) {
		c.advance(rnd.Int64N(1<<41) * rnd.Int64N(3))
	}
	return Start{Resume(rnd.Int64N(1 << 20)), c.now + rnd.Int64N(maxStep), c, rnd.Int64() - rnd.Int64()}
}

func randomRules(rnd *rand.Rand) (list []Rules) {
	from := Resume(0)
	for range 1 + rnd.IntN(3) {
		list = append(list, Rules{from, rnd.Int64(), 1 + rnd.Int64N(1e6), rnd.Int64N(1e6), rnd.Uint64(), []int64{1, 1000}[rnd.IntN(2)], rnd.Int64N(1e6), rnd.Int64N(1e6)})
		from += 1 + Resume(rnd.Int64N(1000))
	}
	return list
}
