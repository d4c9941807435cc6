package policies

import (
	"fmt"
	"slices"
)

// within looks for policies within p, at any depth, that make no difference to what passes p.
func (l *linter) within(p *Policy, path string) {
	moot := make([]bool, len(p.Sub))
	// found reports sub-policy i, which leaves at least one other.
	found := func(i int, format string, args ...any) {
		moot[i] = true
		at := &p.Sub[i]
		args = append([]any{quote(at.Name)}, args...)
		l.report(at, subPath(p, path, i), []*Policy{at}, format, args...)
	}
	switch p.rule.(type) {
	case *andRule, *dropRule, *forceRule:
		l.needlessInAnd(p, moot, found)
	case *orRule:
		l.needlessInOr(p, moot, found)
	}
	for i := range p.Sub {
		if !moot[i] {
			l.within(&p.Sub[i], subPath(p, path, i))
		}
	}
}

// needlessInAnd finds what every trace passes, or every trace that passes another.
func (l *linter) needlessInAnd(p *Policy, moot []bool, found func(i int, format string, args ...any)) {
	formulas := l.prover.formulasOf(p.Sub)
	for i, left := len(p.Sub)-1, len(p.Sub); i >= 0 && left > 1 && !l.prover.spent(); i-- {
		if always(formulas[i]) {
			found(i, "every trace passes %s, so it makes no difference within %s; remove it", quote(p.Name))
			left--
			continue
		}
		for j := range p.Sub {
			if j == i || moot[j] || !l.prover.implies(formulas[j], formulas[i]) || !undisturbed(p.Sub, i, j) {
				continue
			}
			if left--; l.prover.implies(formulas[i], formulas[j]) {
				found(i, "%s makes no difference within %s: %s tests the same%s; remove one of the two", quote(p.Name),
					place(&p.Sub[j]), inBrackets(&p.Sub[i]))
			} else {
				found(i, "%s makes no difference within %s: what passes %s%s passes it%s too; remove it, or change one of the two",
					quote(p.Name), place(&p.Sub[j]), inBrackets(&p.Sub[j]), inBrackets(&p.Sub[i]))
			}
			break
		}
	}
}

// needlessInOr finds what no trace passes, or only traces that pass another.
func (l *linter) needlessInOr(p *Policy, moot []bool, found func(i int, format string, args ...any)) {
	formulas := l.prover.formulasOf(p.Sub)
	for i, left := len(p.Sub)-1, len(p.Sub); i >= 0 && left > 1 && !l.prover.spent(); i-- {
		if !plain(&p.Sub[i]) {
			continue // without it, what failed before would be a no
		}
		if never(formulas[i]) {
			found(i, "no trace passes %s, so it makes no difference within %s: %s; remove it, or change it", quote(p.Name),
				l.whyNone(&p.Sub[i]))
			left--
			continue
		}
		for j := range p.Sub {
			if j == i || moot[j] || !l.prover.implies(formulas[i], formulas[j]) || !undisturbed(p.Sub, i, j) {
				continue
			}
			if left--; l.prover.implies(formulas[j], formulas[i]) {
				found(i, "%s makes no difference within %s: %s tests the same%s; remove one of the two", quote(p.Name),
					place(&p.Sub[j]), inBrackets(&p.Sub[i]))
			} else {
				found(i, "%s makes no difference within %s: what passes it%s passes %s%s too; remove it, or change one of the two",
					quote(p.Name), inBrackets(&p.Sub[i]), place(&p.Sub[j]), inBrackets(&p.Sub[j]))
			}
			break
		}
	}
}

// undisturbed reports whether i may go because of j. If i stands first, it decides whether what comes before j, or is j, is
// asked, or fails before it is: this matters to limits, and to a not around it.
func undisturbed(list []Policy, i, j int) bool {
	return j < i || !slices.ContainsFunc(list[i:j+1], func(p Policy) bool { return !plain(&p) })
}

func subPath(p *Policy, path string, i int) string {
	path += "." + p.Type + "." + p.Type + "_sub_policy"
	if _, is := p.rule.(*notRule); is {
		return path
	}
	return fmt.Sprintf("%s[%d]", path, i)
}

// whyNone says why no trace passes a policy.
func (l *linter) whyNone(p *Policy) string {
	switch p.rule.(type) {
	case *andRule, *dropRule, *forceRule:
	case *orRule, *composite:
		return "none passes any policy within it"
	case *notRule:
		return fmt.Sprintf("every trace passes %s%s within it", place(&p.Sub[0]), inBrackets(&p.Sub[0]))
	default:
		return "it is for " + tested(p)
	}
	formulas := l.prover.formulasOf(p.Sub)
	for i := range p.Sub {
		if never(formulas[i]) {
			return fmt.Sprintf("none passes %s within it%s", place(&p.Sub[i]), inBrackets(&p.Sub[i]))
		}
	}
	for i := range p.Sub {
		for j := range i {
			if l.prover.exclude(formulas[j], formulas[i]) {
				return fmt.Sprintf("%s%s and %s%s within it exclude each other", place(&p.Sub[j]), inBrackets(&p.Sub[j]),
					place(&p.Sub[i]), inBrackets(&p.Sub[i]))
			}
		}
	}
	return "the policies within it exclude each other"
}
