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

// TestTickedTimeSurvivesARestart: a tick that ran ahead of the broker's clock decided a trace. After a restart the records alone would
// say that it is open still, and its late span would vanish in what is settled.
func TestTickedTimeSurvivesARestart(t *testing.T) {
	l, s := Limits{LateWindow: 12_000}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 8000}
	first, late := spans(t, "a1 error"), spans(t, "a2")
	m, err := New(l, s)
	require.NoError(t, err)
	require.NoError(t, m.Record(0, 100_000, first))
	m.Tick(110_000)
	require.Equal(t, []string{"a1"}, took(t, m))
	c := m.Checkpoint()
	require.NoError(t, m.Record(1, 107_500, late))
	require.Equal(t, []string{"a2"}, took(t, m))

	m = reread(t, l, s, c)
	require.NoError(t, m.Record(0, 100_000, first))
	require.NoError(t, m.Record(1, 107_500, late))
	require.Equal(t, []string{"a2"}, took(t, m))
}

// TestTickedTimeDatesNewTraces: the same for a trace that begins at an old timestamp.
func TestTickedTimeDatesNewTraces(t *testing.T) {
	l, s := Limits{LateWindow: 12_000}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 8000}
	m, err := New(l, s)
	require.NoError(t, err)
	require.NoError(t, m.Record(0, 100_000, spans(t, "z1")))
	m.Tick(300_000)
	c := m.Checkpoint()
	for _, m := range []*Machine{m, reread(t, l, s, c)} {
		require.NoError(t, m.Record(1, 170_000, spans(t, "a1")))
		require.NoError(t, m.Record(2, 300_001, spans(t, "a2 error")))
		m.Tick(400_000)
		require.Equal(t, []string{"a1", "a2"}, took(t, m))
	}
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
	m.Tick(136_000)
	require.Empty(t, took(t, m), "c began under the longer wait")
	m.Tick(137_000)
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
		m.Tick(200_000)
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
	from := func(c *Checkpoint) (i int) {
		for i < len(log) && log[i].at < c.ReplayFrom {
			i++
		}
		return min(i, int(c.Resume))
	}
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
