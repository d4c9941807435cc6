package policies

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"thresher/internal/wire"
)

// A compiler collects the conditions on spans and the salts that the gates ask for. Equal conditions get one bit.
type compiler struct {
	plan *Plan

	statuses [3]*spanBit // by status code, nil if no policy asks
	flags    *spanBit
	states   []*stateCondition
	keys     []*keyConditions // in the order of first use
	byKey    map[string]*keyConditions
	salts    []salt
	salted   []saltUse
	random   bool // a gate asked for a salt or a valve since this was last cleared

	conditions []ottlBits
	latencies  []strictLatency
	size       *traceSize // nil if no policy asks
	slots      []slot

	rescuing   bool   // what is compiled is one of rescue_on
	policy     int    // index of the policy in the list that is being compiled
	name       string // its name
	valves     []valve
	firstValve int // number of its first one
	path       []scope
	nodes      int
}

// A spanBit is the gate of a condition on spans or resources: open if any of them met it.
type spanBit struct {
	word int
	mask uint64
}

func (b *spanBit) open(e *evaluation) answer { return isTrue(b.set(e.trace.Matches)) }

func (b *spanBit) set(matches []uint64) bool { return matches[b.word]&b.mask != 0 }

// An attributeCondition is a condition on the value of one attribute.
type attributeCondition interface {
	text() string
	addTo(col *column, bit uint64)
}

// keyConditions are the conditions on one attribute, and their bits.
type keyConditions struct {
	key        string
	conditions []attributeCondition
	bits       []*spanBit
	known      map[string]*spanBit // by text
}

// attribute returns the bit of a condition on the attribute with the key.
func (c *compiler) attribute(key string, condition attributeCondition) *spanBit {
	k := c.byKey[key]
	if k == nil {
		k = &keyConditions{key: key, known: map[string]*spanBit{}}
		c.byKey[key] = k
		c.keys = append(c.keys, k)
	}
	text := condition.text()
	bit := k.known[text]
	if bit == nil {
		bit = &spanBit{}
		k.known[text] = bit
		k.conditions, k.bits = append(k.conditions, condition), append(k.bits, bit)
	}
	return bit
}

// A saltUse is a gate that compares hashes with a threshold.
type saltUse struct {
	salt      int
	threshold uint64
	guarded   bool // only if a condition without chance is met
}

// salt returns the index of a salt, and notes the threshold of hashes and the step of randomness.
func (c *compiler) salt(text string, threshold, step uint64) int {
	c.random = true
	i := slices.IndexFunc(c.salts, func(s salt) bool { return s.text == text })
	if i < 0 {
		i = len(c.salts)
		c.salts = append(c.salts, newSalt(text))
	}
	c.salted = append(c.salted, saltUse{i, threshold, false})
	s := &c.salts[i]
	s.steps = append(s.steps, step)
	if at, found := slices.BinarySearch(s.thresholds, threshold); !found {
		s.thresholds = slices.Insert(s.thresholds, at, threshold)
	}
	return i
}

// compile turns the policies into a plan. cells is the number of combinations of ranges into which the thresholds divide the hashes with
// each salt. looks is how often a usual trace is looked at to decide it: for its probability and for each valve once for every cell that
// matters to it. Of percentages beside other conditions in an and at most one does.
func compile(policies, rescue []Policy, o Options) (plan *Plan, cells, looks int) {
	plan = &Plan{policies: policies, rescue: rescue, strict: o.Strict, firstMatch: o.FirstMatch, partitions: max(o.Partitions, 1)}
	c := &compiler{plan: plan, byKey: map[string]*keyConditions{}}
	canonical := plan.canonical()
	leave := c.enter(scope{})
	n := len(policies)
	plan.isDrop, plan.isForce, plan.isRandom = make([]bool, n), make([]bool, n), make([]bool, n)
	for i := range policies {
		_, plan.isDrop[i] = policies[i].rule.(*dropRule)
		_, plan.isForce[i] = policies[i].rule.(*forceRule)
		if plan.isForce[i] {
			plan.forces = append(plan.forces, i)
		}
		plan.names = append(plan.names, policies[i].Name)
	}
	// Valves come in the order in which policies count: nothing is spent on what is dropped, or kept by force.
	order := func(i int) int {
		switch {
		case plan.isDrop[i]:
			return 0
		case plan.isForce[i]:
			return 1
		}
		return 2
	}
	for turn := range 3 {
		for i := range policies {
			if p := &policies[i]; order(i) == turn {
				c.random, c.policy, c.name, c.firstValve = false, i, p.Name, len(c.valves)
				salted := len(c.salted)
				p.compile(c)
				plan.isRandom[i] = c.random
				if len(c.valves) == c.firstValve+1 && len(c.salted) == salted {
					c.valves[c.firstValve].alone = !c.valves[c.firstValve].ranks
				}
				plan.dropsRandom = plan.dropsRandom || plan.isDrop[i] && c.random
			}
		}
	}
	for i := range policies {
		canonical = policies[i].canonical(canonical)
	}
	for i := range policies {
		if policies[i].tells() {
			plan.telling = append(plan.telling, i)
		}
	}
	leave()
	c.rescuing = true
	for i := range rescue {
		if i == 0 {
			canonical = append(canonical, " rescue on "...)
		}
		rescue[i].compile(c)
		canonical = rescue[i].canonical(canonical)
	}
	c.finishValves(plan.isDrop, plan.isForce)
	plan.fingerprint = xxhash.Sum64(canonical)
	plan.salts, plan.valves = c.salts, c.valves
	if plan.sizes = o.Sizes && o.Strict; plan.sizes {
		c.traceSize()
	}
	if o.Conditions != nil {
		plan.newView = o.Conditions.NewView
	}
	plan.layOut(c)
	cells, looks = c.cells(o.Strict)
	return plan, cells, looks
}

func (c *compiler) cells(strict bool) (cells, looks int) {
	cells, looks = 1, 1
	for i, s := range c.salts {
		bare := map[uint64]bool{}
		for _, use := range c.salted {
			if use.salt == i && !use.guarded {
				bare[use.threshold] = true
			}
		}
		cells = min(cells*(len(s.thresholds)+1), mostCells+1)
		looks = min(looks*(len(bare)+1), mostLooks+1)
	}
	if slices.ContainsFunc(c.salted, func(u saltUse) bool { return u.guarded }) {
		looks *= 2
	}
	settled := 0
	for _, v := range c.valves {
		if _, isLane := v.share.(lane); !isLane && !strict && len(c.salts) > 0 {
			settled++
		}
	}
	return cells, looks * (1 + settled)
}

// layOut gives each condition its bit. Conditions on the same key share a word, so that one test tells whether an
// attribute can still change anything; only a key with more than 64 conditions has several columns. Behind the bits come the
// slots, a word each.
func (p *Plan) layOut(c *compiler) {
	word, used := 0, 0
	next := func(b *spanBit) {
		if used == 64 {
			word, used = word+1, 0
		}
		b.word, b.mask = word, 1<<used
		used++
	}
	for status, b := range c.statuses {
		if b != nil {
			next(b) // in word 0, as all fixed conditions on spans
			p.scan.statuses[status] = b.mask
			p.scan.fixed |= b.mask
		}
	}
	if c.flags != nil {
		next(c.flags)
		p.scan.sampled = c.flags.mask
		p.scan.fixed |= c.flags.mask
	}
	for _, s := range c.states {
		next(s.bit)
		p.scan.states = append(p.scan.states, *s)
	}
	for i := range c.conditions {
		next(c.conditions[i].matched)
		next(c.conditions[i].failed)
	}
	p.conditions = c.conditions
	for i := range c.latencies {
		next(c.latencies[i].bit)
	}
	p.latencies = c.latencies
	keys := make([]string, 0, len(c.keys))
	for _, k := range c.keys {
		keys = append(keys, k.key)
		if used+min(len(k.bits), 64) > 64 {
			word, used = word+1, 0
		}
		var columns []column
		for i, b := range k.bits {
			next(b)
			if len(columns) == 0 || columns[len(columns)-1].word != b.word {
				columns = append(columns, column{word: b.word, cache: -1})
			}
			k.conditions[i].addTo(&columns[len(columns)-1], b.mask)
		}
		for i := range columns {
			p.scan.finish(&columns[i])
		}
		p.scan.columns = append(p.scan.columns, columns)
	}
	if used > 0 {
		word++
	}
	p.bitWords, p.words = word, word+len(c.slots)
	if c.size != nil {
		c.size.word = p.words
		p.scan.size = c.size
		p.words += sizeWords
	}
	if len(c.latencies) > 0 { // the last, see MatchSpan
		p.words += durationWords
	}
	p.keys = wire.NewKeySet(keys)
	p.slots = c.slots
}
