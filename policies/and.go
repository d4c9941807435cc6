package policies

// andRule passes a trace that all policies within pass.
type andRule struct{ within []Policy }

func readAnd(m *mapping) rule { return &andRule{readWithin(m, "and_sub_policy")} }

// readWithin reads the list of policies within another.
func readWithin(m *mapping, key string) []Policy {
	const example = "[{name: slow, type: latency, latency: {threshold_ms: 1000}}]"
	m.required(key, example)
	items := m.list(key, example)
	return m.p.policies(items, m.sub(key), m.depth+1)
}

func (r *andRule) text() string  { return "all of these" }
func (r *andRule) sub() []Policy { return r.within }

func (r *andRule) compile(c *compiler) gate { return allOf(r.within, c) }

func allOf(within []Policy, c *compiler) gate {
	defer c.enter(scope{open: true})()
	var g allGate
	for i := range within {
		g = append(g, within[i].compile(c))
	}
	return g
}

type allGate []gate

// open asks in order, as far as it matters: whether a later one fails does not, if one before it is closed.
func (g allGate) open(e *evaluation) answer {
	for _, within := range g {
		if a := within.open(e); a != yes {
			return a
		}
	}
	return yes
}
