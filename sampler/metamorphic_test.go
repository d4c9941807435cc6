package sampler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"thresher/buffer"
)

const mixedPolicies = `
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
- {name: big, type: span_count, span_count: {min_spans: 6}}
- {name: some, type: probabilistic, probabilistic: {sampling_percentage: 20}}
- {name: vip, type: string_attribute, string_attribute: {key: user, values: [vip]}}
- {name: noise, type: drop, drop: {drop_sub_policy: [{name: p, type: string_attribute, string_attribute: {key: path, values: [/healthz]}}]}}
`

// randomLog makes a log with traces that overlap, end, come back late or after their decision is forgotten, and never end;
// with spans sent twice, timestamps that go back, damaged records and spans without ID.
func randomLog(t testing.TB, rnd *rand.Rand, records int) []logRecord {
	log := make([]logRecord, records)
	at := int64(1_000_000)
	next := 0
	var alive []string
	counts := map[string]int{}
	for i := range log {
		switch rnd.IntN(10) {
		case 0: // the same time again
		case 1:
			at += rnd.Int64N(20_000)
		default:
			at += rnd.Int64N(1500)
		}
		log[i].at = at
		if rnd.IntN(8) == 0 {
			log[i].at -= rnd.Int64N(5000)
		}
		var b strings.Builder
		for range rnd.IntN(12) {
			var name string
			if len(alive) == 0 || rnd.IntN(3) == 0 {
				next++
				name = fmt.Sprintf("t%cx", 'a'+next%26) + strings.Repeat("q", next/26)
				alive = append(alive, name)
			} else {
				name = alive[rnd.IntN(len(alive))]
				if len(alive) > 12 && rnd.IntN(4) != 0 {
					name = alive[len(alive)-1-rnd.IntN(6)] // the young ones are busy, the old ones come late
				}
			}
			n := counts[name] + 1
			if n > 1 && rnd.IntN(8) == 0 {
				n = 1 + rnd.IntN(n-1)
			} else {
				counts[name] = n
			}
			fmt.Fprintf(&b, "%s%d svc=s%d rv=%014x start=%d end=%d", name, n, n%3, xxhash.Sum64String(name)>>8, len(name), len(name)*(1+n%5))
			for _, w := range []struct {
				word string
				one  int
			}{{"root", 6}, {"error", 25}, {"user=vip", 40}, {"path=/healthz", 30}, {"noid", 60}} {
				if rnd.IntN(w.one) == 0 {
					fmt.Fprintf(&b, " %s", w.word)
				}
			}
			fmt.Fprintln(&b)
		}
		v, err := parseSpans(b.String())
		require.NoError(t, err)
		if rnd.IntN(40) == 0 && len(v) > 3 {
			v = v[:len(v)-2]
		}
		log[i].value = v
	}
	return log
}

// oddLog is a random log, in which for odd seeds clocks are wrong: they leap, fall back, take turns, are mended, or talk nonsense.
func oddLog(t testing.TB, rnd *rand.Rand, records int, seed uint64) []logRecord {
	log := randomLog(t, rnd, records)
	if seed%2 == 0 {
		return log
	}
	wrong, turns := int64(0), int64(0)
	for i := range log {
		switch rnd.IntN(25) {
		case 0:
			wrong = 0 // mended
		case 1:
			wrong = rnd.Int64N(4*3_600_000) - 2*3_600_000
		case 2:
			wrong = rnd.Int64N(60_000) - 30_000
		case 3:
			turns = rnd.Int64N(2) * rnd.Int64N(3_600_000)
		}
		log[i].at += wrong + turns*rnd.Int64N(2)
		if rnd.IntN(50) == 0 {
			log[i].at = rnd.Int64() - rnd.Int64()
		}
	}
	return log
}

// outcome is what a run told the backends: each decided trace with its spans, and every late span.
type outcome struct {
	traces map[DeliveredKey]string
	late   map[string]bool
}

func newOutcome() *outcome {
	return &outcome{traces: map[DeliveredKey]string{}, late: map[string]bool{}}
}

func (o *outcome) String() string {
	var lines []string
	for k, v := range o.traces {
		lines = append(lines, fmt.Sprintf("%s of %d: %s", traceName(k.ID), k.Offset, v))
	}
	for l := range o.late {
		lines = append(lines, "late "+l)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// delivered reports whether a span was in a delivered trace.
func (o *outcome) delivered(span string) bool {
	for _, v := range o.traces {
		if slices.Contains(strings.Fields(v), span) {
			return true
		}
	}
	return false
}

// driver runs a machine over a log and keeps what it delivers.
type driver struct {
	t       testing.TB
	m       *Machine
	log     []logRecord
	limits  Limits
	out     *outcome
	pending []uint64
	keys    map[uint64]DeliveredKey
}

// keyOf names a delivery.
func keyOf(d *Delivery) DeliveredKey {
	k := DeliveredKey{d.Offset, d.TraceID, Decided}
	switch {
	case d.Late && d.Kept:
		k.Kind = LateKept
	case d.Late:
		k.Kind = LateDropped
	}
	return k
}

func (d *driver) start(s Settings, c *Checkpoint) {
	var err error
	if c == nil {
		d.m, err = New(d.limits, s)
	} else {
		d.m, err = Restore(d.limits, s, c)
	}
	require.NoError(d.t, err)
	d.pending = nil
	d.keys = map[uint64]DeliveredKey{}
}

func (d *driver) record(i int) {
	_ = d.m.Record(Offset(i), d.log[i].at, d.log[i].value) // damaged ones are part of the log
	d.collect()
}

func (d *driver) collect() {
	spans := map[uint64][]string{}
	var order []Delivery
	for _, del := range d.m.Effects().Deliveries {
		payloads := [][]byte{del.Payload}
		if del.Offsets != nil {
			payloads = readAgain(d.t, d.m, &del, d.limits.MaxPayload, d.log)
		}
		d.keys[del.Seq] = keyOf(&del)
		if spans[del.Seq] == nil {
			order = append(order, del)
		}
		for _, p := range payloads {
			names, err := spanNames(p)
			require.NoError(d.t, err)
			spans[del.Seq] = append(spans[del.Seq], names...)
			d.pending = append(d.pending, del.Seq)
		}
	}
	d.m.Clear()
	for _, del := range order {
		names := spans[del.Seq]
		sort.Strings(names)
		if del.Late {
			for _, n := range names {
				d.out.late[n] = true
			}
			continue
		}
		k := keyOf(&del)
		text := fmt.Sprintf("%v by %s: %s", del.Kept, del.Policy, strings.Join(names, " "))
		if was, ok := d.out.traces[k]; ok {
			require.Equal(d.t, was, text, "a trace was delivered twice, and differently")
		}
		d.out.traces[k] = text
	}
}

func (d *driver) end() {
	d.m.Elapse(1 << 30)
	d.collect()
}

func reference(t testing.TB, limits Limits, s Settings, log []logRecord) *outcome {
	d := &driver{t: t, log: log, limits: limits, out: newOutcome()}
	d.start(s, nil)
	for i := range log {
		d.record(i)
	}
	d.end()
	return d.out
}

func mixed(t testing.TB) (Limits, Settings) {
	return Limits{LateWindow: 12_000},
		Settings{Plan: mustPlan(t, mixedPolicies), DecisionWait: 8000, RootWait: 1500, MaxTraceBytes: 900}
}

// sharedPolicies depend on other traces, each in another way.
const sharedPolicies = `
- {name: noise, type: drop, drop: {drop_sub_policy: [{name: p, type: string_attribute, string_attribute: {key: path, values: [/healthz]}}]}}
- {name: some, type: probabilistic, probabilistic: {sampling_percentage: 10}}
- name: few errors
  type: and
  and:
    and_sub_policy:
      - {name: error, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: limit, type: rate_limiting, rate_limiting: {spans_per_second: 1, burst_capacity: 20}}
- {name: kinds, type: diversity, diversity: {fingerprint: [service.name, user], traces: 2, period: 40s}}
- {name: shapes, type: diversity, diversity: {fingerprint: shape, period: 1m}}
- {name: spread, type: adaptive, adaptive: {keys: [service.name, user], traces_per_second: 0.2, adjustment_period: 10s}}
- {name: share, type: adaptive, adaptive: {keys: [service.name], sampling_percentage: 3, adjustment_period: 7s}}
- {name: slow, type: baseline_latency, baseline_latency: {keys: [service.name], quantile: 0.8, min_traces: 3, half_life: 50s}}
- name: split
  type: composite
  composite:
    max_total_spans_per_second: 2
    policy_order: [b, a]
    composite_sub_policy:
      - {name: a, type: span_count, span_count: {min_spans: 3}}
      - {name: b, type: and, and: {and_sub_policy: [{name: vip, type: string_attribute, string_attribute: {key: user, values: [vip]}},
          {name: bytes, type: bytes_limiting, bytes_limiting: {bytes_per_second: 100}}]}}
    rate_allocation: [{policy: b, percent: 30}]
`

// each runs a test for policies that look at one trace, and for those that depend on others too; and with too little memory for the traces
// that are open at once.
func each(t *testing.T, test func(*testing.T, Limits, Settings)) {
	rescue := `[{name: rescued, type: status_code, status_code: {status_codes: [ERROR]}}]`
	for name, text := range map[string]string{"single": mixedPolicies, "shared": sharedPolicies} {
		for memory, bytes := range map[string]int{"": 0, ", little memory": 6000} {
			t.Run(name+memory, func(t *testing.T) {
				t.Parallel()
				test(t, Limits{LateWindow: 12_000, OpenBytes: bytes},
					Settings{Plan: mustPlanWith(t, text, rescue), DecisionWait: 8000, RootWait: 1500, MaxTraceBytes: 1400})
			})
		}
	}
}

// TestFiringInPiecesChangesNothing: in however many pieces the runner takes what is due at once, the decisions are the same.
func TestFiringInPiecesChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, limits Limits, s Settings) {
		for seed := range uint64(30) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			log := oddLog(t, rnd, 120, seed)
			want := reference(t, limits, s, log)
			d := &driver{t: t, log: log, limits: limits, out: newOutcome()}
			d.start(s, nil)
			for i := range log {
				for rnd.IntN(4) > 0 && d.m.Fire(Offset(i), log[i].at, rnd.IntN(300)) {
					d.collect()
				}
				d.record(i)
			}
			d.end()
			require.Equal(t, want.String(), d.out.String(), "seed %d", seed)
		}
	})
}

// TestBudgetChangesNothing: giving payloads up and reading them again delivers the same, and so does cutting into parts.
func TestBudgetChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, limits Limits, s Settings) {
		for seed := range uint64(30) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			log := oddLog(t, rnd, 120, seed)
			want := reference(t, limits, s, log)
			tight := limits
			tight.BufferBytes, tight.MaxPayload = 1+rnd.IntN(8000), 1+rnd.IntN(600)
			require.Equal(t, want.String(), reference(t, tight, s, log).String(), "seed %d", seed)
		}
	})
}

// TestRestartAtEveryOffset stops the machine behind every record, restores it from the newest checkpoint and reads the log again from
// where the checkpoint says: all that was to be delivered has been, the same decisions came, and nothing that a checkpoint had
// as delivered was delivered again.
func TestRestartAtEveryOffset(t *testing.T) {
	each(t, func(t *testing.T, limits Limits, s Settings) {
		for seed := range uint64(6) {
			rnd := rand.New(rand.NewPCG(seed, 4))
			log := oddLog(t, rnd, 100, seed)
			want := reference(t, limits, s, log)
			for stop := 0; stop <= len(log); stop++ {
				run(t, fmt.Sprintf("seed %d, stop %d", seed, stop), limits, s, log, want, rand.New(rand.NewPCG(seed, uint64(stop))),
					func(at int) bool { return at == stop })
			}
		}
	})
}

// TestManyRestarts does it at random, many times in one log, with slow and with quick backends.
func TestManyRestarts(t *testing.T) {
	each(t, func(t *testing.T, limits Limits, s Settings) {
		for seed := range uint64(150) {
			rnd := rand.New(rand.NewPCG(seed, 5))
			log := oddLog(t, rnd, 150, seed)
			want := reference(t, limits, s, log)
			every := 2 + rnd.IntN(40)
			run(t, fmt.Sprintf("seed %d", seed), limits, s, log, want, rnd, func(int) bool { return rnd.IntN(every) == 0 })
		}
	})
}

// run reads a log, with backends that acknowledge at random, checkpoints now and then, and a crash wherever crash says.
func run(t *testing.T, name string, limits Limits, s Settings, log []logRecord, want *outcome, rnd *rand.Rand, crash func(at int) bool) {
	d := &driver{t: t, log: log, limits: limits, out: newOutcome()}
	d.start(s, nil)
	var stored []byte
	// What was acknowledged, and what of it before the stored checkpoint.
	acked, known := map[DeliveredKey]bool{}, map[DeliveredKey]bool{}
	ackOne, checkpointOne := 1+rnd.IntN(6), 1+rnd.IntN(10)
	crashes := 0
	for at := 0; at <= len(log); at++ {
		for len(d.pending) > 0 && rnd.IntN(ackOne) > 0 {
			i := rnd.IntN(len(d.pending))
			d.m.Ack(d.pending[i])
			acked[d.keys[d.pending[i]]] = true
			d.pending = append(d.pending[:i], d.pending[i+1:]...)
		}
		if rnd.IntN(checkpointOne) == 0 && !d.m.Rebuilding() {
			stored, _ = d.m.Checkpoint().MarshalBinary()
			known = maps.Clone(acked)
		}
		if crashes < 200 && crash(at) {
			crashes++
			acked = maps.Clone(known) // what was acknowledged since, nobody remembers
			var c *Checkpoint
			from := 0
			if stored != nil {
				c = &Checkpoint{}
				require.NoError(t, c.UnmarshalBinary(stored), name)
				from = int(c.ReplayFrom.Offset)
			}
			before := newOutcome()
			all := d.out
			d.out = before
			d.start(s, c)
			for i := from; i < at; i++ {
				d.record(i)
			}
			if c != nil {
				for k := range known {
					if _, again := before.traces[k]; again {
						t.Fatalf("%s: %s of %d was delivered again although it was acknowledged before the checkpoint", name, traceName(k.ID), k.Offset)
					}
				}
			}
			for k, v := range before.traces {
				all.traces[k] = v
			}
			for l := range before.late {
				all.late[l] = true
			}
			d.out = all
		}
		if at < len(log) {
			d.record(at)
		}
	}
	d.end()
	// What the spans of a long trace were is not in the checkpoint, so a late copy of one can come twice (docs/adr/002).
	for l := range d.out.late {
		if !want.late[l] && want.delivered(l) {
			delete(d.out.late, l)
		}
	}
	if w, got := want.String(), d.out.String(); w != got {
		t.Fatalf("%s: deliveries differ:\n%s", name, diff(w, got))
	}
}

func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for _, l := range w {
		if !slices.Contains(g, l) {
			fmt.Fprintf(&b, "- %s\n", l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			fmt.Fprintf(&b, "+ %s\n", l)
		}
	}
	return b.String()
}

// TestResumeNeverPassesWhatIsNotSettled compares the resume offset with the obvious computation.
func TestResumeNeverPassesWhatIsNotSettled(t *testing.T) {
	each(t, func(t *testing.T, limits Limits, s Settings) {
		for seed := range uint64(20) {
			rnd := rand.New(rand.NewPCG(seed, 6))
			log := oddLog(t, rnd, 150, seed)
			d := &driver{t: t, log: log, limits: limits, out: newOutcome()}
			d.start(s, nil)
			at := map[uint64]Offset{}
			for i := range log {
				_ = d.m.Record(Offset(i), log[i].at, log[i].value)
				for _, del := range d.m.Effects().Deliveries {
					at[del.Seq] = del.Offset
				}
				d.collect()
				for len(d.pending) > 0 && rnd.IntN(3) > 0 {
					k := rnd.IntN(len(d.pending))
					d.m.Ack(d.pending[k])
					d.pending = append(d.pending[:k], d.pending[k+1:]...)
				}
				least := Resume(i + 1)
				for _, seq := range d.pending {
					least = min(least, Resume(at[seq]))
				}
				for _, b := range d.m.deadlines.byTime {
					for ref := d.m.deadlines.buckets[b].head; ref != 0; {
						tr := d.m.traces.Trace(buffer.Ref(ref))
						least = min(least, Resume(tr.FirstOffset))
						ref = tr.Next
					}
				}
				require.Equal(t, least, d.m.Resume(), "seed %d, record %d", seed, i)
			}
		}
	})
}
