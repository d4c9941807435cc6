package wire

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func randomID(rnd *rand.Rand) (id TraceID) {
	binary.BigEndian.PutUint64(id[:8], rnd.Uint64())
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	return id
}

// TestPartitionIsSaramas compares with Sarama's hash partitioner, written as it is there. That the Collector's exporter does this, and with
// this key, internal/conformance shows.
func TestPartitionIsSaramas(t *testing.T) {
	sarama := func(key []byte, n int) int {
		h := fnv.New32a()
		_, _ = h.Write(key)
		p := int32(h.Sum32()) % int32(n)
		if p < 0 {
			p = -p
		}
		return int(p)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		id := randomID(rnd)
		key := []byte(hex.EncodeToString(id[:]))
		for _, n := range []int{1, 2, 3, 7, 64, 100, 10000} {
			require.Equal(t, sarama(key, n), Partition(id, n), "%s of %d", key, n)
		}
	}
}

// TestPartitionNeverChanges: it is the layout of the log, and what is there already must be found.
func TestPartitionNeverChanges(t *testing.T) {
	for id, want := range map[string][3]int{ // of 1, 64 and 1000
		"00000000000000000000000000000000": {0, 59, 587},
		"00000000000000000000000000000001": {0, 14, 206},
		"4bf92f3577b34da6a3ce929d0e0e4736": {0, 46, 310},
		"0af7651916cd43dd8448eb211c80319c": {0, 59, 99},
		"ffffffffffffffffffffffffffffffff": {0, 59, 475},
	} {
		b, err := hex.DecodeString(id)
		require.NoError(t, err)
		for i, n := range []int{1, 64, 1000} {
			require.Equal(t, want[i], Partition(TraceID(b), n), "%s of %d", id, n)
		}
	}
}

// TestPartitionsAreEven: for trace IDs as they are made, each partition gets its share, up to chance. Chi-squared of a fair
// distribution is n-1 on average, with a deviation of sqrt(2(n-1)).
func TestPartitionsAreEven(t *testing.T) {
	const perPartition = 200
	for name, next := range map[string]func(rnd *rand.Rand, i int) TraceID{
		"random": func(rnd *rand.Rand, _ int) TraceID { return randomID(rnd) },
		"64 bits": func(rnd *rand.Rand, _ int) (id TraceID) {
			binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
			return id
		},
		"seconds first, as of X-Ray": func(rnd *rand.Rand, i int) TraceID {
			id := randomID(rnd)
			binary.BigEndian.PutUint32(id[:], uint32(1_750_000_000+i/1000))
			return id
		},
		"seconds, 32 zero bits, 64 random ones, as of Datadog": func(rnd *rand.Rand, i int) TraceID {
			id := randomID(rnd)
			binary.BigEndian.PutUint64(id[:], uint64(1_750_000_000+i/1000)<<32)
			return id
		},
		"kept by a head sampler at 1 %": func(rnd *rand.Rand, _ int) TraceID {
			id := randomID(rnd)
			id[9], id[10] = 0xff, 0xff-byte(rnd.IntN(3))
			return id
		},
	} {
		for _, n := range []int{2, 3, 16, 64, 100, 256, 1000} {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(7, uint64(n)))
				counts := make([]int, n)
				for i := range n * perPartition {
					counts[Partition(next(rnd, i), n)]++
				}
				chi := 0.0
				for _, c := range counts {
					d := float64(c - perPartition)
					chi += d * d / perPartition
				}
				require.Less(t, chi, float64(n-1)+5*math.Sqrt(2*float64(n-1)), "too uneven")
			})
		}
	}
}

func BenchmarkPartition(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	ids := make([]TraceID, 1024)
	for i := range ids {
		ids[i] = randomID(rnd)
	}
	for i := 0; b.Loop(); i++ {
		Partition(ids[i&1023], 64)
	}
}
