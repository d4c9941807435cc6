package policies

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLog2(t *testing.T) {
	require.Zero(t, log2(0))
	require.Zero(t, log2(1))
	for i := range 64 {
		require.Equal(t, uint64(i)<<logBits, log2(1<<i))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		v := rnd.Uint64() >> rnd.IntN(63)
		got := float64(log2(v)) / (1 << logBits)
		require.InDelta(t, math.Log2(float64(max(v, 1))), got, 3.0/(1<<logBits), "of %d", v)
	}
}

// The digits of the logarithm by exact squaring, for numbers whose logarithm is close to a digit's step.
func TestLog2Digits(t *testing.T) {
	for _, v := range []uint64{3, 5, 7, 10, 1000, 1<<32 - 1, 1<<32 + 1, 1<<63 - 1, 1<<63 + 1, math.MaxUint64} {
		whole := new(big.Int).SetUint64(v).BitLen() - 1
		x := new(big.Float).SetPrec(4000).SetUint64(v)
		x.SetMantExp(x, -whole)
		want := uint64(whole)
		for range logBits {
			x.Mul(x, x)
			want <<= 1
			if x.Cmp(big.NewFloat(2)) >= 0 {
				want |= 1
				x.SetMantExp(x, -1)
			}
		}
		require.InDelta(t, want, log2(v), 1, "of %d", v)
	}
}
