package sampler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"thresher/internal/wire"
)

const clusterPartitions = 3

// A cluster is a log of several partitions with a machine for each. What a machine moves is written into the log of where it belongs,
// and acknowledged, at random times; a crash may come between.
type cluster struct {
	t        *testing.T
	rnd      *rand.Rand
	settings Settings
	now      int64
	calm     bool // no more crashes
	parts    [clusterPartitions]*clusterPart
	sent     int // spans
	written  int // spans of moved records
}

type clusterPart struct {
	limits  Limits
	m       *Machine
	log     []logRecord
	moved   map[int]bool
	read    int
	stored  []byte
	moves   []Move              // not written yet
	acks    []uint64            // not told the machine yet
	decided map[string][]string // what was delivered at once, by trace
	late    map[string]bool     // spans
}

func newCluster(t *testing.T, rnd *rand.Rand) *cluster {
	c := &cluster{
		t: t, rnd: rnd, now: 100_000,
		settings: Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 8000},
	}
	for i := range c.parts {
		p := &clusterPart{
			limits: Limits{LateWindow: 12_000, MaxPayload: 1 + rnd.IntN(300), Partition: i, Partitions: clusterPartitions, MoveMisplaced: true},
			moved:  map[int]bool{}, decided: map[string][]string{}, late: map[string]bool{},
		}
		var err error
		p.m, err = New(p.limits, c.settings)
		require.NoError(t, err)
		c.parts[i] = p
	}
	return c
}

func (c *cluster) send(partition int, lines ...string) {
	p := c.parts[partition]
	p.log = append(p.log, logRecord{c.now, spans(c.t, strings.Join(lines, "\n"))})
	c.sent += len(lines)
}

// work reads what is in the log of a partition, and does a part of what is to be done, or crashes.
func (c *cluster) work(partition int) {
	p := c.parts[partition]
	for p.read < len(p.log) {
		p.apply(c.t)
	}
	for len(p.moves) > 0 && c.rnd.IntN(3) > 0 {
		mv := p.moves[0]
		p.moves = p.moves[1:]
		to := c.parts[mv.Partition]
		to.moved[len(to.log)] = true
		to.log = append(to.log, logRecord{c.now, mv.Payload})
		c.written += mv.Spans
		p.acks = append(p.acks, mv.Seq)
	}
	for len(p.acks) > 0 && c.rnd.IntN(3) > 0 {
		p.m.Ack(p.acks[0])
		p.acks = p.acks[1:]
	}
	if c.rnd.IntN(3) == 0 && !p.m.Rebuilding() {
		p.stored, _ = p.m.Checkpoint().MarshalBinary()
	}
	if !c.calm && c.rnd.IntN(8) == 0 {
		c.crash(p)
	}
}

func (c *cluster) crash(p *clusterPart) {
	p.moves, p.acks, p.read = nil, nil, 0
	if p.stored == nil {
		m, err := New(p.limits, c.settings)
		require.NoError(c.t, err)
		p.m = m
		return
	}
	var stored Checkpoint
	require.NoError(c.t, stored.UnmarshalBinary(p.stored))
	m, err := Restore(p.limits, c.settings, &stored)
	require.NoError(c.t, err)
	p.m = m
	p.read = int(stored.ReplayFrom.Offset)
}

func (p *clusterPart) apply(t *testing.T) {
	rec := p.log[p.read]
	read := p.m.Record
	if p.moved[p.read] {
		read = p.m.Moved
	}
	require.NoError(t, read(Offset(p.read), rec.at, rec.value))
	p.read++
	fx := p.m.Effects()
	p.moves = append(p.moves, fx.Moves...)
	whole := map[string][]string{}
	for _, d := range fx.Deliveries {
		names, err := spanNames(d.Payload)
		require.NoError(t, err)
		if d.Late {
			for _, n := range names {
				p.late[n] = true
			}
		} else {
			whole[traceName(d.TraceID)] = append(whole[traceName(d.TraceID)], names...)
		}
		p.m.Ack(d.Seq)
	}
	p.m.Clear()
	for trace, names := range whole {
		sort.Strings(names)
		if was, again := p.decided[trace]; again {
			require.Equal(t, was, names, "delivered again, and differently")
		}
		p.decided[trace] = names
	}
}

// TestMovedTracesAreWhole: half of the records are written by a producer with another hash. Each trace that is kept is delivered whole,
// where it belongs and nowhere else, though machines crash between the moving and the checkpoint; and nothing else is.
func TestMovedTracesAreWhole(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		c := newCluster(t, rnd)
		want := [clusterPartitions]map[string][]string{{}, {}, {}}
		for i := range 25 {
			name := fmt.Sprintf("t%cx%s", 'a'+i%26, strings.Repeat("q", i/26))
			kept := rnd.IntN(2) == 0
			var lines []string
			for n := range 1 + rnd.IntN(6) {
				line := fmt.Sprintf("%s%d svc=s%d", name, n+1, rnd.IntN(2))
				if kept && n == 0 {
					line += " error"
				}
				lines = append(lines, line)
			}
			id, _, err := parseName(name + "1")
			require.NoError(t, err)
			home := wire.Partition(id, clusterPartitions)
			for _, line := range lines {
				to := home
				if rnd.IntN(2) == 0 {
					to = rnd.IntN(clusterPartitions)
				}
				c.send(to, line)
				if span, _, _ := strings.Cut(line, " "); kept {
					want[home][name] = append(want[home][name], span)
				}
			}
			sort.Strings(want[home][name])
			c.step(300)
		}
		c.calm = true // a copy that is moved when its trace is forgotten would be a trace of its own
		for !c.idle() {
			c.step(50)
		}
		// Time goes on by records that hold nothing for anyone.
		for range 3 {
			for p := range c.parts {
				c.parts[p].log = append(c.parts[p].log, logRecord{c.now, nil})
			}
			c.step(9000)
		}
		for !c.idle() {
			c.step(50)
		}
		for i, p := range c.parts {
			require.Equal(t, fmt.Sprint(want[i]), fmt.Sprint(p.decided), "seed %d, partition %d", seed, i)
			for span := range p.late { // a copy of a span, moved again after a crash when its trace was decided
				trace := strings.TrimRight(span, "0123456789")
				require.NotContains(t, want[i][trace], span, "seed %d: delivered twice to partition %d", seed, i)
				require.Contains(t, want[i], trace, "seed %d", seed)
			}
		}
		c.settled(seed)
	}
}

func (c *cluster) step(ms int64) {
	for p := range c.parts {
		c.work(p)
	}
	c.now += ms
}

func (c *cluster) idle() bool {
	return !slices.ContainsFunc(c.parts[:], func(p *clusterPart) bool {
		return p.read < len(p.log) || len(p.moves) > 0 || len(p.acks) > 0
	})
}

// settled checks the ledgers, and that what was moved is not moved again once a checkpoint says so, whether it is before the resume
// offset or behind it.
func (c *cluster) settled(seed uint64) {
	again := 0
	for _, p := range c.parts {
		// The whole log again, by a machine without a past: what it receives is what was sent and what was moved.
		var err error
		p.m, err = New(p.limits, c.settings)
		require.NoError(c.t, err)
		for p.read = 0; p.read < len(p.log); {
			p.apply(c.t)
		}
		st := p.m.Stats()
		require.Equal(c.t, st.Received, st.Kept+st.Dropped+st.LateKept+st.LateDropped+st.Duplicate+st.Invalid+st.Moved+st.InFlight, "seed %d", seed)
		again += int(st.Received)
		for _, mv := range p.moves {
			p.m.Ack(mv.Seq)
		}
		p.stored, _ = p.m.Checkpoint().MarshalBinary()
		require.Equal(c.t, Resume(len(p.log)), p.m.Resume(), "seed %d", seed)
		c.crash(p)
		for p.read < len(p.log) {
			p.apply(c.t)
		}
		require.Empty(c.t, p.moves, "seed %d", seed)
		require.Zero(c.t, p.m.Stats().Received, "seed %d", seed)
	}
	require.Equal(c.t, c.sent+c.written, again, "seed %d", seed)
}

// TestTakenMisplaced: each example is told once.
func TestTakenMisplaced(t *testing.T) {
	m, err := New(Limits{LateWindow: 12_000, Partitions: 2}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 8000})
	require.NoError(t, err)
	_, found := m.TakeMisplaced()
	require.False(t, found)
	require.NoError(t, m.Record(0, 100_000, spans(t, "a1\nb1\nb2")))
	x, found := m.TakeMisplaced()
	require.True(t, found)
	require.Equal(t, Misplaced{TraceID: wire.TraceID{'b'}, Offset: 0, Partition: 1}, x)
	_, found = m.TakeMisplaced()
	require.False(t, found)
	require.NoError(t, m.Record(1, 100_001, spans(t, "b3")))
	_, found = m.TakeMisplaced()
	require.False(t, found, "asked once a trace")
}

// TestMoveFromNowOn: after a restart with the setting, what is settled stays as it was decided, and what is not is moved.
func TestMoveFromNowOn(t *testing.T) {
	l, s := Limits{LateWindow: 12_000, Partitions: 2}, Settings{Plan: mustPlan(t, onlyErrors), DecisionWait: 8000}
	log := []logRecord{{100_000, spans(t, "b1 error")}, {107_000, spans(t, "f1\nc1")}, {109_000, spans(t, "b2\nf2")}}
	m, err := New(l, s)
	require.NoError(t, err)
	for i, r := range log {
		require.NoError(t, m.Record(Offset(i), r.at, r.value))
		took(t, m)
	}
	c := m.Checkpoint()
	require.EqualValues(t, 1, c.Resume, "b is decided and delivered, f is not decided")
	l.MoveMisplaced = true
	m = reread(t, l, s, c)
	var moved []string
	for i, r := range log {
		require.NoError(t, m.Record(Offset(i), r.at, r.value))
		for _, mv := range m.Effects().Moves {
			names, err := spanNames(mv.Payload)
			require.NoError(t, err)
			moved = append(moved, names...)
		}
		m.Clear()
	}
	require.Equal(t, []string{"b2", "f1", "f2"}, slices.Sorted(slices.Values(moved)), "b1 is settled")
	st := m.Stats()
	require.EqualValues(t, 1, st.Rebuilt)
	require.EqualValues(t, 3, st.Moved)
}
