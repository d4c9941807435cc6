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
// fingerprint: the values of keys, or the trace's shape. Traces that other policies
// keep count as well, but for what other policies of this type keep, see batch.closeRanks.
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
	r.traces = m.upTo("traces", r.traces, 1_000_000)
	r.most = m.upTo("max_fingerprints", r.most, 100_000)
	r.period = m.period("period", r.period)
	r.perPartition = leastFor(r.traces, m.p.options.Partitions)
	return r
}

// leastFor returns how many traces of a kind a partition has to pass for all partitions together to pass as many as wanted, but
// for one case in a thousand, or all if there are not more: traces come to partitions by chance, so a few more than the share. It
// is hardest if there are exactly as many as wanted. Then the number in a partition is binomial.
func leastFor(traces int64, partitions int) int {
	share := float64(traces) / float64(max(partitions, 1))
	switch {
	case partitions <= 1:
		return int(min(traces, math.MaxInt32))
	case share > 200: // nearly normal, and what follows would be too small for a number
		return int(min(math.Ceil(share+float64(5*math.Sqrt(share))), float64(traces), math.MaxInt32))
	}
	const odds = 0.001
	one := 1 / float64(partitions)
	p := 1.0 // of this many in the partition
	for range traces {
		p *= 1 - one
	}
	n, more := int64(0), 1-p // the odds of more
	for n < traces && float64(more*float64(partitions)) > odds {
		p *= float64(float64(traces-n)/float64(n+1)) * (one / (1 - one))
		more -= p
		n++
	}
	return int(max(n, 1))
}

// positive returns a field that holds a whole number above 0, or the default if it is absent.
func (m *mapping) positive(key string, byDefault int64) int64 {
	v, n := m.whole(key)
	if n == nil {
		return byDefault
	}
	if v == 0 {
		m.p.errorf(n, m.sub(key), "is 0; write at least 1")
		return byDefault
	}
	return v
}

// upTo returns a field that holds a whole number above 0 and not above most, or the default if it is absent. What policies remember
// is in each checkpoint, so there is a limit.
func (m *mapping) upTo(key string, byDefault, most int64) int64 {
	v := m.positive(key, byDefault)
	if v > most {
		_, n := m.whole(key)
		m.p.errorf(n, m.sub(key), "is %d; at most %d can be remembered", v, most)
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

func (r *diversity) text() string { return r.phrase(inPlural) }

func (r *diversity) phrase(number func(int64, string) string) string {
	by := "shape"
	if r.keys != nil {
		by = joinedKeys(r.keys)
	}
	first := "among the first " + number(r.traces, "trace")
	if number(r.traces, "trace") == "1 trace" {
		first = "the first trace"
	}
	return fmt.Sprintf("%s of the same %s in %s (%d in a partition), at most %s", first, by,
		inWords(r.period), r.perPartition, number(r.most, "kind"))
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

// diversityState is how many traces of each kind were kept in a period.
type diversityState struct {
	rule   *diversity
	period int64 // number of the period
	passed map[uint64]int
	claims []kindClaim
	room   []shapeSpan
}

type kindClaim struct {
	kind, randomness uint64
	trace            int
	rank             claimRank
}

// A claimRank tells for what a trace stands among those of its kind.
type claimRank uint8

const (
	keptAnyway claimRank = iota // takes a place, but needs none
	competing
	aside // is not kept, whatever the answer
)

func (s *diversityState) settle(b *batch, v int) {
	if p := b.now / s.rule.period; p != s.period {
		s.period = p
		clear(s.passed)
	}
	s.claims = s.claims[:0]
	for i := range b.traces {
		t, rank := &b.traces[i], aside
		if k := b.stake(i, v); k.matters {
			rank = competing
		} else if k.kept {
			rank = keptAnyway
		}
		s.claims = append(s.claims, kindClaim{s.kind(t), t.Randomness, i, rank})
	}
	slices.SortFunc(s.claims, func(a, b kindClaim) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.rank, b.rank), cmp.Compare(b.randomness, a.randomness),
			cmp.Compare(a.trace, b.trace))
	})
	kinds := int64(len(s.passed))
	for rest := s.claims; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].kind == rest[0].kind {
			n++
		}
		claims := rest[:n]
		rest = rest[n:]
		chance := s.chanceOf(b, claims)
		if chance == (kindChance{}) {
			continue // whatever comes, none is kept
		}
		passed, known := s.passed[claims[0].kind]
		if !known && kinds >= s.rule.most {
			for _, c := range claims {
				b.set(c.trace, v, no, Never)
			}
			continue
		}
		if !known {
			kinds++
		}
		s.settleKind(b, v, claims, passed)
		s.foresee(b, v, claims, passed, chance)
	}
}

// A kindChance is how many traces of a kind compete on average, and how many are kept without a place, in parts.
type kindChance struct{ competing, kept uint64 }

func (s *diversityState) chanceOf(b *batch, claims []kindClaim) (c kindChance) {
	for i := range claims {
		k := &b.stakes[claims[i].trace]
		c.competing += k.share
		c.kept += k.keptShare
	}
	return c
}

// foresee notes what other valves take to be the limits: as if each had the same chance of a place.
func (s *diversityState) foresee(b *batch, v int, claims []kindClaim, passed int, c kindChance) {
	free := max(int64(s.rule.perPartition-passed)*certain-int64(c.kept), 0)
	share := 1.0
	if uint64(free) < c.competing {
		share = float64(free) / float64(c.competing)
	}
	for i := range claims {
		t := claims[i].trace
		b.foresee(t, v, b.limitOf(&b.stakes[t], share))
	}
}

// settleKind decides for the traces of one kind. The most random of those that compete get the free places; of traces as random as
// each other, all or none. The limit of each is what it would be whatever its own randomness, and whatever its rank: it may owe that to
// its ID too.
func (s *diversityState) settleKind(b *batch, v int, claims []kindClaim, passed int) {
	var ranks [3]int
	for _, c := range claims {
		ranks[c.rank]++
	}
	kept := ranks[keptAnyway]
	rivals := claims[kept : kept+ranks[competing]]
	free := s.rule.perPartition - passed - kept
	granted := 0
	for i, c := range claims {
		free, last := free, free-1 // of the rivals, the last that has a place
		switch {
		case c.rank == keptAnyway:
			free, last = free+1, last+1
		case c.rank == competing && i-kept < free:
			last++ // one of the places before it is its own
		}
		limit := uint64(0)
		switch {
		case free <= 0:
			limit = Never
		case last < len(rivals):
			limit = rivals[last].randomness + 1
		}
		if c.rank != competing {
			b.pass(c.trace, v, limit)
			continue
		}
		passes := c.randomness >= limit
		if passes {
			granted++
		}
		b.set(c.trace, v, isTrue(passes), limit)
	}
	if n := passed + kept + granted; n > 0 {
		s.passed[claims[0].kind] = min(n, s.rule.perPartition)
	}
}

func (s *diversityState) kind(t *Trace) (kind uint64) {
	if s.rule.keys == nil {
		kind, s.room = shapeOf(t.Shape, s.room)
		return kind
	}
	return s.rule.by.of(s.rule.plan, t)
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
