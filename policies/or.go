package policies

// orRule passes a trace that any policy within passes.
type orRule struct{ within []Policy }

func readOr(m *mapping) rule { return &orRule{readWithin(m, "or_sub_policy")} }

func (r *orRule) text() string  { return "any of these" }
func (r *orRule) sub() []Policy { return r.within }

func (r *orRule) compile(c *compiler) gate {
	defer c.enter(scope{})()
	var g anyGate
	for i := range r.within {
		g = append(g, r.within[i].compile(c))
	}
	return g
}

type anyGate []gate

// open fails if one fails and none is open.
func (g anyGate) open(e *evaluation) answer {
	all := no
	for _, within := range g {
		switch within.open(e) {
		case yes:
			return yes
		case failed:
			all = failed
		}
	}
	return all
}
