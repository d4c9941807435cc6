package policies

import (
	"math"
	"strings"
)

// A formula is what a prover knows of the traces that pass a policy: every, some, between, found or unknown.
type formula any

type (
	// every is passed by what passes all formulas; if it is empty, by every trace.
	every []formula
	// some is passed by what passes any formula; if it is empty, by no trace.
	some []formula

	// between is passed if the one value that a trace has of something is in a range, its ends included.
	between struct {
		about     string
		low, high uint64
		least     uint64 // the value that any trace has at least
		most      uint64 // and at most
	}

	// found is passed if one of the many values that a trace may have of something is in a set; with none, if none is. That
	// one value is in a set says nothing about others.
	found struct {
		about  string
		values valueSet
		none   bool
	}

	// unknown is passed by traces that nothing is known of, but that the same ones pass another with the same text, if there
	// is one.
	unknown struct{ text string }
)

func always(f formula) bool {
	all, is := f.(every)
	return is && len(all) == 0
}

func never(f formula) bool {
	none, is := f.(some)
	return is && len(none) == 0
}

// formulasOf returns the formulas of a list.
func (p *prover) formulasOf(list []Policy) []formula {
	formulas := make([]formula, len(list))
	for i := range list {
		formulas[i] = p.formula(&list[i])
	}
	return formulas
}

// formula returns the formula of a policy. It is passed whenever the policy answers yes, and never otherwise.
func (p *prover) formula(of *Policy) formula {
	f, known := p.formulas[of]
	if !known {
		f = p.read(of)
		p.formulas[of] = f
	}
	return f
}

func (p *prover) read(of *Policy) formula {
	switch r := of.rule.(type) {
	case alwaysSample:
		return every{}
	case *latency:
		return p.latency(r)
	case *statusCode:
		return found{"status", statusSet(r.wanted), false}
	case *stringAttribute:
		if len(r.values) == 0 {
			return nowhere(r.invert)
		}
		if values := p.texts(r); values != nil {
			return found{"attribute " + r.key, values, r.invert}
		}
	case *numericAttribute:
		n := r.condition()
		if n.low > n.high && n.lowDouble > n.highDouble {
			return nowhere(r.invert)
		}
		return found{"attribute " + r.key, numberSet(n), r.invert}
	case *booleanAttribute:
		return found{"attribute " + r.key, truthSet(r.value), r.invert}
	case *probabilistic:
		// However chance is drawn, a larger percentage passes what a smaller one does. That 0 % pass one trace ID in 2^64 is
		// passed over.
		return newBetween(between{chance + r.salt, 0, percentRank(max(r.percent, 0)), 1, percentRank(100)})
	case *spanCount:
		most := uint64(math.MaxUint64)
		if r.most != 0 {
			most = uint64(max(r.most, 0))
		}
		return newBetween(between{"spans", uint64(max(r.least, 0)), most, 1, math.MaxUint64}) // a trace has a span
	case *traceState:
		if len(r.values) == 0 {
			return nowhere(false)
		}
		return found{"tracestate " + r.key, textSet(r.values), false}
	case traceFlags:
		return found{"flags", truthSet(true), false}
	case *andRule:
		return p.every(p.formulasOf(r.within))
	case *dropRule:
		return turned(p.every(p.formulasOf(r.within)))
	case *forceRule:
		time := newBetween(between{"time", timeRank(r.from), timeRank(r.until) - 1, 0, math.MaxUint64})
		return p.every(append(p.formulasOf(r.within), time))
	case *orRule:
		return p.some(p.formulasOf(r.within))
	case *notRule:
		// A formula does not tell no from failed, which stays failed.
		if f, ok := p.opposite(turned(p.formula(&r.within[0]))); ok && plain(&r.within[0]) {
			return f
		}
	case *composite:
		return p.every([]formula{p.some(p.formulasOf(r.within)), unknown{}}) // what passes one within, up to a limit
	case *ottlCondition:
		return unknown{of.Text}
	}
	return unknown{}
}

// nowhere is the formula of a policy that looks for what is nowhere, or whose opposite does.
func nowhere(invert bool) formula {
	if invert {
		return every{}
	}
	return some{}
}

const (
	chance       = "chance "
	littleChance = "little chance "
)

// turned tells chance within a not or a drop apart from chance outside: there the least random traces pass, see compiler.least,
// so what one percentage passes says nothing about the other.
func turned(f formula) formula {
	switch f := f.(type) {
	case every:
		return every(turnedAll(f))
	case some:
		return some(turnedAll(f))
	case between:
		if salt, is := strings.CutPrefix(f.about, chance); is {
			f.about = littleChance + salt
		} else if salt, is := strings.CutPrefix(f.about, littleChance); is {
			f.about = chance + salt
		}
		return f
	}
	return f
}

func turnedAll(list []formula) []formula {
	all := make([]formula, len(list))
	for i, f := range list {
		all[i] = turned(f)
	}
	return all
}

func (p *prover) latency(r *latency) formula {
	high := int64(math.MaxInt64)
	if r.upTo != 0 {
		high = r.upTo
	}
	switch {
	case r.above >= high:
		return some{}
	case p.strict:
		// The Collector compares each duration that the trace had on the way; one can be negative.
		return found{"duration", rangeSet{timeRank(r.above + 1), timeRank(high)}, false}
	}
	return newBetween(between{"duration", uint64(r.above + 1), uint64(high), 0, math.MaxInt64})
}

// percentRank turns percentages into whole numbers of the same order, 0 into 0.
func percentRank(percent float64) uint64 { return math.Float64bits(math.Abs(percent)) }

// timeRank turns times into whole numbers of the same order.
func timeRank(ms int64) uint64 { return uint64(ms) ^ 1<<63 }

// newBetween leaves out values that no trace has, and recognises what every trace passes, and what none does.
func newBetween(b between) formula {
	b.low, b.high = max(b.low, b.least), min(b.high, b.most)
	switch {
	case b.low > b.high:
		return some{}
	case b.low == b.least && b.high == b.most:
		return every{}
	}
	return b
}

// plain reports whether a policy answers yes or no, and always the same for the same trace.
func plain(p *Policy) bool {
	switch p.rule.(type) {
	case alwaysSample, *latency, *statusCode, *stringAttribute, *numericAttribute, *booleanAttribute, *probabilistic, *spanCount,
		*traceState, traceFlags:
		return true
	}
	return nests(p, plain)
}

// repeatable reports whether the answer of a policy, be it that it failed, is always the same for the same trace: it does not
// depend on other traces.
func repeatable(p *Policy) bool {
	_, isOTTL := p.rule.(*ottlCondition)
	return isOTTL || plain(p) || nests(p, repeatable)
}

// nests reports whether a policy only combines others for all of which something holds.
func nests(p *Policy, holds func(*Policy) bool) bool {
	switch p.rule.(type) {
	case *andRule, *orRule, *notRule, *dropRule, *forceRule:
		for i := range p.Sub {
			if !holds(&p.Sub[i]) {
				return false
			}
		}
		return true
	}
	return false
}
