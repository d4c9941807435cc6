package buffer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIDSetsTrim: sets that grow leave one size behind the other; what they leave goes back, and the sets that stay are whole.
func TestIDSetsTrim(t *testing.T) {
	var s IDSets
	sets := make([]IDSet, 5000)
	fill := func(from, to uint64) {
		for i := range sets {
			for k := from; k < to; k++ {
				require.True(t, s.Add(&sets[i], uint64(i)<<32|k))
			}
		}
	}
	for k := range uint64(99) {
		fill(k+1, k+2)
	}
	require.Greater(t, s.Held(), s.Used()*3/2)
	for range 2 {
		s.Trim()
		require.Less(t, s.Held(), s.Used()*11/10)
	}
	small := make([]IDSet, 3000)
	for i := range small {
		require.True(t, s.Add(&small[i], 1))
	}
	require.Less(t, s.Held(), s.Used()*11/10, "what was given back is taken again")
	for i := range sets {
		for k := uint64(1); k < 100; k++ {
			require.False(t, s.Add(&sets[i], uint64(i)<<32|k))
		}
	}
	for i := range sets {
		s.Free(&sets[i])
	}
	s.Trim()
	require.Less(t, s.Held(), 3000*32*3/2)
	for i := range small {
		require.False(t, s.Add(&small[i], 1))
		require.Equal(t, 32, s.Bytes(&small[i]))
	}
}

// keep makes a decision about a kept trace with so many spans.
func keep(m *Map, n uint64, spans int) Ref {
	id := traceID(n)
	r, tr := m.Open(id)
	for k := range spans {
		m.IDs.Add(&tr.IDs, uint64(k)+1)
	}
	return m.Decide(r, Decided{Kept: true, LastSeen: int64(n)})
}

func TestForgetIDsOfTheOldest(t *testing.T) {
	m := NewMap(Heap{}, Seed{})
	var refs []Ref
	for n := range uint64(100) {
		refs = append(refs, keep(m, n+1, 4))
	}
	require.Equal(t, 100*32, m.KeptIDs())
	require.Equal(t, 60, m.ForgetIDs(40*32, refs[99]))
	require.Equal(t, 40*32, m.KeptIDs())
	require.True(t, m.AddLate(m.Decision(refs[59]), 1), "forgotten")
	require.False(t, m.AddLate(m.Decision(refs[60]), 1))
	require.Equal(t, 41*32, m.KeptIDs())
	// The queue moves on, and what was passed has IDs again.
	m.Requeue()
	for range 70 {
		m.ForgetOldest()
	}
	require.Equal(t, 29*32, m.KeptIDs())
	require.True(t, m.AddLate(m.Decision(refs[0]), 7))
	require.Equal(t, 30, m.ForgetIDs(0, 0))
	require.Zero(t, m.KeptIDs())
	for m.Oldest() != 0 {
		m.ForgetOldest()
	}
	require.Zero(t, m.ForgetIDs(0, 0))
	require.Zero(t, m.IDs.Used())
}

func TestForgetIDsOfAGiantFirst(t *testing.T) {
	m := NewMap(Heap{}, Seed{})
	small := keep(m, 1, 4)
	giant := keep(m, 2, 1000)
	require.Equal(t, 1, m.ForgetIDs(4000, giant))
	require.False(t, m.AddLate(m.Decision(small), 1))
	require.True(t, m.AddLate(m.Decision(giant), 1))
}

func TestForgottenDecisionsTakeNoIDs(t *testing.T) {
	m := NewMap(Heap{}, Seed{})
	m.Forget(keep(m, 1, 100))
	require.Zero(t, m.KeptIDs())
	require.Zero(t, m.ForgetIDs(-1, 0))
}

func TestHeadersRetain(t *testing.T) {
	h := NewHeaders()
	a, b, c := h.Intern([]byte("a"), 100), h.Intern([]byte("b"), 100), h.Intern([]byte("c"), 100)
	bytes := h.Bytes()
	var gone []uint32
	h.Retain(func(id uint32) bool { return id == b }, func(id uint32) { gone = append(gone, id) })
	require.ElementsMatch(t, []uint32{a, c}, gone)
	require.Equal(t, "b", string(h.AppendTo(nil, b)))
	require.Equal(t, b, h.Intern([]byte("b"), 100))
	require.Equal(t, bytes/3, h.Bytes())
	require.Contains(t, gone, h.Intern([]byte("d"), 100), "numbers are given again")
	require.Contains(t, gone, h.Intern([]byte("a"), 100))
	require.Equal(t, 3, h.Slots())
}

// TestHeldIsWhatIsHeld: what is given back is not counted any more.
func TestHeldIsWhatIsHeld(t *testing.T) {
	m := NewMap(Heap{}, Seed{})
	empty := m.Held()
	for n := range uint64(10_000) {
		keep(m, n+1, 10)
	}
	full := m.Held()
	require.Greater(t, full.Decisions, 10_000*decidedBytes)
	require.Equal(t, 10_000*16*8, full.KeptIDs)
	for m.Oldest() != 0 {
		m.ForgetOldest()
	}
	for range 10 {
		m.Trim()
	}
	require.Equal(t, empty, m.Held())
}
