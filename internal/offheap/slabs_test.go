package offheap

import (
	"testing"

	"github.com/stretchr/testify/require"

	"thresher/buffer"
)

// TestPagesLiveInSlabs fills, trims and releases an allocator of package buffer, and wants its bytes whole and all memory back.
func TestPagesLiveInSlabs(t *testing.T) {
	s := &Slabs{}
	defer s.Close()
	p := buffer.NewPages(s)
	chains := make([]buffer.Chain, 100_000)
	span := make([]byte, 600)
	for i := range span {
		span[i] = byte(i)
	}
	for round := range 2 {
		for i := range chains {
			p.Append(&chains[i], span)
		}
		for i := range chains {
			require.True(t, p.Equal(chains[i], span), "round %d", round)
			p.Free(&chains[i], buffer.PagesFor(600))
		}
		p.Trim()
	}
	p.Release()
	require.Zero(t, s.Held())
}
