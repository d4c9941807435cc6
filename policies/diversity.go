package policies

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"go.yaml.in/yaml/v3"
)

// diversity passes the first traces of each kind in each period, so that whatever occurs is seen. What a kind is tells a
// fingerprint: the values of keys, or the trace's shape. Traces that other policies keep count as well.
type diversity struct {
	keys   []string // nil: by shape
	traces int64
	period int64 // milliseconds
	most   int64 // kinds in a period and partition; beyond it nothing is passed

	perPartition int
	by           keyed
	plan         *Plan
}

const shapeWord = "shape"

func readDiversity(m *mapping) rule {
	r := &diversity{traces: 1, period: 600_000, most: 2_000}
	const example = "[service.name, http.route]"
	m.required("fingerprint", example)
	if f := m.get("fingerprint"); f != nil {
		switch n := deref(f.value); {
		case n.Kind != yaml.ScalarNode:
			r.keys = readKeys(m, "fingerprint", example)
		case n.Value != shapeWord:
			m.p.errorf(n, m.sub("fingerprint"), "must be a list of attribute keys such as %s, or shape, not %s", example, describe(n))
		}
	}
	r.traces = m.positive("traces", r.traces)
	r.most = m.positive("max_fingerprints", r.most)
	r.period = m.period("period", r.period)
	r.perPartition = leastFor(r.traces, m.p.options.Partitions)
	return r
}

// leastFor returns how many traces of a kind a partition has to pass for all partitions together to pass as many as wanted, but
// for one case in a thousand, or all if there are not more: traces come to partitions by chance, so a few more than the share.
func leastFor(traces int64, partitions int) int {
	share := float64(traces) / float64(max(partitions, 1))
	return int(min(traces, int64(math.Ceil(share+float64(3*math.Sqrt(share)))+1)))
}

// positive returns a field that holds a whole number above 0, or the default if it is absent.
func (m *mapping) positive(key string, byDefault int64) int64 {
	v, n := m.whole(key)
	if n == nil {
		return byDefault
	}
	if v == 0 {
		m.p.errorf(n, m.sub(key), "is 0; write at least 1, or remove it for %d", byDefault)
		return byDefault
	}
	return v
}

// period returns a field that holds a duration of at least a tick, or the default if it is absent.
func (m *mapping) period(key string, byDefault int64) int64 {
	v, n := m.duration(key)
	if n == nil {
		return byDefault
	}
	if v < Tick || v%Tick != 0 {
		m.p.errorf(n, m.sub(key), "%s is not a number of whole seconds above 0; write such as %s", n.Value, inWords(byDefault))
		return byDefault
	}
	return v
}

func (r *diversity) text() string {
	by := "shape"
	if r.keys != nil {
		by = joinedKeys(r.keys)
	}
	return fmt.Sprintf("among the first %d traces of the same %s in %s (%d in a partition), at most %d kinds", r.traces, by,
		inWords(r.period), r.perPartition, r.most)
}

func (r *diversity) compile(c *compiler) gate {
	r.plan = c.plan
	if r.keys != nil {
		r.by = c.keyed(r.keys)
	} else {
		c.plan.shapes = true
		c.plan.service = c.keyed([]string{"service.name"})[0]
	}
	return c.valve(r, r.text(), 0)
}

func (r *diversity) newState() valveState { return &diversityState{rule: r, passed: map[uint64]int{}} }

func (r *diversity) kind(t *Trace) uint64 {
	if r.keys == nil {
		return shapeOf(t.Shape)
	}
	return r.by.of(r.plan, t)
}

// diversityState is how many traces of each kind were kept in a period.
type diversityState struct {
	rule   *diversity
	period int64 // number of the period
	passed map[uint64]int
	claims []kindClaim
}

type kindClaim struct {
	kind, randomness uint64
	trace            int
	stake            stake
}

func (s *diversityState) settle(b *batch, v int) {
	if p := b.now / s.rule.period; p != s.period {
		s.period = p
		clear(s.passed)
	}
	s.claims = s.claims[:0]
	for i := range b.traces {
		k := b.stake(i, v)
		if t := &b.traces[i]; k.matters || k.kept {
			s.claims = append(s.claims, kindClaim{s.rule.kind(t), t.Randomness, i, k})
		}
	}
	// Kinds in order, what is kept anyway before what needs this policy, then the largest randomness first.
	slices.SortFunc(s.claims, func(a, b kindClaim) int {
		kept := 0
		if a.stake.kept != b.stake.kept {
			kept = 1
			if a.stake.kept {
				kept = -1
			}
		}
		return cmp.Or(cmp.Compare(a.kind, b.kind), kept, cmp.Compare(b.randomness, a.randomness), cmp.Compare(a.trace, b.trace))
	})
	for rest := s.claims; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].kind == rest[0].kind {
			n++
		}
		s.settleKind(b, v, rest[:n])
		rest = rest[n:]
	}
}

// settleKind decides for the traces of one kind.
func (s *diversityState) settleKind(b *batch, v int, claims []kindClaim) {
	kind := claims[0].kind
	passed, known := s.passed[kind]
	if !known && int64(len(s.passed)) >= s.rule.most {
		for _, c := range claims {
			if c.stake.matters {
				b.set(c.trace, v, no, Never)
			}
		}
		return
	}
	kept := 0
	for kept < len(claims) && claims[kept].stake.kept {
		kept++
	}
	room := max(s.rule.perPartition-passed-kept, 0)
	competing := claims[kept:]
	granted := min(room, len(competing))
	limit := uint64(0)
	if granted < len(competing) {
		limit = competing[granted].randomness + 1
		for granted > 0 && competing[granted-1].randomness < limit { // as random as the first that is not granted
			granted--
		}
	}
	for i, c := range competing {
		b.set(c.trace, v, isTrue(i < granted), limit)
	}
	// A trace that is kept anyway would have taken a place if it were not: one more then was free for it.
	for _, c := range claims[:kept] {
		free := s.rule.perPartition - passed - kept + 1
		own := uint64(Never)
		if free > 0 {
			own = 0
			if free-1 < len(competing) {
				own = competing[free-1].randomness + 1
			}
		}
		b.pass(c.trace, v, own)
	}
	if n := passed + kept + granted; n > 0 {
		s.passed[kind] = min(n, s.rule.perPartition)
	}
}

func (s *diversityState) appendTo(b []byte) []byte {
	b = binary.AppendVarint(b, s.period)
	kinds := make([]uint64, 0, len(s.passed))
	for k := range s.passed {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	b = binary.AppendUvarint(b, uint64(len(kinds)))
	for _, k := range kinds {
		b = binary.LittleEndian.AppendUint64(b, k)
		b = binary.AppendUvarint(b, uint64(s.passed[k]))
	}
	return b
}

func (s *diversityState) decode(d *stateDecoder) {
	s.period = d.varint()
	s.passed = map[uint64]int{}
	for n := d.count(9); n > 0; n-- {
		k := d.uint64()
		s.passed[k] = int(d.uvarint())
	}
}
