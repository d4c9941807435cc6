package policies

// A prover finds out whether every trace that passes one policy passes another. A no means that it does not know: it
// does not try everything, and gives up after a number of steps.
type prover struct {
	strict   bool
	formulas map[*Policy]formula
	steps    int // left
}

func newProver(strict bool) prover {
	// Enough to compare some hundred policies with each other, in a fraction of a second.
	const most = 1 << 21
	return prover{strict: strict, formulas: map[*Policy]formula{}, steps: most}
}

func (p *prover) spent() bool { return p.steps <= 0 }

// pay reports whether so many steps were left.
func (p *prover) pay(steps int) bool {
	p.steps -= steps
	return p.steps >= 0
}

// implies reports whether certainly every trace that passes a passes b.
func (p *prover) implies(a, b formula) bool {
	if !p.pay(1) {
		return false
	}
	if any, is := a.(some); is {
		return p.all(any, func(x formula) bool { return p.implies(x, b) })
	}
	if all, is := b.(every); is {
		return p.all(all, func(x formula) bool { return p.implies(a, x) })
	}
	if all, is := a.(every); is && p.one(all, func(x formula) bool { return p.implies(x, b) }) {
		return true
	}
	if any, is := b.(some); is {
		return p.one(any, func(x formula) bool { return p.implies(a, x) })
	}
	switch a := a.(type) {
	case between:
		b, is := b.(between)
		return is && a.about == b.about && b.low <= a.low && a.high <= b.high
	case found:
		b, is := b.(found)
		if !is || a.about != b.about || a.none != b.none {
			return false
		}
		if a.none {
			a, b = b, a
		}
		return a.values.within(b.values, p)
	case unknown:
		return a.text != "" && a == b
	}
	return false
}

func (p *prover) all(list []formula, holds func(formula) bool) bool {
	for _, f := range list {
		if p.spent() || !holds(f) {
			return false
		}
	}
	return true
}

func (p *prover) one(list []formula, holds func(formula) bool) bool {
	for _, f := range list {
		if p.spent() {
			return false
		}
		if holds(f) {
			return true
		}
	}
	return false
}

// exclude reports whether certainly no trace passes both.
func (p *prover) exclude(a, b formula) bool {
	if not, ok := p.opposite(b); ok {
		return p.implies(a, not)
	}
	not, ok := p.opposite(a)
	return ok && p.implies(b, not)
}

// exhaust reports whether certainly every trace passes one of them.
func (p *prover) exhaust(a, b formula) bool {
	if not, ok := p.opposite(a); ok {
		return p.implies(not, b)
	}
	not, ok := p.opposite(b)
	return ok && p.implies(not, a)
}

// every combines formulas that must all be passed.
func (p *prover) every(list []formula) formula {
	var all every
	for _, f := range list {
		switch f := f.(type) {
		case every:
			all = append(all, f...)
		case some:
			if len(f) == 0 {
				return f
			}
			all = append(all, f)
		default:
			all = append(all, f)
		}
	}
	for i := range all {
		if p.one(all[:i], func(f formula) bool { return p.exclude(f, all[i]) }) {
			return some{}
		}
	}
	return all
}

// some combines formulas of which one must be passed.
func (p *prover) some(list []formula) formula {
	var any some
	for _, f := range list {
		switch f := f.(type) {
		case some:
			any = append(any, f...)
		case every:
			if len(f) == 0 {
				return f
			}
			any = append(any, f)
		default:
			any = append(any, f)
		}
	}
	for i := range any {
		if p.one(any[:i], func(f formula) bool { return p.exhaust(f, any[i]) }) {
			return every{}
		}
	}
	return any
}

// opposite returns a formula that is passed by exactly the traces that do not pass f. There is none for what is unknown.
func (p *prover) opposite(f formula) (formula, bool) {
	if !p.pay(1) {
		return nil, false
	}
	switch f := f.(type) {
	case every:
		not, ok := p.opposites(f)
		return some(not), ok
	case some:
		not, ok := p.opposites(f)
		return every(not), ok
	case between:
		var not some
		if f.low > f.least {
			not = append(not, between{f.about, f.least, f.low - 1, f.least, f.most})
		}
		if f.high < f.most {
			not = append(not, between{f.about, f.high + 1, f.most, f.least, f.most})
		}
		if len(not) == 1 {
			return not[0], true
		}
		return not, true
	case found:
		f.none = !f.none
		return f, true
	}
	return nil, false
}

func (p *prover) opposites(list []formula) (not []formula, ok bool) {
	for _, f := range list {
		x, ok := p.opposite(f)
		if !ok {
			return nil, false
		}
		not = append(not, x)
	}
	return not, true
}
