package policies

import (
	"fmt"
	"math"
)

// forceRule keeps what all policies within pass, whatever drop policies say, for a limited time.
type forceRule struct {
	within      []Policy
	from, until int64 // Unix milliseconds, by the timestamps of the log, at the decision; from is included
}

func readForce(m *mapping) rule {
	r := &forceRule{from: math.MinInt64}
	m.required("until", "2026-03-29T14:00:00Z")
	from, lower := m.instant("from")
	if lower != nil {
		r.from = from
	}
	until, upper := m.instant("until")
	if upper != nil {
		r.until = until
	}
	if lower != nil && upper != nil && until <= from {
		m.p.errorf(upper, m.sub("until"), "is not after from, so nothing would be kept; exchange them")
	}
	r.within = readWithin(m, "force_sub_policy")
	return r
}

func (r *forceRule) text() string {
	if r.from == math.MinInt64 {
		return "all of these, until " + inUTC(r.until)
	}
	return fmt.Sprintf("all of these, from %s until %s", inUTC(r.from), inUTC(r.until))
}

func (r *forceRule) sub() []Policy { return r.within }

func (r *forceRule) compile(c *compiler) gate {
	return &timedGate{r.from, r.until, allOf(r.within, c)}
}

type timedGate struct {
	from, until int64
	within      gate
}

func (g *timedGate) open(e *evaluation) answer {
	if now := e.trace.Now; now < g.from || now >= g.until {
		return no
	}
	return g.within.open(e)
}

// A Term is when a force policy is in force, in Unix milliseconds by the timestamps of the log: from From, and before Until.
type Term struct{ From, Until int64 }

// Terms returns those of the force policies in the list, by name.
func (p *Plan) Terms() map[string]Term {
	terms := map[string]Term{}
	for _, i := range p.forces {
		r := p.policies[i].rule.(*forceRule)
		terms[p.names[i]] = Term{r.from, r.until}
	}
	return terms
}
