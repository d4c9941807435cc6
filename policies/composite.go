package policies

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"thresher/internal/suggest"
)

// composite passes traces that policies within pass, each up to its share of a number of spans a second, in their order: a trace
// for which one has no room left is offered to the next that it passes. All together do not exceed the number.
//
// In the Collector the first policy that a trace passes decides, full or not, in the order of the list whatever policy_order
// says, and the sum of the shares can exceed the number.
type composite struct {
	within     []Policy
	order      []int     // of the policies within
	allocated  []float64 // spans a second, of all partitions, by policy within
	total      float64   // spans a second, of all partitions
	burst      float64
	partitions int
	strict     bool
}

// mostWithin is the number of policies in a composite: which of them a trace passes is a word.
const mostWithin = 64

func readComposite(m *mapping) rule {
	r := &composite{partitions: max(m.p.options.Partitions, 1), strict: m.p.options.Strict}
	r.total = m.rate("max_total_spans_per_second", "1000")
	r.burst = r.total // of a second, as the Collector
	if f := m.get("burst_capacity"); f != nil && r.strict {
		m.p.errorf(f.key, m.sub("burst_capacity"), "the Collector's composite has none; remove it, or compat: strict")
	} else if !r.strict {
		r.burst = m.burst(r.total)
	}
	r.within = readWithin(m, "composite_sub_policy")
	if len(r.within) > mostWithin && !r.strict {
		m.p.errorf(m.at, m.sub("composite_sub_policy"), "has %d policies, more than %d; use several composites", len(r.within), mostWithin)
	}
	var names []string
	for i, p := range r.within {
		if slices.Contains(names, p.Name) && p.named != nil {
			m.slip(p.named, fmt.Sprintf("%s[%d].name", m.sub("composite_sub_policy"), i), "%s is already the name of a policy here; names"+
				" must differ", quote(p.Name))
		}
		names = append(names, p.Name)
	}
	r.readOrder(m, names)
	r.readAllocation(m, names)
	return r
}

// within returns the index of a name in a list of the policies within, which it reports if there is none.
func (m *mapping) withinNamed(i item, names []string) int {
	at := slices.Index(names, i.text)
	if at < 0 {
		hint := suggest.DidYouMean(i.text, names)
		if hint == "" {
			hint = "; they are " + joined(names)
		}
		m.slip(i.node, i.path, "%s is not the name of a policy in composite_sub_policy%s", quote(i.text), hint)
	}
	return at
}

func (r *composite) readOrder(m *mapping, names []string) {
	if m.get("policy_order") != nil && !m.emptyList("policy_order") {
		for _, i := range m.texts("policy_order", "["+strings.Join(names, ", ")+"]") {
			at := m.withinNamed(i, names)
			if at >= 0 && slices.Contains(r.order, at) {
				m.slip(i.node, i.path, "%s is in the order twice; remove it", quote(i.text))
			} else if at >= 0 {
				r.order = append(r.order, at)
			}
		}
	}
	if r.strict {
		r.order = nil // which the Collector does not look at
	}
	for i := range names { // those that the order does not name come last
		if !slices.Contains(r.order, i) {
			r.order = append(r.order, i)
		}
	}
}

func (r *composite) readAllocation(m *mapping, names []string) {
	for range names {
		r.allocated = append(r.allocated, r.total/float64(len(names)))
	}
	const key, example = "rate_allocation", "[{policy: errors, percent: 50}]"
	if m.get(key) == nil || m.emptyList(key) {
		r.floor()
		return
	}
	percents := map[string]float64{} // strict: the last one of each name
	sum := 0.0
	given := map[int]bool{}
	for i, n := range m.list(key, example) {
		path := fmt.Sprintf("%s[%d]", m.sub(key), i)
		a := m.p.mapping(n, deref(n), path, m.depth, m.theirs, "{policy: errors, percent: 50}")
		if a == nil {
			continue
		}
		a.expected("policy", "errors")
		a.expected("percent", "50")
		name, at := a.text("policy")
		percent, number := a.number("percent")
		a.done()
		if number != nil && (percent < 0 || percent > 100) {
			a.slip(number, a.sub("percent"), "must lie between 0 and 100, but is %s", number.Value)
			if !a.theirs {
				continue
			}
		}
		percents[name] = percent
		if at == nil || number == nil {
			continue
		}
		which := a.withinNamed(item{name, at, a.sub("policy")}, names)
		switch {
		case which < 0:
		case given[which]:
			a.slip(at, a.sub("policy"), "%s has an allocation already; remove one", quote(name))
		case percent > 0: // 0 is as if it were not there, as in the Collector
			r.allocated[which] = percent / 100 * r.total
			sum += percent
		}
		given[which] = true
	}
	if sum > 100 {
		m.slip(m.get(key).key, m.sub(key), "allocates %g %%, which is more than there is; make the percentages add up to 100 or less", sum)
	}
	for i, name := range names {
		if percent := math.Trunc(percents[name]); m.theirs && percent > 0 {
			r.allocated[i] = percent / 100 * r.total
		} else if m.theirs {
			r.allocated[i] = r.total / float64(len(names))
		}
	}
	r.floor()
}

// floor cuts the allocations to whole spans, as the Collector does.
func (r *composite) floor() {
	for i, a := range r.allocated {
		if r.strict {
			r.allocated[i] = float64(int64(a))
		}
	}
}

func (r *composite) text() string { return r.phrase(inPlural) }

func (r *composite) phrase(number func(int64, string) string) string {
	var shares []string
	for _, i := range r.order {
		shares = append(shares, fmt.Sprintf("%s %g", r.within[i].Name, r.allocated[i]))
	}
	burst := ""
	if r.burst != r.total {
		burst = ", " + plainNumber(r.burst) + " at once"
	}
	return fmt.Sprintf("up to %s a second%s%s: %s", amount(r.total, "span", number), burst, together(r.partitions), strings.Join(shares, ", "))
}

func (r *composite) sub() []Policy { return r.within }

func (r *composite) compile(c *compiler) gate {
	leave := c.enter(scope{})
	g := &compositeGate{composite: r, node: c.nodes}
	last := len(c.path) - 1
	for i := range r.within {
		c.path[last].at = i
		g.gates = append(g.gates, r.within[i].compile(c))
	}
	g.throttle = c.valve(&compositeValve{g}, r.text()+limitState, g.node)
	for range r.within {
		g.lanes = append(g.lanes, c.valve(lane{}, "", 0))
	}
	leave()
	return g
}

// compositeGate is open if a policy within is, and the throttle.
type compositeGate struct {
	*composite
	node     int
	gates    anyGate
	throttle valveGate
	lanes    []valveGate // by policy within: the limit that a trace has if that policy passes it
}

// A lane holds limits for a composite, whose throttle settles them. One limit for all policies within would not do: which of them a
// trace passes may hang on its ID.
type lane struct{}

func (lane) newState() valveState     { return lane{} }
func (lane) settle(*batch, int)       {}
func (lane) appendTo(b []byte) []byte { return b }
func (lane) decode(*stateDecoder)     {}

func (g *compositeGate) open(e *evaluation) answer {
	if g.strict {
		for _, within := range g.gates {
			if a := within.open(e); a != no {
				if a == yes {
					a = g.throttle.open(e)
				}
				return a
			}
		}
		return no
	}
	if int(g.throttle) < e.byLimits {
		return g.openByLimits(e)
	}
	gates := g.gates
	if e.focus >= 0 {
		// A valve within is settled. The other policies may have no room left, so it matters as if they were not there.
		for _, s := range e.plan.valves[e.focus].path {
			if s.node == g.node && e.focus != int(g.throttle) {
				gates = gates[s.at : s.at+1]
			}
		}
	}
	if a := gates.open(e); a != yes {
		return a
	}
	return g.throttle.open(e)
}

func (g *compositeGate) openByLimits(e *evaluation) answer {
	all := no
	for k, within := range g.gates {
		switch within.open(e) {
		case yes:
			if g.lanes[k].open(e) == yes {
				return yes
			}
		case failed:
			all = failed
		}
	}
	return all
}

type compositeValve struct{ gate *compositeGate }

func (r *compositeValve) newState() valveState {
	g, p := r.gate, float64(r.gate.partitions)
	s := &compositeState{compositeGate: g, all: newAccount(g.total/p, g.burst/p), passed: make([]float64, len(g.within))}
	for _, a := range g.allocated {
		s.shares = append(s.shares, newAccount(a/p, a/g.total*g.burst/p))
	}
	s.owed = make([]int64, len(s.shares))
	return s
}

type compositeState struct {
	*compositeGate
	all    account
	shares []account // by policy within
	owed   []int64   // by policy within, of its share or of all, in the last tick: for people who ask

	second int64     // strict: the one that passed counts for
	passed []float64 // strict: spans, by policy within

	rivals []rival // by trace
	asked  []int   // strict: those that it matters to
}

// A rival is a trace of a tick before a composite.
type rival struct {
	passes  uint64 // bit k: it passes policy k within
	first   int    // strict: the first that it passes, -1: none
	granted bool
	limit   uint64 // the least of policies that it passes
}

// passing returns which policies within the loaded trace passes: bit k for policy k.
func (g *compositeGate) passing(e *evaluation) (passes uint64) {
	for k, within := range g.gates {
		if within.open(e) == yes {
			passes |= 1 << k
		}
	}
	return passes
}

// first returns the first policy within that the loaded trace passes, -1 if it passes none.
func (g *compositeGate) first(e *evaluation) int {
	return slices.IndexFunc(g.gates, func(within gate) bool { return within.open(e) == yes })
}

func (s *compositeState) settle(b *batch, v int) {
	s.rivals = slices.Grow(s.rivals[:0], len(b.traces))[:len(b.traces)]
	for i := range b.traces {
		b.stake(i, v)
		if s.rivals[i] = (rival{limit: Never}); s.strict {
			s.rivals[i].first = s.first(&b.m.e)
		} else {
			s.rivals[i].passes = s.passing(&b.m.e)
		}
	}
	if s.strict {
		s.oneByOne(b, v)
		return
	}
	all := s.all.grant(b.now)
	left, spent := 1.0, int64(0)
	for _, k := range s.order {
		spent += s.offer(b, k, &all, &left)
	}
	s.all.settle(&all.asked, spent)
	for i, r := range s.rivals {
		if b.stakes[i].matters {
			b.set(i, v, isTrue(r.granted), r.limit)
		} else {
			b.pass(i, v, r.limit)
		}
	}
}

// offer lets the traces that policy k within passes, and none before it has taken, compete for what is left of its share, and returns
// what is spent. left is which part of what all may spend is foreseen to be left.
func (s *compositeState) offer(b *batch, k int, all *grant, left *float64) (spent int64) {
	mine := uint64(1) << k
	g := s.shares[k].grant(b.now)
	s.owed[k] = max(s.shares[k].owed(), s.all.owed())
	for i := range s.rivals {
		g.ask(b.traces[i].Spans, b.stakes[i].shareOf(mine))
	}
	moot := g // as if what others keep had asked too
	for i := range s.rivals {
		if r := &s.rivals[i]; b.stakes[i].moot && r.passes&mine != 0 && !r.granted {
			moot.ask(b.traces[i].Spans, certain)
		}
	}
	var takes, could expectation
	for i := range s.rivals {
		r, t, stake := &s.rivals[i], &b.traces[i], &b.stakes[i]
		at := stake.shareOf(mine)
		c := g.claim(t.Spans, at)
		most := float64(*left * s.all.share(&c))
		share := min(s.shares[k].share(&c), most)
		takes.add(min(share, 1), t.Spans, at)
		could.add(most, t.Spans, at)
		limit := stake.limit(share, mine, &b.segments)
		stake.take(mine, limit)
		b.pass(i, int(s.lanes[k]), limit)
		if r.passes&mine == 0 {
			continue
		}
		if stake.moot {
			c = moot.claim(t.Spans, certain)
			limit = stake.limit(min(s.shares[k].share(&c), *left*s.all.share(&c)), mine, &b.segments)
			b.moot(i, int(s.lanes[k]), limit)
		}
		r.limit = min(r.limit, limit)
		if !r.granted && t.Randomness >= limit {
			r.granted = true
			if stake.matters {
				spent = charge(spent, t.Spans)
			}
		}
	}
	all.asked.take(&g.asked)
	s.shares[k].settle(&g.asked, spent)
	if could > 0 {
		// Something is left for each, so that whatever those before ask, there is a chance. If that is too much, it is a debt of all.
		const least = 0.25
		*left *= max(1-float64(takes)/float64(could), least)
	}
	return spent
}

// An expectation is what traces cost on average, in whole parts so that the order of the traces does not matter.
type expectation uint64

func (x *expectation) add(probability float64, cost, share uint64) {
	const parts = 1 << 12
	n := float64(probability*float64(chargeable(cost))) * float64(share) / (certain / parts)
	*x = min(*x+expectation(n), mostDemand)
}

// oneByOne decides as the Collector does: by counts of the second, and by the first policy that a trace passes.
func (s *compositeState) oneByOne(b *batch, v int) {
	if second := b.now / 1000; second != s.second {
		s.second = second
		clear(s.passed)
	}
	s.asked = s.asked[:0]
	for i, r := range s.rivals {
		if b.stakes[i].matters && r.first >= 0 {
			s.asked = append(s.asked, i)
		}
	}
	b.sortByRandomness(s.asked)
	p := float64(s.partitions)
	for _, i := range s.asked {
		k := s.rivals[i].first
		n := s.passed[k] + float64(b.traces[i].Spans)
		if n <= s.allocated[k]/p && n <= s.total/p {
			s.passed[k] = n
			b.set(i, v, yes, 0)
		} else {
			b.set(i, v, no, Never)
		}
	}
}

func (s *compositeState) appendTo(b []byte) []byte {
	b = s.all.appendTo(b)
	for k := range s.shares {
		b = s.shares[k].appendTo(b)
	}
	b = binary.AppendVarint(b, s.second)
	for _, n := range s.passed {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

func (s *compositeState) decode(d *stateDecoder) {
	s.all.decode(d)
	for k := range s.shares {
		s.shares[k].decode(d)
	}
	s.second = d.varint()
	for i := range s.passed {
		s.passed[i] = float64(d.uvarint())
	}
}
