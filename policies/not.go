package policies

// notRule passes a trace that the policy within does not pass.
type notRule struct{ within []Policy } // one

func readNot(m *mapping) rule {
	const key = "not_sub_policy"
	m.required(key, "{name: slow, type: latency, latency: {threshold_ms: 1000}}")
	r := &notRule{}
	if f := m.get(key); f != nil {
		r.within = []Policy{m.p.policy(f.value, m.sub(key), m.depth+1)}
	}
	return r
}

func (r *notRule) text() string  { return "not this" }
func (r *notRule) sub() []Policy { return r.within }

func (r *notRule) compile(c *compiler) gate {
	defer c.enter(scope{flips: true})()
	return notGate{r.within[0].compile(c)}
}

type notGate struct{ within gate }

func (g notGate) open(e *evaluation) answer {
	switch g.within.open(e) {
	case no:
		return yes
	case yes:
		return no
	}
	return failed
}

// invertible returns the gate, or its opposite.
func invertible(invert bool, g gate) gate {
	if invert {
		return notGate{g}
	}
	return g
}
