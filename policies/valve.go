package policies

import (
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Tick is the step, in milliseconds of partition time, in which traces are decided when a policy depends on other
// traces: the traces of a tick are decided together and compete by their randomness, not by who came first.
const Tick = 1000

// A valve is a gate whose answer depends on other traces: those of the same tick, and by its state all before. Valves
// are settled one after the other, each for all traces of a tick.
type valve struct {
	id     uint64 // of what it means, to find its state again in a checkpoint
	policy int    // index of the policy in the list it is in

	// later says what the valves after this one are taken to answer while it is settled: what makes this one matter most. Of a valve that
	// ranks it also says it of those before that do.
	// Within an and that is what opens their policies, otherwise what closes them, since what another policy might keep is nothing to
	// save on.
	later []answer
	// shut is what the valve answers a trace that it does not matter to: what closes its policy.
	shut answer

	// alone is set if nothing else in its policy goes by chance, and it need not know who is kept without it: then a trace that
	// does not pass the rest of the policy has nothing at stake, whatever its randomness.
	alone bool
	// guards are conditions without chance beside the valve in an and: it has no say if one is not met.
	guards []gate
	// ranks is set if the valve goes by the order of randomness: what it answers one trace hangs on how random others are.
	ranks bool
	// least makes the valve go by how little random a trace is, see compiler.least.
	least bool

	path  []scope
	owner int // the composite that this valve is the throttle of; 0: none

	share stateful
}

// stateful is a rule with a valve.
type stateful interface {
	// newState returns the state that the valve begins with.
	newState() valveState
}

// A valveState is the state of a valve, and decides for it.
type valveState interface {
	// settle answers for all traces of the batch that it matters to, and moves the state on. The limits that it foresees must hang on
	// no trace's randomness or hashes, and the limit of a trace not on its own: see exposure.
	settle(b *batch, valve int)
	// appendTo appends the state to b; the same state gives the same bytes.
	appendTo(b []byte) []byte
	// decode replaces the state by what appendTo wrote.
	decode(d *stateDecoder)
}

// A scope is a rule with policies within, on the way from the list to a valve.
type scope struct {
	node  int
	open  bool // policies behind are taken to be open
	flips bool // it is a not
	drops bool // it is a drop policy
	at    int  // the place of the policy within that leads to the valve, in a composite
}

// enter notes that the rules compiled until the returned function is called stand within one.
func (c *compiler) enter(s scope) (leave func()) {
	c.nodes++
	s.node = c.nodes
	c.path = append(c.path, s)
	return func() { c.path = c.path[:len(c.path)-1] }
}

// least reports whether what is compiled stands within an odd number of not and drop policies. What it passes is not kept then, and
// it must pass the least random traces: what is kept is always what is random enough, or nobody could tell by the randomness and a
// threshold what was kept.
func (c *compiler) least() bool {
	least := false
	for _, s := range c.path {
		least = least != (s.flips || s.drops)
	}
	return least
}

// answerIf returns what a valve must answer to open, or close, the policies around it as far as the path goes.
func answerIf(open bool, path []scope) answer {
	for _, s := range path {
		open = open != s.flips
	}
	return isTrue(open)
}

// valve makes a valve for a rule.
func (c *compiler) valve(r stateful, text string, owner int) valveGate {
	no := len(c.valves)
	c.random = true
	_, ranks := r.(*diversity)
	v := valve{policy: c.policy, path: slices.Clone(c.path), ranks: ranks, least: c.least(), owner: owner, share: r}
	name := strconv.AppendInt([]byte(c.name), int64(no-c.firstValve), 10)
	v.id = xxhash.Sum64(append(name, text...))
	c.valves = append(c.valves, v)
	return valveGate(no)
}

// unasked returns the answer to a trace that the valve does not matter to, and the limit that goes with it.
func (v *valve) unasked() (answer, uint64) {
	if v.shut == yes {
		return yes, 0
	}
	return no, Never
}

// finishValves fills in what the valves assume of each other. A drop policy matters to what others keep, so its valves take theirs to
// be open, but not those of force policies, which keep what it drops; these take its own to be open.
func (c *compiler) finishValves(isDrop, isForce []bool) {
	for i := range c.valves {
		v := &c.valves[i]
		v.shut = answerIf(false, v.path)
		v.later = make([]answer, len(c.valves))
		for j := range c.valves {
			w := &c.valves[j]
			if isAsked := j > i || j < i && v.ranks && w.ranks; !isAsked {
				continue
			}
			k := 0 // where the ways part
			for k+1 < len(v.path) && k+1 < len(w.path) && v.path[k+1].node == w.path[k+1].node {
				k++
			}
			open := v.path[k].open || v.path[k].node == w.owner
			switch {
			case isDrop[v.policy]:
				open = open || !isDrop[w.policy] && !isForce[w.policy]
			case isForce[v.policy]:
				open = open || isDrop[w.policy]
			}
			v.later[j] = answerIf(open, w.path[k+1:])
		}
	}
}

// valveGate is the gate of the valve with this number.
type valveGate int

func (g valveGate) open(e *evaluation) answer {
	if int(g) < e.byLimits {
		return isTrue(e.random(e.plan.valves[g].least) >= e.limits[g])
	}
	if e.asked == int(g) {
		e.wasAsked = true
	}
	return e.answers[g]
}
