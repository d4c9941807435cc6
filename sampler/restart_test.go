package sampler

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const onlyErrors = `[{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]`

func spans(t testing.TB, text string) []byte {
	b, err := parseSpans(text)
	require.NoError(t, err)
	return b
}

// reread restores a machine from a checkpoint that has been stored.
func reread(t testing.TB, l Limits, s Settings, c *Checkpoint) *Machine {
	b, err := c.MarshalBinary()
	require.NoError(t, err)
	var stored Checkpoint
	require.NoError(t, stored.UnmarshalBinary(b))
	m, err := Restore(l, s, &stored)
	require.NoError(t, err)
	return m
}

// until lets time pass up to a partition time.
func until(m *Machine, at int64) { m.Elapse(at - m.clock.now) }

// took acknowledges everything and names the spans.
func took(t testing.TB, m *Machine) (names []string) {
	for _, d := range m.Effects().Deliveries {
		n, err := spanNames(d.Payload)
		require.NoError(t, err)
		names = append(names, n...)
		m.Ack(d.Seq)
	}
	m.Clear()
	return names
}

// TestWaitsOfTheirTime: traces that began before a restart with other waits are decided by theirs. With the new, longer wait a
// settled trace would still be open when its late span comes, and swallow it.
func TestWaitsOfTheirTime(t *testing.T) {
	l, s := Limits{LateWindow: 60_000}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 5000}
	log := [][]byte{spans(t, "a1 error"), spans(t, "b1"), spans(t, "a2\nc1 error")}
	m, err := New(l, s)
	require.NoError(t, err)
	require.NoError(t, m.Record(0, 100_000, log[0]))
	require.NoError(t, m.Record(1, 106_000, log[1]))
	require.Equal(t, []string{"a1"}, took(t, m))
	longer := s
	longer.DecisionWait = 30_000
	m = reread(t, l, longer, m.Checkpoint())
	require.NoError(t, m.Record(0, 100_000, log[0]))
	require.NoError(t, m.Record(1, 106_000, log[1]))
	require.NoError(t, m.Record(2, 107_000, log[2]))
	require.Equal(t, []string{"a2"}, took(t, m), "late for a trace that was decided")
	until(m, 136_000)
	require.Empty(t, took(t, m), "c began under the longer wait")
	until(m, 137_000)
	require.Equal(t, []string{"c1"}, took(t, m))
}

// TestWaitsOfTheirTimeOverTwoRestarts: the second checkpoint, of the new wait, must still tell of the old one.
func TestWaitsOfTheirTimeOverTwoRestarts(t *testing.T) {
	l, s := Limits{LateWindow: 60_000}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 5000}
	log := [][]byte{spans(t, "a1 error"), spans(t, "b1"), spans(t, "x1"), spans(t, "a2\nc1 error")}
	longer := s
	longer.DecisionWait = 30_000
	again := func(m *Machine) *Machine {
		m = reread(t, l, longer, m.Checkpoint())
		require.NoError(t, m.Record(0, 100_000, log[0]))
		require.NoError(t, m.Record(1, 106_000, log[1]))
		return m
	}
	for name, change := range map[string]func(*Machine) *Machine{
		"restart": again,
		"at run time": func(m *Machine) *Machine {
			require.NoError(t, m.SetPolicies(longer))
			return m
		},
		"restart, and another before it has read what was read": func(m *Machine) *Machine {
			m = reread(t, l, longer, m.Checkpoint())
			require.NoError(t, m.Record(0, 100_000, log[0]))
			return again(m)
		},
	} {
		m, err := New(l, s)
		require.NoError(t, err)
		require.NoError(t, m.Record(0, 100_000, log[0]))
		require.NoError(t, m.Record(1, 106_000, log[1]))
		require.Equal(t, []string{"a1"}, took(t, m))
		m = change(m)
		require.NoError(t, m.Record(2, 106_100, log[2]))
		m = again(m)
		require.NoError(t, m.Record(2, 106_100, log[2]))
		require.NoError(t, m.Record(3, 107_000, log[3]))
		require.Equal(t, []string{"a2"}, took(t, m), name)
		until(m, 200_000)
		require.Equal(t, []string{"c1"}, took(t, m), name)
		require.Len(t, m.Checkpoint().Rules, 1, "the old wait is not forgotten")
	}
}

// TestLongTraceOverTwoRestarts: reading a long trace again must not make it look younger than it is.
func TestLongTraceOverTwoRestarts(t *testing.T) {
	l, s := Limits{LateWindow: 12_000}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 8000}
	log := []logRecord{
		{100_000, spans(t, "a1 error")}, {109_000, spans(t, "a2")}, {118_000, spans(t, "a3")}, {120_000, spans(t, "x1")},
		{126_000, spans(t, "a4")}, {129_000, spans(t, "y1")}, {137_500, spans(t, "a5")},
	}
	read := func(m *Machine, from, to int) (names []string) {
		for i := from; i < to; i++ {
			require.NoError(t, m.Record(Offset(i), log[i].at, log[i].value))
			names = append(names, took(t, m)...)
		}
		return names
	}
	from := func(c *Checkpoint) int { return int(c.ReplayFrom.Offset) }
	for one := 2; one < len(log); one++ {
		for two := one; two < len(log); two++ {
			m, err := New(l, s)
			require.NoError(t, err)
			read(m, 0, one)
			c := m.Checkpoint()
			m = reread(t, l, s, c)
			read(m, from(c), two)
			c = m.Checkpoint()
			m = reread(t, l, s, c)
			got := read(m, from(c), len(log))
			require.Contains(t, got, "a5", "restarts behind %d and %d", one, two)
		}
	}
}

// TestShorterWindowAfterARestart: what was read before goes by the window of then. With the new, shorter one the late span of a kept trace
// would begin a trace of its own, and be dropped.
func TestShorterWindowAfterARestart(t *testing.T) {
	s := Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 1000}
	m, err := New(Limits{LateWindow: 60_000}, s)
	require.NoError(t, err)
	log := []logRecord{{1000, spans(t, "b1 error")}, {1000, spans(t, "a1 error")}}
	for at := int64(2000); at < 40_000; at += 1000 {
		log = append(log, logRecord{at, nil})
	}
	log = append(log, logRecord{40_000, spans(t, "a2")})
	for i := range log {
		require.NoError(t, m.Record(Offset(i), log[i].at, log[i].value))
	}
	for _, d := range m.Effects().Deliveries {
		if traceName(d.TraceID) == "a" && !d.Late {
			m.Ack(d.Seq) // b holds the resume offset at 0, and a2 is not acknowledged
		}
	}
	m = reread(t, Limits{LateWindow: 5000}, s, m.Checkpoint())
	for i := range log {
		require.NoError(t, m.Record(Offset(i), log[i].at, log[i].value))
	}
	require.Equal(t, []string{"b1", "a2"}, took(t, m))
	require.EqualValues(t, m.Next(), m.Resume())

	// What comes from now on goes by the new one.
	require.NoError(t, m.Record(Offset(m.Next()), 44_000, spans(t, "a3")))
	require.Equal(t, []string{"a3"}, took(t, m))
	require.NoError(t, m.Record(Offset(m.Next()), 49_000, spans(t, "a4")))
	until(m, 60_000)
	require.Empty(t, took(t, m), "a4 is a trace without an error")
}

// TestTwoLateDeliveriesOfOneRecord walks the case at DeliveredKey: late spans of one record, some for the route of what is dropped and
// some, since a rescue, for that of what is kept. What is acknowledged of one is not taken for the other.
func TestTwoLateDeliveriesOfOneRecord(t *testing.T) {
	l := Limits{LateWindow: 30_000, DeliverDropped: true}
	plan := mustPlanWith(t, `- {name: slow, type: latency, latency: {threshold_ms: 100000}}`,
		`[{name: late-errors, type: status_code, status_code: {status_codes: [ERROR]}}]`)
	s := Settings{Plan: plan, DecisionWait: 1000}
	log := []logRecord{{1000, spans(t, "a1")}, {4000, nil}, {5000, spans(t, "a2\na3 error")}}
	for _, acked := range []bool{true, false} { // the kept ones, or the others
		m, err := New(l, s)
		require.NoError(t, err)
		for i := range 2 {
			require.NoError(t, m.Record(Offset(i), log[i].at, log[i].value))
		}
		require.Equal(t, []string{"a1"}, took(t, m))
		require.NoError(t, m.Record(2, log[2].at, log[2].value))
		require.Len(t, m.Effects().Deliveries, 2)
		for _, d := range m.Effects().Deliveries {
			if d.Kept == acked {
				m.Ack(d.Seq)
			}
		}
		require.EqualValues(t, 2, m.Resume())
		m = reread(t, l, s, m.Checkpoint())
		for i := range log {
			require.NoError(t, m.Record(Offset(i), log[i].at, log[i].value))
		}
		want := map[bool][]string{true: {"a2"}, false: {"a3"}}[acked]
		require.Equal(t, want, took(t, m), "kept ones acknowledged: %v", acked)
		require.EqualValues(t, 3, m.Resume())
	}
}

// TestTheBeginningOfTheLogIsGone walks the case at Machine.Lost: a was kept and b dropped, and nobody can know.
func TestTheBeginningOfTheLogIsGone(t *testing.T) {
	l, s := Limits{LateWindow: 20_000}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 5000}
	log := []logRecord{{100_000, spans(t, "a1 error\nb1\nc1")}, {103_000, spans(t, "c2")}, {106_000, spans(t, "x1")}, {110_000, spans(t, "x2")}, {112_000, nil}}
	m, err := New(l, s)
	require.NoError(t, err)
	for i := range log {
		require.NoError(t, m.Record(Offset(i), log[i].at, log[i].value))
	}
	require.Equal(t, []string{"a1"}, took(t, m))
	require.EqualValues(t, 5, m.Resume())
	c := m.Checkpoint()
	require.EqualValues(t, 0, c.ReplayFrom.Offset)

	restored := reread(t, l, s, c)
	restored.Lost(1) // retention
	for i := 1; i < len(log); i++ {
		require.NoError(t, restored.Record(Offset(i), log[i].at, log[i].value))
	}
	require.Empty(t, took(t, restored))
	c = restored.Checkpoint()
	require.EqualValues(t, 1, c.ReplayFrom.Offset)
	again := reread(t, l, s, c) // it is not forgotten over another restart
	for i := 1; i < len(log); i++ {
		require.NoError(t, again.Record(Offset(i), log[i].at, log[i].value))
	}
	for _, m := range []*Machine{restored, again} {
		require.NoError(t, m.Record(5, 113_000, spans(t, "a2\nb2\nc3\nd1 root")))
		require.Equal(t, []string{"c3"}, took(t, m), "c follows what was made of the rest of it")
		require.NoError(t, m.Record(6, 118_000, nil))
		require.Equal(t, []string{"a2", "b2"}, took(t, m), "a2 is not lost, d is whole and dropped")
		require.EqualValues(t, 2, m.Stats().UnsureTraces)
		// A window later nothing can be the rest of something unknown.
		require.NoError(t, m.Record(7, 124_000, spans(t, "e1")))
		require.NoError(t, m.Record(8, 130_000, nil))
		require.Empty(t, took(t, m))
		st := m.Stats()
		require.Equal(t, st.Received, st.Kept+st.Dropped+st.LateKept+st.LateDropped+st.Duplicate+st.Invalid+st.InFlight)
	}
}
