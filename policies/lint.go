package policies

import (
	"cmp"
	"fmt"
	"slices"
)

// Warning is one policy that makes no difference, or hardly any. Line and Column are those of its YAML node, from 1.
type Warning struct {
	Line, Column int
	Path         string // such as policies[2].and.and_sub_policy[0]
	Msg          string // why it makes none and what to do
}

// String formats the warning as line:column: path: message. The caller puts the file name in front.
func (w Warning) String() string {
	return fmt.Sprintf("%d:%d: %s: %s", w.Line, w.Column, w.Path, w.Msg)
}

// Lint finds policies that make no difference to which traces are kept, in the order of the text. What it says is certain,
// but it does not find all: policies that depend on other traces, OTTL and most regular expressions are not seen through.
// Without the policies that it says to remove, the plan keeps the same traces. Of strict lists it also finds limits that are so small
// that usual traces never pass.
func (p *Plan) Lint() []Warning {
	var warnings []Warning
	for _, f := range p.lint() {
		warnings = append(warnings, f.Warning)
	}
	slices.SortStableFunc(warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return warnings
}

// A finding is a warning, and the policies that could all be removed without a difference.
type finding struct {
	Warning
	moot []*Policy
}

// A linter looks at one plan.
type linter struct {
	plan     *Plan
	prover   prover
	formulas []formula // by policy in the list
	moot     []bool    // by policy in the list: has been found to make no difference, so it is no reason for another
	findings []finding
}

func (p *Plan) lint() []finding {
	l := &linter{plan: p, prover: newProver(p.strict), moot: make([]bool, len(p.policies))}
	for i := range p.policies {
		l.formulas = append(l.formulas, l.prover.formula(&p.policies[i]))
	}
	if l.dropsAll() {
		return l.findings
	}
	if p.strict {
		l.starves(p.policies, func(i int) string { return fmt.Sprintf("policies[%d]", i) })
	}
	l.keepsNothing()
	l.passNothing()
	l.covered(l.isDrop, l.isDrop, l.droppedTwice)
	l.covered(l.isKept, l.isDrop, l.keptAndDropped)
	l.keepsAll()
	l.covered(l.isKeep, l.isKeep, l.keptTwice)
	for i := range p.policies {
		if !l.moot[i] {
			l.within(&p.policies[i], fmt.Sprintf("policies[%d]", i))
		}
	}
	return l.findings
}

func (l *linter) isDrop(i int) bool { return l.plan.isDrop[i] }
func (l *linter) isKeep(i int) bool { return !l.plan.isDrop[i] }

func (l *linter) isForce(i int) bool {
	_, is := l.plan.policies[i].rule.(*forceRule)
	return is
}

// isKept reports whether policy i keeps what no drop policy drops.
func (l *linter) isKept(i int) bool { return l.isKeep(i) && !l.isForce(i) }

func (l *linter) report(at *Policy, path string, moot []*Policy, format string, args ...any) {
	w := Warning{Line: at.Line, Column: at.Column, Path: path, Msg: fmt.Sprintf(format, args...)}
	l.findings = append(l.findings, finding{w, moot})
}

// found reports policy i of the list, which makes no difference.
func (l *linter) found(i int, format string, args ...any) {
	at := &l.plan.policies[i]
	l.moot[i] = true
	l.report(at, fmt.Sprintf("policies[%d]", i), []*Policy{at}, format, args...)
}

// others returns the policies that are not moot yet and that is holds for, except policy i.
func (l *linter) others(i int, is func(int) bool) (others []*Policy) {
	for j := range l.plan.policies {
		if j != i && !l.moot[j] && is(j) {
			others = append(others, &l.plan.policies[j])
		}
	}
	return others
}

// dropsAll finds a policy that drops every trace. Next to it nothing else is worth a word.
func (l *linter) dropsAll() bool {
	for i := range l.plan.policies {
		if !l.isDrop(i) || !always(l.formulas[i]) {
			continue
		}
		moot := append(l.others(i, l.isDrop), l.others(i, l.isKept)...)
		at, kept := &l.plan.policies[i], "nothing is kept"
		if slices.ContainsFunc(l.plan.policies, func(p Policy) bool { _, is := p.rule.(*forceRule); return is }) {
			kept = "nothing is kept but what force policies keep"
		}
		l.report(at, fmt.Sprintf("policies[%d]", i), moot, "%s drops every trace, so %s; remove it,"+
			" or put into it what you do not want", quote(at.Name), kept)
		return true
	}
	return false
}

// keepsNothing finds that there are drop policies only.
func (l *linter) keepsNothing() {
	if len(l.plan.policies) == 0 || slices.Contains(l.plan.isDrop, false) {
		return
	}
	l.report(&l.plan.policies[0], "policies[0]", nil, "the list has only drop policies, so nothing is kept;"+
		" add what to keep, such as {name: the-rest, type: always_sample}")
}

// passNothing finds policies that no trace passes.
func (l *linter) passNothing() {
	for i := range l.plan.policies {
		if p := &l.plan.policies[i]; never(l.formulas[i]) {
			l.found(i, "no trace passes %s, so it makes no difference: %s; remove it, or change it",
				quote(p.Name), l.whyNone(p))
		}
	}
}

// covered finds policies of one sort all whose traces pass a policy of another. It begins at the end, so that of two
// policies for the same traces it finds the later; and one that was found is no reason any more, so that all can be removed.
func (l *linter) covered(sort, by func(int) bool, say func(i, j int, same bool)) {
	n := len(l.plan.policies)
	reason := func(i int) int {
		for j := 0; j < n && !l.prover.spent(); j++ {
			if j != i && by(j) && !l.moot[j] && l.prover.implies(l.formulas[i], l.formulas[j]) && l.replaces(j, i) {
				return j
			}
		}
		return -1
	}
	reasons := make([]int, n)
	for i := n - 1; i >= 0; i-- {
		reasons[i] = -1
		if sort(i) && !l.moot[i] {
			reasons[i] = reason(i)
			l.moot[i] = reasons[i] >= 0
		}
	}
	for i, j := range reasons {
		if j < 0 {
			continue
		}
		if l.moot[j] { // found later: better name one that is to stay
			if k := reason(i); k >= 0 {
				j = k
			}
		}
		say(i, j, l.prover.implies(l.formulas[j], l.formulas[i]))
	}
}

// replaces reports whether policy j can do for policy i if all traces of i pass j too.
func (l *linter) replaces(j, i int) bool {
	// A force policy keeps what others drop, and keeps it from limits wherever it stands.
	if l.isForce(i) && !l.isForce(j) && (l.plan.firstMatch || slices.Contains(l.plan.isDrop, true)) {
		return false
	}
	if !l.plan.firstMatch || j < i {
		return true
	}
	// A trace that i decides is not asked of the policies from there to j: it would use up their limits if i were gone.
	return !slices.ContainsFunc(l.plan.policies[i:j+1], func(p Policy) bool { return !repeatable(&p) })
}

func (l *linter) droppedTwice(i, j int, same bool) { l.twice(i, j, "drops", same) }
func (l *linter) keptTwice(i, j int, same bool)    { l.twice(i, j, "keeps", same) }

func (l *linter) twice(i, j int, verb string, same bool) {
	p, other := &l.plan.policies[i], &l.plan.policies[j]
	if same {
		l.found(i, "%s makes no difference: %s %s the same traces%s; remove one of the two", quote(p.Name), place(other),
			verb, inBrackets(p))
		return
	}
	l.found(i, "%s makes no difference: %s%s %s all its traces%s too; remove it, or change one of the two", quote(p.Name),
		place(other), inBrackets(other), verb, inBrackets(p))
}

func (l *linter) keptAndDropped(i, j int, _ bool) {
	p, other := &l.plan.policies[i], &l.plan.policies[j]
	l.found(i, "%s makes no difference: %s%s drops all its traces%s, and a drop policy comes before all others; remove it,"+
		" or let the drop policy drop less", quote(p.Name), place(other), inBrackets(other), inBrackets(p))
}

// keepsAll finds a policy that keeps everything, so that no other that keeps makes a difference.
func (l *linter) keepsAll() {
	i := slices.IndexFunc(l.formulas, always)
	if i < 0 {
		return
	}
	isMoot := l.isKeep
	traces := "every trace"
	if slices.Contains(l.plan.isDrop, true) {
		isMoot, traces = l.isKept, "every trace that is not dropped"
	}
	if l.plan.firstMatch {
		// To a limit within a drop or force policy it matters which traces policies before it keep, and what it lets pass
		// matters in spite of a policy that keeps all.
		for j := range i {
			if !l.isKept(j) && !repeatable(&l.plan.policies[j]) {
				return
			}
		}
	}
	moot := l.others(i, isMoot)
	if len(moot) == 0 {
		return
	}
	const most = 8 // to name
	var names, limits []string
	for n, p := range moot {
		if n < most {
			names = append(names, place(p))
		}
		if slices.Contains([]string{"rate_limiting", "bytes_limiting", "composite", "adaptive"}, p.Type) {
			limits = append(limits, quote(p.Name))
		}
	}
	if n := len(moot) - most; n > 0 {
		names = append(names, fmt.Sprintf("%d more", n))
	}
	for j := range l.plan.policies {
		l.moot[j] = l.moot[j] || j != i && isMoot(j)
	}
	at := &l.plan.policies[i]
	what := "make"
	if len(names) == 1 {
		what = "makes"
	}
	msg := fmt.Sprintf("%s keeps %s, so %s %s no difference; remove it, or all that it makes needless", quote(at.Name), traces,
		joined(names), what)
	if len(limits) > 0 {
		msg += fmt.Sprintf("; a policy in the list takes nothing away from what another keeps, so %s cannot limit it: put a limit"+
			" and what it is to limit into one and policy", joined(limits))
	}
	l.report(at, fmt.Sprintf("policies[%d]", i), moot, "%s", msg)
}

// place names a policy and says where it is.
func place(p *Policy) string { return fmt.Sprintf("%s in line %d", quote(p.Name), p.Line) }

// inBrackets says what a policy tests, if a few words can.
func inBrackets(p *Policy) string {
	const longest = 100
	if text := tested(p); len(p.Sub) == 0 && len(text) <= longest {
		return " (" + text + ")"
	}
	return ""
}

// tested says what a policy tests, without the numbers that only a hash has use for.
func tested(p *Policy) string {
	if r, is := p.rule.(*probabilistic); is {
		return fmt.Sprintf("%v %% of trace IDs", r.percent)
	}
	return p.Text
}
