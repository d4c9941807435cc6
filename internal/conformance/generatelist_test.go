package conformance

import (
	"fmt"
	"slices"
)

// plenty is a rate that all traces of a run do not reach together.
const plenty = 1_000_000_000

// place is where a policy stands, which tells what it may be.
type place int

const (
	onTop place = iota
	inAnd       // or in drop
	inNot
	inComposite
)

// A lister makes one configuration.
type lister struct {
	*generator
	types []string // those that Thresher has
	tight bool     // limits may be reached: each trace is decided alone, since traces of a run come in any order
	names int
}

// list makes a configuration that the peer accepts and that does not crash it. tight tells whether limits can be reached.
func (g *generator) list(types []string) (l *list, tight bool) {
	m := &lister{generator: g, types: types, tight: g.chance(2)}
	l = &list{firstMatch: g.chance(4)}
	for i := range 1 + g.IntN(5) {
		p := m.policy(onTop)
		p.Name = fmt.Sprintf("p%d", i)
		l.policies = append(l.policies, p)
	}
	tight = false
	l.all(func(p *policy) {
		tight = tight || m.tight && oneOf(p.Type, "rate_limiting", "bytes_limiting", "composite")
	})
	return l, tight
}

func (m *lister) policy(at place) *policy {
	for {
		t := pick(m.generator, m.types...)
		switch at {
		case onTop:
		case inAnd:
			if oneOf(t, "and", "drop", "composite") {
				continue
			}
		case inNot:
			if oneOf(t, "and", "not", "drop", "composite") {
				continue
			}
		case inComposite:
			if oneOf(t, "not", "drop", "composite") {
				continue
			}
		}
		m.names++
		p := &policy{Name: fmt.Sprintf("n%d", m.names), Type: t}
		m.fill(p)
		return p
	}
}

func (m *lister) number(n int64, absent int) *int64 {
	if m.chance(absent) {
		return nil
	}
	return &n
}

func (m *lister) fill(p *policy) {
	g := m.generator
	switch p.Type {
	case "latency":
		p.Above = m.number(pick[int64](g, 0, 1, 50, 100, 1000), 6)
		above := int64(0)
		if p.Above != nil {
			above = *p.Above
		}
		if p.Above == nil || m.chance(2) {
			p.UpTo = m.number(above+pick[int64](g, 1, 50, 100, 900), 100)
		}
		if p.Above == nil && p.UpTo == nil || p.UpTo != nil && m.chance(20) {
			p.UpTo = new(int64)
		}
	case "numeric_attribute":
		p.Key = m.key(wholeKeys())
		p.Invert = m.chance(4)
		low := pick[int64](g, -5, 1, 4, 5, 6, 500, 404, 1, 5)
		p.Min = m.number(low, 3)
		if m.chance(2) || p.Min == nil {
			p.Max = new(low + pick[int64](g, 0, 1, 5, 99))
			if *p.Max == 0 {
				p.Max = new(low + 2)
			}
		}
		if m.chance(12) { // a bound of 0, which the peer takes for none: it needs another
			switch {
			case p.Max != nil && *p.Max > 0:
				p.Min = new(int64)
			case p.Min != nil && *p.Min < 0:
				p.Max = new(int64)
			}
		}
	case "string_attribute":
		p.Key = m.key(append(textKeys(), "service.name"))
		p.Invert = m.chance(4)
		p.Regex = m.chance(2)
		pool := []string{"gold", "silver", "/checkout", "/healthz", "cart", "0", "x"}
		if p.Regex {
			pool = []string{"gold", "^gold$", "/live", ".*", "^/[a-z]+$", "^$", "er$", "[0-9]", "(?i)GOLD|cart", `\{"a"`, "^(/|x)"}
		}
		for range 1 + g.IntN(3) {
			p.Values = append(p.Values, pick(g, pool...))
		}
	case "boolean_attribute":
		p.Key, p.Value, p.Invert = m.key(truthKeys()), m.chance(2), m.chance(4)
	case "probabilistic":
		p.Percent = pick(g, 0, 0.1, 1, 10, 33, 50, 66.6, 99.9, 100)
		p.Salt = pick(g, "", "", "shop")
	case "status_code":
		for range 1 + g.IntN(2) {
			p.Codes = append(p.Codes, pick(g, "ERROR", "ERROR", "OK", "UNSET"))
		}
	case "span_count":
		low := g.Int64N(8)
		p.Min = m.number(low, 4)
		if p.Min == nil || m.chance(2) {
			p.Max = new(max(low, 1) + g.Int64N(6))
		}
	case "trace_state":
		p.Key = pick(g, "vendor", "vendor", "other", "tenant@sys")
		p.Values = pick(g, []string{"debug"}, []string{"trace", "1"}, []string{"debug", "d"})
	case "rate_limiting":
		p.Rate = plenty
		if m.tight {
			p.Rate, p.Burst = 1+g.Int64N(8), max(0, g.Int64N(24)-12)
		}
	case "bytes_limiting":
		p.Rate = plenty
		if m.tight {
			p.Rate, p.Burst = 50+g.Int64N(900), max(0, g.Int64N(2000)-1000)
		}
	case "ottl_condition":
		m.fillConditions(p)
	case "and", "drop":
		for range 1 + g.IntN(3) {
			p.Sub = append(p.Sub, m.policy(inAnd))
		}
	case "not":
		p.Sub = []*policy{m.policy(inNot)}
	case "composite":
		m.fillComposite(p)
	}
}

// aim sets what limits on bytes let through at once, mostly near the size of a trace, as the peer counts it or as Thresher does:
// to the byte, or within a tenth. It reports whether there are such limits.
func (g *generator) aim(l *list, t *trace) (aimed bool) {
	l.all(func(p *policy) {
		if p.Type != "bytes_limiting" || g.chance(4) {
			return
		}
		size := (&reference{q: pick(g, allQuirks, allQuirks, noQuirks), t: t, pieces: t.pieces()}).size()
		p.Burst = max(1, size+pick(g, -1, 0, 0, 1, g.Int64N(9)-4, g.Int64N(size/5)-size/10))
		aimed = true
	})
	return aimed
}

// aimed reports whether a limit on bytes is near the size of a trace as the peer counts it.
func (l *list) aimed(t *trace) (near bool) {
	l.all(func(p *policy) {
		if p.Type == "bytes_limiting" && p.Rate != plenty {
			size := (&reference{q: allQuirks, t: t, pieces: t.pieces()}).size()
			near = near || max(p.burst()-size, size-p.burst()) <= size/10
		}
	})
	return near
}

// key picks one of the keys; seldom one that has values of another type, or that nothing has.
func (m *lister) key(usual []string) string {
	if m.chance(25) {
		return pick(m.generator, append(slices.Concat(textKeys(), wholeKeys(), truthKeys()), "absent")...)
	}
	return pick(m.generator, usual...)
}

func (m *lister) fillConditions(p *policy) {
	g := m.generator
	p.Mode = pick(g, "", "ignore", "silent", "propagate", "propagate")
	spans, events := spanExpressions(), eventExpressions()
	if m.chance(2) {
		spans, events = spans[len(spans)/2:], events[len(events)/2:] // of which more can fail
	}
	for range g.IntN(4) {
		p.Spans = append(p.Spans, pick(g, spans...))
	}
	for range g.IntN(3) {
		p.Events = append(p.Events, pick(g, events...))
	}
	if len(p.Spans)+len(p.Events) == 0 {
		p.Spans = append(p.Spans, pick(g, spans...))
	}
}

func (m *lister) fillComposite(p *policy) {
	g := m.generator
	p.Rate = plenty
	if m.tight {
		p.Rate = 1 + g.Int64N(20)
	}
	left := int64(100)
	for range 1 + g.IntN(3) {
		s := m.policy(inComposite)
		if m.chance(6) {
			s = &policy{Name: s.Name, Type: "ottl_condition"}
			m.fillConditions(s)
		}
		p.Sub = append(p.Sub, s)
		p.Order = append(p.Order, s.Name)
		if m.chance(2) && left > 1 {
			share := 1 + g.Int64N(left-1)
			left -= share
			p.Alloc = append(p.Alloc, allocation{s.Name, share})
		}
	}
	if m.chance(2) {
		g.Shuffle(len(p.Order), func(i, j int) { p.Order[i], p.Order[j] = p.Order[j], p.Order[i] })
	}
	if m.chance(4) {
		p.Order = nil
	}
}
