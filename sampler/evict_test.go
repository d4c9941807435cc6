package sampler

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOldestIsDecidedForLackOfMemory shows what the answer to too many open traces is, and how it is counted.
func TestOldestIsDecidedForLackOfMemory(t *testing.T) {
	s := Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 10_000}
	one := openCost + 8*s.Plan.Words() + spanCost
	m, err := New(Limits{LateWindow: 10_000, OpenBytes: 3 * one}, s)
	require.NoError(t, err)
	require.NoError(t, m.Record(0, 100_000, spans(t, "a1 error root\nb1\nc1")))
	require.Zero(t, m.Stats().EvictedTraces, "just within the budget")
	require.NoError(t, m.Record(1, 100_100, spans(t, "d1 error")))
	require.Len(t, m.Effects().Deliveries, 1)
	d := m.Effects().Deliveries[0]
	require.Equal(t, "a", traceName(d.TraceID))
	require.True(t, d.Early)
	st := m.Stats()
	require.Equal(t, []uint64{3, 0, 1, 2, 1}, []uint64{st.EvictedTraces, st.EarlyTraces, st.KeptTraces, st.DroppedTraces, st.InFlight},
		"those of one record together")
	require.Equal(t, []string{"a1"}, took(t, m))
	require.NoError(t, m.Record(2, 100_200, spans(t, "a2\nb2 error")))
	require.Equal(t, []string{"a2"}, took(t, m), "what comes later follows the decision")
	require.EqualValues(t, 1, m.Stats().LateDropped)
}

// TestEarlyDecisionsAreNotComputedAgain: trace p began before the place from which a restart reads, so it looks younger than it is, and is
// open for longer. With it there would be too many, and x, the oldest then, would be decided before the span comes for which it was kept.
func TestEarlyDecisionsAreNotComputedAgain(t *testing.T) {
	s := Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 8000}
	one := openCost + 8*s.Plan.Words() + spanCost
	l := Limits{LateWindow: 12_000, OpenBytes: 5*one + 2*spanCost}
	log := []logRecord{
		{99_000, spans(t, "p1")}, {100_000, nil}, {100_500, spans(t, "x1")}, {101_000, spans(t, "p2")}, {108_100, spans(t, "a1\nb1\nc1\nd1")},
		{108_400, spans(t, "x2 error")}, {114_000, nil}, {120_000, spans(t, "z1")}, {120_300, spans(t, "x3")},
	}
	m, err := New(l, s)
	require.NoError(t, err)
	const stop = 8
	for i, r := range log[:stop] {
		require.NoError(t, m.Record(Offset(i), r.at, r.value))
		took(t, m)
	}
	require.Zero(t, m.Stats().EvictedTraces)
	c := m.Checkpoint()
	from := int(c.ReplayFrom.Offset)
	require.Equal(t, 1, from, "p is read again without its first span")
	for _, m := range []*Machine{m, reread(t, l, s, c)} {
		if int(m.Next()) < stop {
			for i := from; i < stop; i++ {
				require.NoError(t, m.Record(Offset(i), log[i].at, log[i].value))
				took(t, m)
			}
		}
		require.NoError(t, m.Record(stop, log[stop].at, log[stop].value))
		require.Equal(t, []string{"x3"}, took(t, m), "late for a trace that was kept")
	}
}

// TestEarlyDecisionsAfterARestartWithMoreMemory: what was decided early must be so again, whatever the budget is now.
func TestEarlyDecisionsAfterARestartWithMoreMemory(t *testing.T) {
	each(t, func(t *testing.T, limits Limits, s Settings) {
		if limits.OpenBytes == 0 {
			return
		}
		evicted := uint64(0)
		for seed := range uint64(20) {
			rnd := rand.New(rand.NewPCG(seed, 13))
			log := randomLog(t, rnd, 100)
			want := reference(t, limits, s, log)
			stop := rnd.IntN(len(log))
			d := &driver{t: t, log: log, limits: limits, out: newOutcome()}
			d.start(s, nil)
			for i := range stop {
				d.record(i)
				for len(d.pending) > 10 { // the backend is behind
					d.m.Ack(d.pending[0])
					d.pending = d.pending[1:]
				}
			}
			evicted += d.m.Stats().EvictedTraces
			c := d.m.Checkpoint()
			b, err := c.MarshalBinary()
			require.NoError(t, err)
			var stored Checkpoint
			require.NoError(t, stored.UnmarshalBinary(b))
			d.limits.OpenBytes = 1 << 20
			d.start(s, &stored)
			for i := int(c.ReplayFrom.Offset); i < stop; i++ {
				d.record(i)
			}
			for k, v := range d.out.traces {
				require.Equal(t, want.traces[k], v, "seed %d: %s of %d", seed, traceName(k.ID), k.Offset)
			}
		}
		require.Greater(t, evicted, uint64(100))
	})
}
