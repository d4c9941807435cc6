package sampler

import (
	"math"

	"thresher/buffer"
	"thresher/internal/wire"
	"thresher/policies"
)

// Machine is the state of one partition. See the package comment.
type Machine struct {
	limits   Limits
	settings Settings
	clock    clock
	stamp    int64 // of the record that is applied, Unix milliseconds
	next     Resume
	// dead: decisions about traces whose last span came at or before it hold no more. It never goes back.
	dead int64

	// resumed: what lies before it is settled and is read only to rebuild memory.
	resumed  Resume
	restored *Checkpoint // until the first record after a restart
	// until: traces that begin before it began before the restart and are decided by the rules of then.
	until     Resume
	delivered map[DeliveredKey]struct{} // from the checkpoint: decided again, not delivered again

	traces    *buffer.Map
	opened    int // what the open traces count: see Limits.OpenBytes
	evictions evictions
	deadlines *deadlines
	queue     settlement

	sets    []*policySet // by number; nil when no open trace uses it any more
	active  *policySet
	rules   ruleBook
	waits   waits
	maxWait int64 // the longest wait of any set so far, and of those before a restart

	snapshots memory
	starts    starts
	unsure    int64 // traces that begin before this partition time may be the rest of traces that nobody remembers

	long    []wire.TraceID // decided traces that outlived maxWait
	rescued []rescue       // not before the resume offset
	ghosts  []ghost        // decisions that are forgotten, but not yet at the resume offset

	swept struct {
		at      int64 // partition time of the last sweep
		headers int   // bytes of headers after the last one over budget
	}
	trimmed int64

	misplaced Misplaced // the latest that was not told

	stats    Stats
	policyNo map[string]uint32 // index into stats.Policies; 0 is "no policy"
	fx       Effects
	handed   int // bytes of payload in fx

	rec     record
	due     []buffer.Ref // of one deadline
	dueNext int          // those before it are decided
	evicted []buffer.Ref
	asm     wire.Assembler
	walk    wire.Scratch
	single  policies.Trace
	bytes   []byte
	marked  []byte
}

// New returns a machine that begins at the start of a log, or at a place before which nothing matters. The error says
// which setting is out of range.
func New(l Limits, s Settings) (*Machine, error) {
	if err := s.validate(&l); err != nil {
		return nil, err
	}
	return newMachine(l, s, s.rules(&l, 0)), nil
}

func newMachine(l Limits, s Settings, r Rules) *Machine {
	if l.MaxPayload == 0 {
		l.MaxPayload = defaultMaxPayload
	}
	if l.OpenBytes == 0 {
		l.OpenBytes = math.MaxInt
	}
	if l.Slabs == nil {
		l.Slabs = buffer.Heap{}
	}
	m := &Machine{
		limits:   l,
		settings: s,
		dead:     math.MinInt64,
		unsure:   math.MinInt64,
		traces:   buffer.NewMap(l.Slabs, l.Seed),
		policyNo: map[string]uint32{"": 0},
		trimmed:  math.MinInt64,

		snapshots: memory{from: math.MinInt64, last: math.MinInt64},
	}
	m.swept.at = math.MinInt64
	m.stats.Policies = []PolicyStats{{}}
	m.deadlines = newDeadlines(m.traces)
	m.queue.most = l.SettlementBytes
	m.rec.m = m
	m.use(r)
	return m
}

// Release gives the memory for spans back. The machine may not be used afterwards.
func (m *Machine) Release() { m.traces.Pages.Release() }

// Record applies the record at an offset. The timestamp is the record's, in Unix milliseconds, and may be anything: see clock. Offsets
// must grow. A record without spans is a tick: it says that time passes. The error tells why the record as a whole could not be
// decoded; time and the resume offset have moved over it all the same, and the runner reports it to the rejected topic. value
// is not kept.
func (m *Machine) Record(o Offset, timestamp int64, value []byte) error {
	m.reach(o, timestamp)
	m.fire(math.MaxInt)
	m.stats.Records++
	r := &m.rec
	r.begin(o)
	err := wire.Walk(value, &m.walk, r)
	r.end()
	m.sweepHeaders()
	m.next = o.After()
	if err != nil {
		m.stats.DamagedRecords++
	}
	m.check()
	return err
}

// Elapse lets partition time pass, in milliseconds, for traces that are in no log: those of a file or a test. A node must not call
// it, because nobody who reads the log again would know of it. There must have been a record.
func (m *Machine) Elapse(d int64) {
	m.clock.elapse(d)
	m.stamp += d
	m.forgetUntil()
	m.fire(math.MaxInt)
	m.check()
}

// Skip tells that there are no records before r that were not passed to Record: control records of transactions, or
// records that retention has deleted.
func (m *Machine) Skip(r Resume) { m.next = max(m.next, r) }

// Ack tells that one part of a delivery is settled: accepted, or finally refused, by every backend that matters. Unknown and
// repeated sequences are ignored.
func (m *Machine) Ack(seq uint64) {
	m.queue.ack(seq)
	m.check()
}

// Parts tells that n more parts of a spilled delivery are handed out, so that as many more acknowledgements will come. It is called before
// they are.
//
// The delivery itself counts as a part: the runner acknowledges it when it has handed out all there are. So while it reads, and nobody knows how
// many parts there will be, acknowledgements of the first ones cannot settle the delivery. After a crash in between it is delivered again from
// the beginning.
func (m *Machine) Parts(seq uint64, n int) {
	if it := m.queue.at(seq); it != nil && it.state == waiting {
		it.count += uint32(n)
	}
}

// Effects returns what is to be carried out since the last Clear.
func (m *Machine) Effects() *Effects { return &m.fx }

// Clear tells that the runner has taken over the effects.
func (m *Machine) Clear() {
	clear(m.fx.Deliveries)
	clear(m.fx.Invalid)
	m.handed = 0
	clear(m.fx.Moves)
	m.fx.Deliveries, m.fx.Invalid, m.fx.Moves = m.fx.Deliveries[:0], m.fx.Invalid[:0], m.fx.Moves[:0]
}

// Next returns the place behind the last record.
func (m *Machine) Next() Resume { return m.next }

// Time returns the partition time in Unix milliseconds, and false before the first record.
func (m *Machine) Time() (int64, bool) { return m.clock.now, m.clock.set }

// Ahead returns how far the stamps of the log are ahead of partition time at present, in milliseconds: what the clocks of brokers have
// leapt since the machine began. It is negative if they fell back.
func (m *Machine) Ahead() int64 { return -m.clock.known[0].ahead }

// Resume returns the place before which everything is settled.
func (m *Machine) Resume() Resume {
	r, _ := m.resume()
	return r
}

func (m *Machine) resume() (Resume, int64) {
	if it, ok := m.queue.head(); ok {
		return Resume(it.offset), it.time
	}
	// While settled traces are rebuilt the machine reads what lies before the resume offset it was given.
	return max(m.next, m.resumed), m.now()
}

// Rebuilding reports whether the machine still reads what was settled before the restart. A checkpoint taken meanwhile
// would say less than the one it was restored from.
func (m *Machine) Rebuilding() bool { return m.next < m.resumed }

// Unacknowledged reports whether a delivery was handed out and is not settled yet.
func (m *Machine) Unacknowledged() bool { return m.queue.out > 0 }

// Waiting reports whether a trace is undecided, so that the passing of time matters.
func (m *Machine) Waiting() bool { return m.traces.Traces() > 0 }

// Stats returns the totals. The slice in it is the caller's.
func (m *Machine) Stats() Stats {
	s := m.stats
	s.OpenTraces = m.traces.Traces()
	s.Decisions = m.traces.Decisions()
	s.BufferedBytes = m.traces.Pages.Used()
	s.Memory = m.held()
	s.HeapBytes = s.Memory.Total()
	s.Unsettled = int(m.queue.end - m.queue.next)
	s.Policies = append([]PolicyStats(nil), s.Policies...)
	return s
}

// now returns the partition time; math.MinInt64 before the first record.
func (m *Machine) now() int64 {
	if !m.clock.set {
		return math.MinInt64
	}
	return m.clock.now
}

// reach moves reading to the record at an offset, and time to where its stamp takes it.
func (m *Machine) reach(o Offset, timestamp int64) {
	m.restored = nil
	m.follow(Resume(o))
	before := Start{Offset: Resume(o), before: m.clock, dead: m.dead}
	switch m.clock.advance(timestamp) {
	case leapt:
		m.stats.TimeLeaps++
	case fell:
		m.stats.TimeFalls++
	}
	m.stamp = min(max(timestamp, 0), latestTime)
	m.forgetUntil()
	before.Time = m.clock.now
	m.starts.note(m, before)
}

// forgetUntil lets decisions expire whose window is over. Whether a decision still holds is asked of dead, never of its being in the map
// and never of the window alone: a window that was short for a while has ended decisions for good.
func (m *Machine) forgetUntil() { m.dead = max(m.dead, m.clock.now-m.rules.active().LateWindow) }

// Fire does a part of what Record at this offset and timestamp would do first: it moves time and decides traces that are due, until their
// deliveries have some bytes together. It reports whether more are due: then the runner hands out what there is, and calls it
// again. Without it a jump in time, as after an outage, would hand out everything at once. A Record does the rest in any case.
func (m *Machine) Fire(o Offset, timestamp int64, bytes int) (more bool) {
	m.reach(o, timestamp)
	return m.fire(bytes)
}

// fire decides what is due.
func (m *Machine) fire(bytes int) (more bool) {
	m.snapshots.begin(m)
	handed := len(m.fx.Deliveries)
	for {
		for ; m.dueNext < len(m.due); m.dueNext++ {
			for ; handed < len(m.fx.Deliveries); handed++ {
				bytes -= m.fx.Deliveries[handed].size()
			}
			if bytes < 0 {
				return true
			}
			m.decide(m.due[m.dueNext])
		}
		if !m.deadlines.due(m.clock.now) {
			break
		}
		m.snapshots.before(m, m.deadlines.next())
		m.due, m.dueNext = m.deadlines.pop(m.due[:0]), 0
		m.compete(m.due)
	}
	m.snapshots.before(m, m.clock.now+1)
	m.forgetExpired()
	if m.clock.now >= m.swept.at+1000 || m.swept.at == math.MinInt64 {
		m.sweep()
	}
	return false
}

// forgetExpired frees decisions that hold no more. It does not matter when this happens.
func (m *Machine) forgetExpired() {
	for ref := m.traces.Oldest(); ref != 0; ref = m.traces.Oldest() {
		d := m.traces.Decision(ref)
		switch {
		case d.ID == wire.TraceID{}:
			m.traces.ForgetOldest()
		case m.expired(d):
			m.remember(d)
			m.traces.ForgetOldest()
		case d.LastSeen > d.Queued:
			m.traces.Requeue()
		case m.limits.Decisions > 0 && m.traces.Decisions() > m.limits.Decisions:
			m.stats.Forgotten++
			m.remember(d)
			m.traces.ForgetOldest()
		default:
			return
		}
	}
}

func (m *Machine) expired(d *buffer.Decided) bool { return d.LastSeen <= m.dead }

// sweep frees headers and pages that nothing uses any more.
func (m *Machine) sweep() {
	m.swept.at = m.clock.now
	m.traces.Headers.Expire(m.clock.now, m.unknow)
	if m.clock.now >= m.trimmed+10_000 || m.trimmed == math.MinInt64 {
		m.trimmed = m.clock.now
		m.traces.Trim()
		m.queue.trim()
	}
}
