package policies

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// adaptive passes a goal's worth of traces and spreads it over keys, so that rare keys are seen and heavy ones are cut. The
// probability of a key for a period follows from what its traces weighed in the periods before, see emaRates.
type adaptive struct {
	keys     []string
	unit     string // what the goal counts: "" a share of traces, or traces, spans, bytes a second
	goal     float64
	settings emaSettings

	by   keyed
	plan *Plan
}

func readAdaptive(m *mapping) rule {
	r := &adaptive{settings: emaSettings{tick: Tick, weight: 0.5}}
	const example = "[service.name, http.route]"
	m.required("keys", example)
	r.keys = readKeys(m, "keys", example)
	goals := []string{"sampling_percentage", "traces_per_second", "spans_per_second", "bytes_per_second"}
	var first *yaml.Node
	for _, g := range goals {
		v, n := m.number(g)
		switch {
		case n == nil:
			continue
		case first != nil:
			m.p.errorf(n, m.sub(g), "is a second goal; write one of %s", joined(goals))
			continue
		case v <= 0 || g == goals[0] && v > 100:
			most := ""
			if g == goals[0] {
				most = " and at most 100"
			}
			m.p.errorf(n, m.sub(g), "must be above 0%s, but is %s", most, n.Value)
		}
		first = n
		r.goal, r.unit = v, map[string]string{goals[1]: "traces", goals[2]: "spans", goals[3]: "bytes"}[g]
	}
	if first == nil {
		m.p.errorf(m.at, m.path, "has no goal; write one of %s, such as %s: 5", joined(goals), goals[0])
	}
	s := &r.settings
	s.period = m.period("adjustment_period", 15_000)
	s.maxKeys = int(m.upTo("max_keys", 500, 20_000))
	if weight, n := m.number("weight"); n != nil {
		if weight <= 0 || weight > 1 {
			m.p.errorf(n, m.sub("weight"), "must be above 0 and at most 1, but is %s", n.Value)
		}
		s.weight = weight
	}
	if r.unit == "" {
		s.share = r.goal / 100
	} else {
		s.amount = r.goal * float64(s.period) / 1000 / float64(max(m.p.options.Partitions, 1))
		s.most = 2
	}
	return r
}

func (r *adaptive) text() string { return r.phrase(inPlural) }

func (r *adaptive) phrase(number func(int64, string) string) string {
	goal := strconv.FormatFloat(r.goal, 'f', -1, 64)
	switch {
	case r.unit == "":
		goal += " % of traces"
	case r.goal == 1:
		goal = number(1, strings.TrimSuffix(r.unit, "s")) + " a second"
	default:
		goal += " " + r.unit + " a second"
	}
	s := r.settings
	return fmt.Sprintf("%s, spread over %s (each %s, weight %g, at most %s)", goal, joinedKeys(r.keys), inWords(s.period), s.weight,
		number(int64(s.maxKeys), "kind"))
}

func (r *adaptive) compile(c *compiler) gate {
	r.plan, r.by = c.plan, c.keyed(r.keys)
	return c.valve(r, r.text()+strconv.FormatFloat(r.settings.amount, 'g', -1, 64), 0)
}

func (r *adaptive) newState() valveState {
	return &adaptiveState{adaptive: r, rates: newEMARates(r.settings)}
}

type adaptiveState struct {
	*adaptive
	rates  *emaRates
	claims []emaClaim // by trace
}

func (s *adaptiveState) settle(b *batch, v int) {
	s.claims = s.claims[:0]
	for i := range b.traces {
		t, k := &b.traces[i], b.stake(i, v)
		s.claims = append(s.claims, emaClaim{key: s.by.of(s.plan, t), weight: s.weight(t), part: k.share, counts: k.matters, moot: k.moot})
	}
	s.rates.settle(s.claims, b.now)
	for i := range s.claims {
		k := &b.stakes[i]
		limit := b.limitOf(k, s.claims[i].keep)
		if k.matters {
			b.set(i, v, isTrue(b.traces[i].Randomness >= limit), limit)
		} else {
			b.pass(i, v, limit)
			if k.moot {
				b.moot(i, v, b.limitOf(k, s.claims[i].mootKeep))
			}
		}
	}
}

// weight returns what a trace counts for the goal.
func (r *adaptive) weight(t *Trace) uint64 {
	switch r.unit {
	case "spans":
		return t.Spans
	case "bytes":
		return t.Bytes
	}
	return 1
}

func (s *adaptiveState) appendTo(b []byte) []byte { return s.rates.appendTo(b) }

func (s *adaptiveState) decode(d *stateDecoder) { s.rates.decode(d) }
