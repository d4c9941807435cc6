package sampler

import (
	"thresher/buffer"
	"thresher/policies"
)

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

// SetPolicies makes traces whose first span comes from now on be decided by s. The runner applies it between two records.
func (m *Machine) SetPolicies(s Settings) error {
	if err := s.validate(&m.limits); err != nil {
		return err
	}
	m.settings = s
	m.follow(m.next)
	if len(m.rules.pending) == 0 {
		m.swap(s.rules(&m.limits, m.next))
		return nil
	}
	// What begins before the place that reading had reached before a restart is decided by the rules of then.
	m.swap(m.rules.active())
	m.rules.end(s.rules(&m.limits, m.until))
	return nil
}

// follow lets rules of before a restart come into force again, up to those for a place.
func (m *Machine) follow(at Resume) {
	for len(m.rules.pending) > 0 && m.rules.pending[0].From <= at {
		r := m.rules.pending[0]
		m.rules.pending = m.rules.pending[1:]
		m.swap(r)
	}
}

// swap lets traces that begin from now on be decided by the settings of the machine under rules.
func (m *Machine) swap(r Rules) {
	old := m.active
	m.use(r)
	if m.active.Plan.Stateful() {
		m.snapshots.into(m.active, old, m.now())
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
	m.rules.begin(r, m.now())
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
	m.waits.begin(m.maxWait, m.now())
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

// fresh returns the places that policies have in the statistics of a new machine, 0 for one that is not of the set.
func (s *policySet) fresh(all []PolicyStats) []uint32 {
	places := map[string]uint32{"": 0}
	for _, names := range [][]string{s.names, s.Plan.RescueNames()} {
		for _, n := range names {
			if _, seen := places[n]; !seen {
				places[n] = uint32(len(places))
			}
		}
	}
	numbers := make([]uint32, len(all))
	for i := range all {
		numbers[i] = places[all[i].Name]
	}
	return numbers
}

// deadline returns when a trace of the set is decided that may wait until t.
func (s *policySet) deadline(t int64) int64 {
	if over := t % s.tick; over != 0 {
		t += s.tick - over
	}
	return t
}
