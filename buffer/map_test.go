package buffer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"thresher/internal/wire"
)

func traceID(n uint64) (id wire.TraceID) {
	binary.BigEndian.PutUint64(id[8:], n) // the high half is zero, as 64-bit IDs have it
	return id
}

// TestMapAgainstModel drives a Map and plain Go maps with the same random calls.
func TestMapAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			m := NewMap(Heap{}, Seed{})
			type openTrace struct {
				payload []byte
				ids     map[uint64]bool
			}
			open := map[wire.TraceID]*openTrace{}
			decided := map[wire.TraceID]bool{}
			var fifo []wire.TraceID
			ids := uint64(1 + rnd.IntN(3000))
			for range 20_000 {
				id := traceID(1 + rnd.Uint64N(ids))
				o, d := m.Find(&id)
				require.Equal(t, open[id] != nil, o != 0)
				_, wasDecided := decided[id]
				require.Equal(t, wasDecided, d != 0)
				switch {
				case d != 0 && rnd.IntN(4) == 0:
					m.Forget(d)
					delete(decided, id)
					for i := range fifo {
						if fifo[i] == id {
							fifo[i] = wire.TraceID{}
						}
					}
				case d != 0:
					require.Equal(t, decided[id], m.Decision(d).Kept)
				case o == 0:
					ref, tr := m.Open(id)
					require.Equal(t, id, tr.ID)
					require.True(t, tr.Payload.Empty())
					require.Zero(t, tr.IDs.Len())
					require.NotZero(t, ref)
					open[id] = &openTrace{ids: map[uint64]bool{}}
				case rnd.IntN(8) == 0:
					kept := rnd.IntN(2) == 0
					m.Decide(o, Decided{Kept: kept})
					delete(open, id)
					decided[id] = kept
					fifo = append(fifo, id)
				default:
					tr, want := m.Trace(o), open[id]
					b := make([]byte, rnd.IntN(700))
					for i := range b {
						b[i] = byte(rnd.Uint32())
					}
					m.Pages.Append(&tr.Payload, b)
					tr.Stored += uint64(len(b))
					want.payload = append(want.payload, b...)
					for range rnd.IntN(5) {
						key := 1 + rnd.Uint64N(40)
						require.Equal(t, !want.ids[key], m.IDs.Add(&tr.IDs, key))
						want.ids[key] = true
					}
				}
				if rnd.IntN(10) == 0 && len(fifo) > 0 {
					ref := m.Oldest()
					require.Equal(t, fifo[0], m.Decision(ref).ID)
					if rnd.IntN(3) == 0 {
						m.Requeue()
						fifo = append(fifo[1:], fifo[0])
					} else {
						m.ForgetOldest()
						delete(decided, fifo[0])
						fifo = fifo[1:]
					}
				}
				if rnd.IntN(500) == 0 {
					m.Trim()
				}
			}
			pages := 0
			for id, want := range open {
				o, _ := m.Find(&id)
				tr := m.Trace(o)
				require.True(t, bytes.Equal(want.payload, m.Pages.AppendTo(nil, tr.Payload)))
				require.Equal(t, len(want.ids), tr.IDs.Len())
				pages += PagesFor(tr.Stored)
			}
			require.Equal(t, len(open), m.Traces())
			require.Equal(t, len(fifo), m.Decisions())
			require.Equal(t, pages*PageSize, m.Pages.Used())
		})
	}
}

func TestIDSetOfAGiantTrace(t *testing.T) {
	var s IDSets
	var set IDSet
	const n = 200_000
	for k := uint64(1); k <= n; k++ {
		if !s.Add(&set, k<<20) || s.Add(&set, k<<20) {
			t.Fatalf("key %d: not new, or new twice", k)
		}
	}
	require.Equal(t, n, set.Len())
	held := s.Held()
	s.Free(&set)
	require.Less(t, s.Held(), held/4, "the table of a giant trace goes back to the heap")
	require.True(t, s.Add(&set, 1<<20), "a freed set is empty")
}

func TestHeadersAreStoredOnceAndExpire(t *testing.T) {
	h := NewHeaders()
	long := bytes.Repeat([]byte("x"), 1000)
	a, b := h.Intern([]byte("a"), 10), h.Intern(long, 20)
	require.NotEqual(t, a, b)
	require.Equal(t, a, h.Intern([]byte("a"), 30), "the same bytes have the same number")
	require.Equal(t, h.Intern(nil, 5), h.Intern([]byte{}, 5))
	require.Equal(t, long, h.AppendTo(nil, b))

	var gone []uint32
	h.Expire(21, func(id uint32) { gone = append(gone, id) })
	require.ElementsMatch(t, []uint32{b, 2}, gone, "a is kept until 30")
	require.Equal(t, []byte("a"), h.AppendTo(nil, a))
	require.NotEqual(t, a, h.Intern(long, 40))
	h.Expire(100, func(uint32) {})
	require.Zero(t, h.Len())
	require.Zero(t, h.Bytes())
}

// TestIDsInOrder: IDs that are counters, in either byte order, spread over the tables.
func TestIDsInOrder(t *testing.T) {
	for _, shift := range []int{0, 16, 32, 48} {
		var s IDSets
		var set IDSet
		for k := uint64(1); k <= 50_000; k++ {
			s.Add(&set, k<<shift)
		}
		slots, longest, run := s.slots(set.class, set.ref), 0, 0
		for _, k := range slots {
			if run++; k == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		require.Less(t, longest, 2000, "shift %d: the longest run of full slots", shift)
	}
}

func TestTrimGivesMemoryBack(t *testing.T) {
	p := NewPages(Heap{})
	chains := make([]Chain, 40_000)
	span := make([]byte, 600)
	for i := range chains {
		p.Append(&chains[i], span)
	}
	full := p.Held()
	for i := range chains[:36_000] {
		p.Free(&chains[i], PagesFor(600))
	}
	p.Trim() // sorts the free list; the used pages are in the last slabs
	require.Less(t, p.Held(), full/3)
	for i := range chains[36_000:] {
		require.Equal(t, span, p.AppendTo(nil, chains[36_000+i]))
	}
	var again Chain
	for range 100 {
		p.Append(&again, span)
	}
	require.Len(t, p.AppendTo(nil, again), 60_000)
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	m := NewMap(Heap{}, Seed{})
	span := make([]byte, 575)
	n := uint64(0)
	step := func() {
		n++
		id := traceID(n)
		_, tr := m.Open(id)
		for k := range uint64(10) {
			m.Pages.Append(&tr.Payload, span)
			tr.Stored += 575
			m.IDs.Add(&tr.IDs, k+1)
		}
		if n > 1000 {
			id := traceID(n - 1000)
			o, _ := m.Find(&id)
			m.Decide(o, Decided{})
		}
		if n > 2000 {
			m.ForgetOldest()
		}
	}
	for range 5000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(5000, step))
}
