package sampler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// otherPolicies share some with sharedPolicies, which go on, and have some of the same names that mean something else.
const otherPolicies = `
- {name: vip, type: string_attribute, string_attribute: {key: user, values: [vip]}}
- name: few errors
  type: and
  and:
    and_sub_policy:
      - {name: error, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: limit, type: rate_limiting, rate_limiting: {spans_per_second: 1, burst_capacity: 20}}
- {name: kinds, type: diversity, diversity: {fingerprint: [service.name, user], traces: 2, period: 40s}}
- {name: spread, type: adaptive, adaptive: {keys: [service.name], traces_per_second: 0.4, adjustment_period: 8s}}
- {name: share, type: adaptive, adaptive: {keys: [service.name], sampling_percentage: 3, adjustment_period: 7s}}
- {name: rest, type: rate_limiting, rate_limiting: {spans_per_second: 2}}
`

// A change puts settings into force before the record at an offset.
type change struct {
	at int
	Settings
	window int64 // late window; 0: as before
}

// history is a log, and which settings were in force when.
type history struct {
	log     []logRecord
	changes []change // the first at 0
}

// inForce returns the settings for a record.
func (h *history) inForce(at int) (s Settings) {
	for _, c := range h.changes {
		if c.at <= at {
			s = c.Settings
		}
	}
	return s
}

// window returns the late window in force for a record.
func (h *history) window(at int, limits Limits) Limits {
	for _, c := range h.changes {
		if c.at <= at && c.window > 0 {
			limits.LateWindow = c.window
		}
	}
	return limits
}

// step reads the record at an offset, and changes the settings before if they change there.
func (h *history) step(d *driver, at int) {
	for _, c := range h.changes {
		if c.at == at && at > 0 {
			if c.window > 0 { // a process has one for its life; this is what one restart after the other does
				d.m.limits.LateWindow = c.window
			}
			require.NoError(d.t, d.m.SetPolicies(c.Settings))
		}
	}
	d.record(at)
}

func (h *history) undisturbed(t testing.TB, limits Limits) *outcome {
	d := &driver{t: t, log: h.log, limits: h.window(0, limits), out: newOutcome()}
	d.start(h.inForce(0), nil)
	for i := range h.log {
		h.step(d, i)
	}
	d.end()
	return d.out
}

// restarted reads the history with crashes behind random records. A machine that is restored gets the settings that were in force where
// reading begins, and the changes since at the places where they were.
func (h *history) restarted(t testing.TB, limits Limits, rnd *rand.Rand) *outcome {
	d := &driver{t: t, log: h.log, limits: limits, out: newOutcome()}
	d.start(h.inForce(0), nil)
	var stored []byte
	every, ackOne, checkpointOne := 2+rnd.IntN(40), 1+rnd.IntN(6), 1+rnd.IntN(10)
	all := d.out
	for at := range h.log {
		for len(d.pending) > 0 && rnd.IntN(ackOne) > 0 {
			i := rnd.IntN(len(d.pending))
			d.m.Ack(d.pending[i])
			d.pending = slices.Delete(d.pending, i, i+1)
		}
		if rnd.IntN(checkpointOne) == 0 && !d.m.Rebuilding() {
			stored, _ = d.m.Checkpoint().MarshalBinary()
		}
		if rnd.IntN(every) == 0 {
			var c *Checkpoint
			from := 0
			if stored != nil {
				c, from = h.readAgain(t, stored)
			}
			d.out = newOutcome()
			d.start(h.inForce(from), c)
			for i := from; i < at; i++ {
				if i == from {
					d.record(i)
				} else {
					h.step(d, i)
				}
			}
			all.take(t, d.out)
			d.out = all
		}
		h.step(d, at)
	}
	d.end()
	return d.out
}

// readAgain returns a stored checkpoint, and from which record on the log is read again.
func (h *history) readAgain(t testing.TB, stored []byte) (c *Checkpoint, from int) {
	c = &Checkpoint{}
	require.NoError(t, c.UnmarshalBinary(stored))
	return c, int(c.ReplayFrom.Offset)
}

// take adds what another machine delivered, which must be the same where both did. Who decided is forgotten of a trace that a
// checkpoint tells of, if it is restored with other policies than it was taken with.
func (o *outcome) take(t testing.TB, other *outcome) {
	for k, v := range other.traces {
		was, twice := o.traces[k]
		if twice && strings.Contains(v, " by : ") {
			kept, _, _ := strings.Cut(was, " by ")
			_, spans, _ := strings.Cut(was, ": ")
			require.Equal(t, kept+" by : "+spans, v, "%s of %d was decided twice, and differently", traceName(k.ID), k.Offset)
			continue
		}
		if twice {
			require.Equal(t, was, v, "%s of %d was decided twice, and differently", traceName(k.ID), k.Offset)
		}
		o.traces[k] = v
	}
	maps.Copy(o.late, other.late)
}

// TestRestartsAroundNewPolicies: policies change at run time, some go on and some do not, and the machine crashes at random. What it
// delivers is what it would have delivered without crashes.
func TestRestartsAroundNewPolicies(t *testing.T) {
	t.Parallel()
	limits := Limits{LateWindow: 12_000}
	rescue := `[{name: rescued, type: status_code, status_code: {status_codes: [ERROR]}}]`
	var sets []Settings
	for i, text := range []string{sharedPolicies, otherPolicies, mixedPolicies, mixedPolicies} {
		sets = append(sets, Settings{
			Plan: mustPlanWith(t, text, rescue), DecisionWait: []int64{8000, 3000, 11_000, 5000}[i], RootWait: []int64{1500, 0, 700, 1500}[i],
			MaxTraceBytes: []uint64{1400, 2000, 0, 900}[i],
		})
	}
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		h := history{log: oddLog(t, rnd, 150, seed), changes: []change{{0, sets[rnd.IntN(len(sets))], 0}}}
		for range 1 + rnd.IntN(3) {
			h.changes = append(h.changes, change{1 + rnd.IntN(len(h.log)-1), sets[rnd.IntN(len(sets))], 0})
		}
		slices.SortFunc(h.changes, func(a, b change) int { return a.at - b.at })
		compareHistories(t, &h, fmt.Sprintf("seed %d", seed), h.undisturbed(t, limits), h.restarted(t, limits, rnd))
	}
}

func compareHistories(t *testing.T, h *history, name string, want, got *outcome) {
	t.Helper()
	for l := range got.late { // a late copy can come twice (docs/adr/002)
		if !want.late[l] && want.delivered(l) {
			delete(got.late, l)
		}
	}
	if w, g := want.String(), got.String(); w != g {
		t.Fatalf("%s, changes at %v: deliveries differ:\n%s", name, places(h.changes), diff(w, g))
	}
}

// TestRestartsWithNewWaits: each restart brings other waits, windows and sizes, in quick succession. What is delivered is what one machine delivers
// whose settings change at these places: no late span is lost, and no trace decided by rules that were not those of its time.
func TestRestartsWithNewWaits(t *testing.T) {
	t.Parallel()
	limits := Limits{LateWindow: 12_000}
	for _, text := range []string{mixedPolicies, sharedPolicies} {
		plan := mustPlan(t, text)
		for seed := range uint64(100) {
			rnd := rand.New(rand.NewPCG(seed, 17))
			settings := func() Settings {
				return Settings{
					Plan: plan, DecisionWait: 1 + rnd.Int64N(12_000), RootWait: rnd.Int64N(3000) * rnd.Int64N(2), MaxTraceBytes: rnd.Uint64N(3000) * rnd.Uint64N(2),
				}
			}
			window := func() int64 { return 12_000 + rnd.Int64N(20_000)*rnd.Int64N(2) }
			h := history{log: oddLog(t, rnd, 150, seed), changes: []change{{0, settings(), window()}}}
			for at := rnd.IntN(40); at < len(h.log); at += 1 + rnd.IntN(40) {
				h.changes = append(h.changes, change{at + 1, settings(), window()})
			}
			compareHistories(t, &h, fmt.Sprintf("%s\nseed %d", text, seed), h.undisturbed(t, limits), h.restartedByChange(t, limits, rnd))
		}
	}
}

// restartedByChange reads the history with a restart at each change of the settings.
func (h *history) restartedByChange(t testing.TB, limits Limits, rnd *rand.Rand) *outcome {
	d := &driver{t: t, log: h.log, limits: h.window(0, limits), out: newOutcome()}
	d.start(h.inForce(0), nil)
	all, ackOne := d.out, 1+rnd.IntN(6)
	for at := range h.log {
		for len(d.pending) > 0 && rnd.IntN(ackOne) > 0 {
			i := rnd.IntN(len(d.pending))
			d.m.Ack(d.pending[i])
			d.pending = slices.Delete(d.pending, i, i+1)
		}
		if at > 0 && slices.ContainsFunc(h.changes, func(c change) bool { return c.at == at }) {
			stored, _ := d.m.Checkpoint().MarshalBinary()
			c, from := h.readAgain(t, stored)
			d.out, d.limits = newOutcome(), h.window(at, limits)
			d.start(h.inForce(at), c)
			for i := from; i < at; i++ {
				d.record(i)
			}
			all.take(t, d.out)
			d.out = all
		}
		d.record(at)
	}
	d.end()
	return d.out
}

func places(changes []change) (at []string) {
	for _, c := range changes {
		at = append(at, fmt.Sprintf("%d: %x", c.at, c.Plan.Fingerprint()))
	}
	return at
}

// TestStateIsLeftBehind: when policies that know of other traces are gone, a restart need not read the log from when they were there.
func TestStateIsLeftBehind(t *testing.T) {
	shared := Settings{Plan: mustPlan(t, sharedPolicies), DecisionWait: 8000}
	single := Settings{Plan: mustPlan(t, mixedPolicies), DecisionWait: 8000}
	m, err := New(Limits{LateWindow: 12_000}, shared)
	require.NoError(t, err)
	for i := range 600 {
		if i == 100 {
			require.NotEmpty(t, m.Checkpoint().State)
			require.NoError(t, m.SetPolicies(single))
		}
		at := int64(1_000_000 + i*1000)
		require.NoError(t, m.Record(Offset(i), at, spans(t, "t"+strings.Repeat("x", i%26)+string(rune('a'+i/26))+"1")))
		took(t, m)
	}
	c := m.Checkpoint()
	require.Empty(t, c.State)
	require.Greater(t, c.ReplayFrom.Time, int64(1_500_000))
}
