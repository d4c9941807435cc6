//go:build !race

package policies

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A chanceWriter writes lists of policies that hang on chance and on each other.
type chanceWriter struct{ rnd *rand.Rand }

func (w chanceWriter) list() string {
	var list []string
	for range 1 + w.rnd.IntN(5) {
		list = append(list, w.top())
	}
	return policyList(list...)
}

func (w chanceWriter) top() string {
	switch w.rnd.IntN(12) {
	case 0, 1:
		return statWithin("drop", w.policy(1), w.policy(1))
	case 2:
		return "force, force: {until: 2099-01-01T00:00:00Z, force_sub_policy: [{name: w, type: " + w.policy(1) + "}]}"
	}
	return w.policy(0)
}

func (w chanceWriter) policy(depth int) string {
	n := 13
	if depth > 2 {
		n = 9
	}
	switch w.rnd.IntN(n) {
	case 0:
		return statErrors
	case 1:
		return statSlow
	case 2:
		return fmt.Sprintf("probabilistic, probabilistic: {sampling_percentage: %g, hash_salt: s%d}", w.percent(), w.rnd.IntN(2))
	case 3:
		return fmt.Sprintf("rate_limiting, rate_limiting: {spans_per_second: %d}", 1+w.rnd.IntN(60))
	case 4:
		return fmt.Sprintf("bytes_limiting, bytes_limiting: {bytes_per_second: %d}", 1+w.rnd.IntN(20_000))
	case 5:
		return fmt.Sprintf("adaptive, adaptive: {keys: [http.route], traces_per_second: %d}", 1+w.rnd.IntN(5))
	case 6:
		return fmt.Sprintf("adaptive, adaptive: {keys: [http.route], sampling_percentage: %d, max_keys: %d}", 1+w.rnd.IntN(30), 1+w.rnd.IntN(9))
	case 7:
		return fmt.Sprintf("diversity, diversity: {fingerprint: [http.route], traces: %d, period: 20s, max_fingerprints: %d}",
			1+w.rnd.IntN(5), 1+w.rnd.IntN(20))
	case 8:
		return statBaseline
	case 9:
		return statNot(w.policy(depth + 1))
	case 10:
		return statWithin("or", w.policy(depth+1), w.policy(depth+1))
	case 11:
		return statWithin("and", w.policy(depth+1), w.policy(depth+1))
	default:
		return statComposite(1+w.rnd.IntN(80), w.policy(depth+1), w.policy(depth+1), w.policy(depth+1))
	}
}

func (w chanceWriter) percent() float64 {
	switch w.rnd.IntN(20) {
	case 0:
		return 0
	case 1:
		return 100
	case 2:
		return 1e-9
	}
	return float64(1 + w.rnd.IntN(60))
}

// A chanceCase is a matcher that has decided for a while, and the traces of its next tick.
type chanceCase struct {
	text   string
	plan   *Plan
	state  []byte
	traces []Trace
	now    int64
}

func newChanceCase(t *testing.T, seed uint64) *chanceCase {
	rnd := rand.New(rand.NewPCG(seed, 99))
	c := &chanceCase{text: chanceWriter{rnd}.list()}
	f := newFleet(t, c.text, Options{FirstMatch: rnd.IntN(4) == 0})
	c.plan = f.plan
	crowd := newCrowd(c.plan, seed)
	crowd.explicit = 0.3
	var out []fate
	for tick := range int64(25) {
		c.now = statEpoch + tick*1000
		list, _ := crowd.visits(zipf(12, 12), 1)
		for i := range list {
			if list[i].Explicit && rnd.IntN(2) == 0 {
				list[i].Head = rnd.Uint64N(Never / 2)
				list[i].Randomness = list[i].Head + rnd.Uint64N(Never-list[i].Head)
			}
			list[i].Due = c.now
		}
		c.traces, c.state = slices.Clone(list), f.matchers[0].AppendState(nil)
		out = f.tick(c.now, list, out)
	}
	return c
}

// decidesAbout reports whether a valve of the last Settle decides about trace i with any randomness or hash.
func (m *Matcher) decidesAbout(i, v int) bool {
	b := &m.batch
	if m.plan.valves[v].least {
		b.turn()
		defer b.turn()
	}
	return b.stake(i, v).share > 0
}

// limits settles the tick, and returns the limits of each trace.
func (c *chanceCase) limits(t *testing.T) (*Matcher, [][]uint64) {
	t.Helper()
	m := c.plan.NewMatcher()
	require.NoError(t, m.SetState(c.state))
	m.Settle(c.traces)
	n := len(c.plan.valves)
	var all [][]uint64
	for i := range c.traces {
		own := slices.Clone(m.batch.limits[i*n : i*n+n])
		decides := false
		for v := range own {
			spec := &c.plan.valves[v]
			switch spec.share.(type) {
			case *baselineLatency:
				decides = true // no chance
			case lane:
			default:
				decides = m.decidesAbout(i, v)
			}
			// What counts are those of the lanes of a composite, and not if the valve can never decide about the trace.
			if spec.owner != 0 || !decides {
				own[v] = 0
			}
		}
		all = append(all, own)
	}
	return m, all
}

// What makes sums of 1/probability right, whatever the list is:
//
//   - The limits of a trace do not hang on its own randomness and hashes. If they did, the probability that follows from them would be
//     another for each, and what is kept would not stand for what is not.
//   - The verdict is the one that follows from the limits.
func TestLimitsOfATraceAreNotItsOwnLuck(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		c := newChanceCase(t, seed)
		if len(c.plan.valves) == 0 || len(c.traces) == 0 {
			continue
		}
		rnd := rand.New(rand.NewPCG(seed, 100))
		m, want := c.limits(t)
		checkByLimits(t, c, m)
		for range 12 {
			i := rnd.IntN(len(c.traces))
			was := c.traces[i]
			luck := &c.traces[i]
			binary.BigEndian.PutUint64(luck.ID[8:], rnd.Uint64())
			switch {
			case !luck.Explicit:
				luck.Randomness = Randomness(luck.ID)
			default:
				luck.Randomness = luck.Head + rnd.Uint64N(Never-luck.Head)
			}
			_, got := c.limits(t)
			if !slices.Equal(want[i], got[i]) {
				t.Fatalf("seed %d, first match %v\n%strace %d of %d, randomness %#x: limits %#x\nrandomness %#x: limits %#x", seed, c.plan.firstMatch, c.text,
					i, len(c.traces), was.Randomness, want[i], luck.Randomness, got[i])
			}
			*luck = was
		}
	}
}

func checkByLimits(t *testing.T, c *chanceCase, m *Matcher) {
	t.Helper()
	var v Verdict
	for i := range c.traces {
		m.DecideSettled(i, &v)
		e := m.batch.load(i)
		e.byLimits = len(c.plan.valves)
		keeps := e.keeps(len(c.plan.policies) - 1)
		e.byLimits = 0
		if keeps != v.Keep {
			t.Fatalf("%strace %d: kept %v, by limits %v", c.text, i, v.Keep, keeps)
		}
		if v.Keep && !(v.Probability > 0 && v.Probability <= 1) {
			t.Fatalf("%strace %d: probability %v", c.text, i, v.Probability)
		}
	}
}
