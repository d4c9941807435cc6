package sampler

import (
	"math"
	"slices"

	"thresher/buffer"
	"thresher/internal/wire"
	"thresher/policies"
)

// Machine is the state of one partition. See the package comment.
type Machine struct {
	limits   Limits
	settings Settings
	tau      int64 // partition time; math.MinInt64 before the first input
	next     Resume

	// resumed: what lies before it is settled and is read only to rebuild memory. resumedAt is the partition time there.
	resumed   Resume
	resumedAt int64
	// until: traces that begin before it began before the restart and are decided by the rules of then.
	until     Resume
	delivered map[DeliveredKey]struct{} // from the checkpoint: decided again, not delivered again

	traces    *buffer.Map
	deadlines *deadlines
	queue     settlement

	sets    []*policySet // by number; nil when no open trace uses it any more
	active  *policySet
	rules   ruleBook
	waits   waits
	maxWait int64 // the longest wait of any set so far, and of those before a restart

	snapshots memory

	long    []wire.TraceID // decided traces that outlived maxWait
	rescued []rescue       // not before the resume offset
	ghosts  []ghost        // decisions that are forgotten, but not yet at the resume offset

	swept   int64 // partition time of the last sweep
	trimmed int64

	stats    Stats
	policyNo map[string]uint32 // index into stats.Policies; 0 is "no policy"
	fx       Effects

	rec     record
	due     []buffer.Ref // of one deadline
	dueNext int          // those before it are decided
	asm     wire.Assembler
	walk    wire.Scratch
	single  policies.Trace
	bytes   []byte
	marked  []byte
}

// ghost is a decision that has left the map.
type ghost struct {
	LongTrace
	first int64 // partition time of the trace's first span
}

// rescue is a dropped trace that is kept since the record at an offset.
type rescue struct {
	id     wire.TraceID
	offset Offset
}

// policySet is a plan in use, with the memory that belongs to it.
type policySet struct {
	Settings
	no      uint32
	matcher *policies.Matcher
	words   *buffer.Words // match bits of its open traces
	// resources caches what each resource header contributes, by header number.
	resources []uint64
	known     []bool
	names     []string // of the policies
	policyNo  []uint32 // index into Machine.stats.Policies, by policy
	rescueNo  []uint32 // the same, by policy of rescue_on
	verdict   policies.Verdict

	// If policies depend on other traces, traces are decided in steps of tick milliseconds of partition time, all of a step
	// together: batch. Otherwise tick is 1.
	tick    int64
	batch   []policies.Trace
	shapes  []byte // of the batch
	decided int    // how many of the batch are decided
}

// New returns a machine that begins at the start of a log, or at a place before which nothing matters. The error says
// which setting is out of range.
func New(l Limits, s Settings) (*Machine, error) {
	if err := s.validate(&l); err != nil {
		return nil, err
	}
	return newMachine(l, s, s.rules(0)), nil
}

func newMachine(l Limits, s Settings, r Rules) *Machine {
	if l.MaxPayload == 0 {
		l.MaxPayload = defaultMaxPayload
	}
	if l.Slabs == nil {
		l.Slabs = buffer.Heap{}
	}
	m := &Machine{
		limits:   l,
		settings: s,
		tau:      math.MinInt64,
		traces:   buffer.NewMap(l.Slabs, l.Seed),
		policyNo: map[string]uint32{"": 0},
		swept:    math.MinInt64,
		trimmed:  math.MinInt64,

		snapshots: memory{from: math.MinInt64, last: math.MinInt64},
	}
	m.stats.Policies = []PolicyStats{{}}
	m.deadlines = newDeadlines(m.traces)
	m.rec.m = m
	m.use(r)
	return m
}

// Restore returns a machine that goes on from a checkpoint. It must be fed the log from the first record whose timestamp is
// not smaller than c.ReplayFrom, or from c.Resume if that comes first.
func Restore(l Limits, s Settings, c *Checkpoint) (*Machine, error) {
	if err := s.validate(&l); err != nil {
		return nil, err
	}
	for _, r := range c.Rules {
		l.LateWindow = max(l.LateWindow, r.DecisionWait)
	}
	m := newMachine(l, s, c.Rules[0])
	m.resumed, m.resumedAt, m.until = c.Resume, c.Time, c.Next
	m.rules.pending = slices.Clone(c.Rules[1:])
	m.rules.end(s.rules(c.Next))
	if len(c.Delivered) > 0 {
		m.delivered = make(map[DeliveredKey]struct{}, len(c.Delivered))
		for _, k := range c.Delivered {
			m.delivered[k] = struct{}{}
		}
	}
	samePolicies := c.Policies == s.Plan.Fingerprint()
	m.snapshots.restore(m, c)
	for _, t := range c.Long {
		if t.Reread {
			if !samePolicies || int(t.Policy) >= len(m.stats.Policies) {
				t.Policy = 0
			}
			m.snapshots.recall(t)
			continue
		}
		if open, decided := m.traces.Find(&t.ID); open != 0 || decided != 0 || t.ID == (wire.TraceID{}) {
			continue // an earlier life of the trace comes first; later ones are read from the log
		}
		d := buffer.Decided{ID: t.ID, LastSeen: t.LastSeen, Kept: t.Kept, Share: t.Share, Rescued: t.Rescued, Dropped: t.Dropped, Age: age(t.LastSeen, c.ReplayFrom-1)}
		if samePolicies && int(t.Policy) < len(m.stats.Policies) {
			d.Policy = t.Policy
		}
		m.traces.Remember(d)
		m.long = append(m.long, t.ID)
	}
	return m, nil
}

// Release gives the memory for spans back. The machine may not be used afterwards.
func (m *Machine) Release() { m.traces.Pages.Release() }

// SetPolicies makes traces whose first span comes from now on be decided by s. The runner applies it between two records.
func (m *Machine) SetPolicies(s Settings) error {
	if err := s.validate(&m.limits); err != nil {
		return err
	}
	m.settings = s
	m.follow(m.next)
	if len(m.rules.pending) == 0 {
		m.swap(s.rules(m.next))
		return nil
	}
	// What begins before the place that reading had reached before a restart is decided by the rules of then.
	m.swap(m.rules.active())
	m.rules.end(s.rules(m.until))
	return nil
}

// follow lets rules of before a restart come into force again, up to those for a place.
func (m *Machine) follow(at Resume) {
	for len(m.rules.pending) > 0 && m.rules.pending[0].From <= at {
		r := m.rules.pending[0]
		m.rules.pending = m.rules.pending[1:]
		m.advance(r.Since)
		m.swap(r)
	}
}

// swap lets traces that begin from now on be decided by the settings of the machine under rules.
func (m *Machine) swap(r Rules) {
	old := m.active
	m.use(r)
	if m.active.Plan.Stateful() {
		m.snapshots.into(m.active, old, m.tau)
	}
	m.snapshots.use(m)
	if old.words.Len() == 0 {
		m.retire(old)
	}
}

// others reports whether traces are open that began under sets before.
func (m *Machine) others() bool {
	for _, s := range m.sets {
		if s != nil && s != m.active {
			return true
		}
	}
	return false
}

// retire forgets a set that no open trace began under.
func (m *Machine) retire(s *policySet) {
	m.sets[s.no] = nil
}

// A PolicyError tells of a policy with a condition that could not be evaluated for some span.
type PolicyError struct {
	Policy  string
	Ignored bool // error_mode: ignore, so that somebody is to be told
	Text    string
}

// TakeErrors returns what conditions of policies could not be evaluated since the last call, one error for each policy at most.
func (m *Machine) TakeErrors() (list []PolicyError) {
	for _, s := range m.sets {
		if s == nil {
			continue
		}
		for _, e := range s.matcher.TakeErrors() {
			list = append(list, PolicyError{s.names[e.Policy], e.Ignored, e.Text})
		}
	}
	return list
}

func (m *Machine) use(r Rules) {
	s := m.settings.under(r)
	m.rules.begin(r, m.tau)
	set := &policySet{Settings: s, no: uint32(len(m.sets)), matcher: s.Plan.NewMatcher(), words: buffer.NewWords(s.Plan.Words())}
	for i, old := range m.sets {
		if old == nil {
			set.no = uint32(i)
			break
		}
	}
	if int(set.no) == len(m.sets) {
		m.sets = append(m.sets, nil)
	}
	m.sets[set.no] = set
	set.names, set.tick = s.Plan.Names(), r.Tick
	set.policyNo, set.rescueNo = m.numbers(set.names), m.numbers(s.Plan.RescueNames())
	m.active = set
	m.maxWait = max(m.maxWait, r.longest())
	m.waits.begin(m.maxWait, m.tau)
}

// numbers returns the places of policies in the statistics.
func (m *Machine) numbers(names []string) []uint32 {
	var numbers []uint32
	for _, name := range names {
		no, ok := m.policyNo[name]
		if !ok {
			no = uint32(len(m.stats.Policies))
			m.policyNo[name] = no
			m.stats.Policies = append(m.stats.Policies, PolicyStats{Name: name})
		}
		numbers = append(numbers, no)
	}
	return numbers
}

// fresh returns the place that a policy has in the statistics of a new machine, 0 if it is not of the set.
func (s *policySet) fresh(name string) uint32 {
	no := uint32(1)
	seen := map[string]bool{}
	for _, names := range [][]string{s.names, s.Plan.RescueNames()} {
		for _, n := range names {
			switch {
			case n == name:
				return no
			case !seen[n]:
				seen[n] = true
				no++
			}
		}
	}
	return 0
}

// deadline returns when a trace of the set is decided that may wait until t.
func (s *policySet) deadline(t int64) int64 {
	if over := t % s.tick; over != 0 {
		t += s.tick - over
	}
	return t
}

// Record applies the record at an offset. The timestamp is the record's, in Unix milliseconds. Offsets must grow. The error
// tells why the record as a whole could not be decoded; time and the resume offset have moved over it all the same, and
// the runner reports it to the rejected topic. value is not kept.
func (m *Machine) Record(o Offset, timestamp int64, value []byte) error {
	m.pass(o)
	m.advance(timestamp)
	m.stats.Records++
	r := &m.rec
	r.begin(o)
	err := wire.Walk(value, &m.walk, r)
	r.end()
	m.next = o.After()
	if err != nil {
		m.stats.DamagedRecords++
	}
	m.check()
	return err
}

// pass does what is to be done when reading reaches a record after a restart.
func (m *Machine) pass(o Offset) {
	m.follow(Resume(o))
	if m.resumedAt != 0 && !m.resumed.Settles(o) {
		// Before the restart a tick may have moved time further than the records tell. What was decided by then is settled.
		m.advance(m.resumedAt)
		m.resumedAt = 0
	}
}

// Tick tells that the log holds no record with a timestamp before t (Unix milliseconds) that was not passed to Record.
func (m *Machine) Tick(t int64) {
	m.pass(Offset(m.next))
	m.advance(t)
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

// Parts tells that the runner hands a spilled delivery out in n parts, so that n acknowledgements will come. It is
// called before the first of them.
func (m *Machine) Parts(seq uint64, n int) {
	if seq >= m.queue.first && seq < m.queue.end && n > 0 {
		m.queue.at(seq).parts = uint32(n)
	}
}

// Effects returns what is to be carried out since the last Clear.
func (m *Machine) Effects() *Effects { return &m.fx }

// Clear tells that the runner has taken over the effects.
func (m *Machine) Clear() {
	clear(m.fx.Deliveries)
	clear(m.fx.Invalid)
	m.fx.Deliveries, m.fx.Invalid = m.fx.Deliveries[:0], m.fx.Invalid[:0]
}

// Next returns the place behind the last record.
func (m *Machine) Next() Resume { return m.next }

// Time returns the partition time in Unix milliseconds, and false before the first input.
func (m *Machine) Time() (int64, bool) { return m.tau, m.tau != math.MinInt64 }

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
	return max(m.next, m.resumed), m.tau
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
	s.HeapBytes = m.traces.Pages.Held() + m.traces.IDs.Held()
	s.Unsettled = int(m.queue.end - m.queue.next)
	s.Policies = append([]PolicyStats(nil), s.Policies...)
	return s
}

// latestTime is the year 37,000. Producers may stamp records with anything; sums with it must not overflow.
const latestTime = 1 << 50

// advance moves partition time and fires the deadlines it reaches.
func (m *Machine) advance(t int64) {
	m.fire(t, math.MaxInt)
}

// Fire does a part of what Record at this offset and timestamp would do first: it moves time and decides traces that are due, until their
// payloads have some bytes together. It reports whether more are due: then the runner hands out what there is, and calls it
// again. Without it a jump in time, as after an outage, would hand out everything at once. A Record or Tick does the rest in any case.
func (m *Machine) Fire(o Offset, timestamp int64, bytes int) (more bool) {
	m.pass(o)
	return m.fire(timestamp, bytes)
}

func (m *Machine) fire(t int64, bytes int) (more bool) {
	t = min(max(t, 0), latestTime)
	m.tau = max(m.tau, t)
	m.snapshots.begin(m)
	handed := len(m.fx.Deliveries)
	for {
		for ; m.dueNext < len(m.due); m.dueNext++ {
			for ; handed < len(m.fx.Deliveries); handed++ {
				bytes -= len(m.fx.Deliveries[handed].Payload)
			}
			if bytes < 0 {
				return true
			}
			m.decide(m.due[m.dueNext])
		}
		if !m.deadlines.due(m.tau) {
			break
		}
		m.snapshots.before(m, m.deadlines.next())
		m.due, m.dueNext = m.deadlines.pop(m.due[:0]), 0
		m.settleDue()
	}
	m.snapshots.before(m, m.tau+1)
	m.forgetExpired()
	if m.tau >= m.swept+1000 || m.swept == math.MinInt64 {
		m.sweep()
	}
	return false
}

// forgetExpired frees decisions whose window has passed. Whether a decision still holds is asked of its LastSeen, never of
// its being in the map, so it does not matter when this happens.
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

func (m *Machine) expired(d *buffer.Decided) bool { return m.tau >= d.LastSeen+m.limits.LateWindow }

// isLong reports whether a decided trace has lived for longer than its wait, so that reading the log again may not tell how it was decided.
func (m *Machine) isLong(d *buffer.Decided) bool {
	return int64(d.Age) > m.waits.of(d.LastSeen-int64(d.Age))
}

// remember keeps a decision that leaves the map for the checkpoint, if it outlived the replayed part of the log and
// spans of its trace may be read again: because reading resumes at a time when it still held, or for the state.
func (m *Machine) remember(d *buffer.Decided) {
	if !m.isLong(d) {
		return
	}
	if _, at := m.resume(); d.LastSeen+m.limits.LateWindow > at || d.LastSeen >= m.snapshots.oldest() {
		m.ghosts = append(m.ghosts, ghost{longTrace(d), d.LastSeen - int64(d.Age)})
	}
}

// sweep frees headers and pages that nothing uses any more.
func (m *Machine) sweep() {
	m.swept = m.tau
	m.traces.Headers.Expire(m.tau, func(id uint32) {
		for _, s := range m.sets {
			if s != nil && int(id) < len(s.known) {
				s.known[id] = false
			}
		}
	})
	if m.tau >= m.trimmed+10_000 || m.trimmed == math.MinInt64 {
		m.trimmed = m.tau
		m.traces.Trim()
		m.queue.trim()
	}
}

// Checkpoint returns what a restart needs. It is to be stored before its Resume is committed, and not to be stored
// while an acknowledgement that the machine was told of can still be taken back.
func (m *Machine) Checkpoint() *Checkpoint {
	r, at := m.resume()
	c := &Checkpoint{
		Resume: r, Next: max(m.next, m.resumed, m.until), Time: at, ReplayFrom: at, Policies: m.settings.Plan.Fingerprint(),
		Rules: m.rules.needed(math.MinInt64, r),
	}
	if at == math.MinInt64 { // nothing was read
		c.Time, c.ReplayFrom = 0, 0
		return c
	}
	c.ReplayFrom = m.waits.replayFrom(at, m.limits.LateWindow)
	state := m.snapshots.at(c.ReplayFrom)
	c.ReplayFrom = min(c.ReplayFrom, state.from)
	c.Rules = m.rules.needed(c.ReplayFrom, r)
	// What began before is not read again. What began before the state is as of is, and was decided without it or will be recalled.
	recalled := max(c.ReplayFrom, state.at)
	if len(state.state) > 0 {
		c.State, c.StateAt = state.state, state.at
	}
	for n := m.queue.first; n < m.queue.end && len(c.Delivered) < maxDelivered; n++ {
		if it := m.queue.at(n); it.state == delivered && !r.Settles(it.offset) {
			c.Delivered = append(c.Delivered, DeliveredKey{it.offset, it.id, it.late})
		}
	}
	// What the last checkpoint had and this machine has not decided again yet.
	again := len(c.Delivered)
	for k := range m.delivered {
		if !r.Settles(k.Offset) && len(c.Delivered) < maxDelivered {
			c.Delivered = append(c.Delivered, k)
		}
	}
	slices.SortFunc(c.Delivered[again:], DeliveredKey.compare)
	// What a record from the resume offset on has rescued is not rescued yet there.
	m.rescued = slices.DeleteFunc(m.rescued, func(x rescue) bool { return r.Settles(x.offset) })
	later := map[wire.TraceID]bool{}
	for _, x := range m.rescued {
		later[x.id] = true
	}
	long := func(l LongTrace, first int64) {
		if first >= recalled || len(c.Long) == maxLong {
			return
		}
		if l.Reread = first >= c.ReplayFrom; later[l.ID] {
			l.Kept, l.Policy, l.Share, l.Rescued = false, 0, 0, false
		}
		l.Policy = m.active.fresh(m.stats.Policies[l.Policy].Name)
		c.Long = append(c.Long, l)
	}
	// A decision matters if it holds at the resume offset, or if spans of its trace are read again before it.
	matters := func(lastSeen int64) bool {
		return lastSeen+m.limits.LateWindow > at || len(c.State) > 0 && lastSeen >= c.ReplayFrom
	}
	// A ghost is an earlier life of its trace, so it stands before a later one of the same ID.
	ghosts := m.ghosts[:0]
	for _, g := range m.ghosts {
		if matters(g.LastSeen) {
			ghosts = append(ghosts, g)
			long(g.LongTrace, g.first)
		}
	}
	m.ghosts = ghosts
	living := m.long[:0]
	for _, id := range m.long {
		_, ref := m.traces.Find(&id)
		if ref == 0 {
			continue
		}
		d := m.traces.Decision(ref)
		if !m.isLong(d) || !matters(d.LastSeen) {
			continue
		}
		living = append(living, id)
		long(longTrace(d), d.LastSeen-int64(d.Age))
	}
	m.long = living
	return c
}

// age returns the milliseconds from first to last, as far as they fit.
func age(last, first int64) uint32 {
	return uint32(min(max(last-first, 0), math.MaxUint32))
}
