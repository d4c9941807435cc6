package policies

import "slices"

// andRule passes a trace that all policies within pass.
type andRule struct{ within []Policy }

func readAnd(m *mapping) rule { return &andRule{readWithin(m, "and_sub_policy")} }

// readWithin reads the list of policies within another.
func readWithin(m *mapping, key string) []Policy {
	const example = "[{name: slow, type: latency, latency: {threshold_ms: 1000}}]"
	m.expected(key, example)
	items := m.list(key, example)
	return m.p.policies(items, m.sub(key), m.depth+1)
}

func (r *andRule) text() string  { return "all of these" }
func (r *andRule) sub() []Policy { return r.within }

func (r *andRule) compile(c *compiler) gate { return allOf(r.within, c) }

// allOf returns a gate that asks what goes by chance last: where the others do not match, it need not be asked with every hash that a
// trace could have. The order makes no difference as long as each has an answer.
func allOf(within []Policy, c *compiler) gate {
	defer c.enter(scope{open: true})()
	var all, sure, random allGate
	isRandom, mayFail, salted, valves := c.random, false, len(c.salted), len(c.valves)
	for i := range within {
		c.random = false
		g := within[i].compile(c)
		all = append(all, g)
		if c.random {
			random = append(random, g)
		} else {
			sure = append(sure, g)
		}
		isRandom = isRandom || c.random
		mayFail = mayFail || within[i].mayFail()
	}
	c.random = isRandom
	if c.plan.strict || mayFail {
		return all
	}
	for i := range c.salted[salted:] {
		c.salted[salted+i].guarded = c.salted[salted+i].guarded || len(sure) > 0
	}
	for i := valves; i < len(c.valves); i++ {
		c.valves[i].guards = append(c.valves[i].guards, sure...)
	}
	return append(sure, random...)
}

// mayFail reports whether the policy can be without an answer.
func (p *Policy) mayFail() bool {
	switch r := p.rule.(type) {
	case *ottlCondition:
		return r.propagate
	case nesting:
		within := r.sub()
		return slices.ContainsFunc(within, func(w Policy) bool { return w.mayFail() })
	}
	return false
}

type allGate []gate

func (g allGate) open(e *evaluation) answer {
	for _, within := range g {
		if a := within.open(e); a != yes {
			return a
		}
	}
	return yes
}
