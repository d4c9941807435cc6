package policies

import (
	"slices"
	"strconv"
	"strings"

	"thresher/internal/suggest"
	"thresher/internal/wire"
)

// ottlCondition passes a trace with a span, or an event of a span, for which an expression in OTTL is true.
type ottlCondition struct {
	expressions Expressions
	condition   SpanCondition
	propagate   bool // an expression that cannot be evaluated takes the vote from the policy
	ignore      bool // it is as good as false, and who runs this is told
	strict      bool
}

func errorModes() []string { return []string{"ignore", "silent", "propagate"} }

func readOTTLCondition(m *mapping) rule {
	r := &ottlCondition{strict: m.p.options.Strict}
	if mode, n := m.text("error_mode"); n != nil {
		mode = strings.ToLower(mode) // as the Collector reads it
		r.propagate, r.ignore = mode == "propagate", mode == "ignore"
		if !slices.Contains(errorModes(), mode) {
			hint := suggest.DidYouMean(mode, errorModes())
			if hint == "" {
				hint = "; known are " + joined(errorModes())
			}
			m.p.errorf(n, m.sub("error_mode"), "unknown mode %s%s", quote(mode), hint)
		}
	}
	const example = `['attributes["http.route"] == "/pay"']`
	var span, event []item
	if m.get("span") != nil && !m.emptyList("span") {
		span = m.texts("span", example)
	}
	if m.get("spanevent") != nil && !m.emptyList("spanevent") {
		event = m.texts("spanevent", `['name == "exception"']`)
	}
	r.expressions.StopOnError = r.propagate
	if len(span)+len(event) == 0 {
		m.p.errorf(m.at, m.path, "has no expression; write span: %s, or spanevent", example)
		return r
	}
	for _, i := range span {
		r.expressions.Span = append(r.expressions.Span, i.text)
	}
	for _, i := range event {
		r.expressions.SpanEvent = append(r.expressions.SpanEvent, i.text)
	}
	if m.p.options.Conditions == nil {
		m.p.errorf(m.at, m.path, "OTTL cannot be evaluated here")
		return r
	}
	condition, errs := m.p.options.Conditions.Compile(r.expressions)
	for _, err := range errs {
		at := span
		if err.Event {
			at = event
		}
		m.p.errorf(at[err.Index].node, at[err.Index].path, "%s", err.Msg)
	}
	r.condition = condition
	return r
}

// emptyList reports whether a field is an empty list, which is as good as none.
func (m *mapping) emptyList(key string) bool {
	n := deref(m.get(key).value)
	return n.Kind != 0 && len(n.Content) == 0 && n.ShortTag() == "!!seq"
}

func (r *ottlCondition) text() string {
	var any []string
	for _, x := range r.expressions.Span {
		any = append(any, "span: "+x)
	}
	for _, x := range r.expressions.SpanEvent {
		any = append(any, "event: "+x)
	}
	text := strings.Join(any, " or ")
	if r.propagate {
		text += " (no vote on error)"
	}
	return text
}

// ottlBits are the bits of a condition.
type ottlBits struct {
	rule            *ottlCondition
	text            string
	matched, failed *spanBit
	in, ignored     []uint64 // the policies of the list that it is within, and those of them in which errors are ignored: bit i%64 of word i/64
}

func (r *ottlCondition) compile(c *compiler) gate {
	text := strconv.Quote(r.text())
	i := slices.IndexFunc(c.conditions, func(b ottlBits) bool { return b.text == text })
	if i < 0 {
		i = len(c.conditions)
		words := (len(c.plan.policies) + 63) / 64
		c.conditions = append(c.conditions, ottlBits{r, text, &spanBit{}, &spanBit{}, make([]uint64, words), make([]uint64, words)})
	}
	b := c.conditions[i]
	if !c.rescuing {
		b.in[c.policy/64] |= 1 << (c.policy % 64)
		if r.ignore {
			b.ignored[c.policy/64] |= 1 << (c.policy % 64)
		}
	}
	return &ottlGate{b}
}

type ottlGate struct{ ottlBits }

func (g *ottlGate) open(e *evaluation) answer {
	switch {
	case g.matched.set(e.trace.Matches):
		return yes
	case g.rule.propagate && g.failed.set(e.trace.Matches):
		return failed
	}
	return no
}

// conditions evaluates OTTL on a span, as far as its trace has not matched yet. The Collector stops at the first span that
// fails; here a span that matches counts wherever it stands, since spans come in any order.
func (m *Matcher) conditions(s *wire.Span, c *Context, matches []uint64) {
	set := false
	for i := range m.plan.conditions {
		b := &m.plan.conditions[i]
		if b.matched.set(matches) || b.rule.strict && b.rule.propagate && b.failed.set(matches) {
			continue
		}
		if !set {
			m.view.Set(c.Resource, c.Scope, s.Raw, c.Now)
			set = true
		}
		matched, err := b.rule.condition.Match(m.view)
		if matched {
			matches[b.matched.word] |= b.matched.mask
			continue
		}
		if err != nil {
			matches[b.failed.word] |= b.failed.mask
			if m.errors[i] == "" {
				m.errors[i] = err.Error() // its text, since the error may hold on to the span
			}
		}
	}
}

// findErrors fills in which policies a condition is within that could not be evaluated for a span, and was true of none. Whether it
// was before or after that makes no difference, as spans come in any order.
func (v *Verdict) findErrors(p *Plan, matches []uint64) {
	for i := range p.conditions {
		if b := &p.conditions[i]; b.failed.set(matches) && !b.matched.set(matches) {
			for w := range v.Erred {
				v.Erred[w] |= b.in[w]
			}
		}
	}
}

// An EvaluationError tells of a policy with a condition that could not be evaluated for a span.
type EvaluationError struct {
	Policy  int    // its index
	Ignored bool   // error_mode: ignore
	Text    string // what the first such span since the last call led to
}

// TakeErrors returns what conditions in policies of the list could not be evaluated since the last call, at most one error for each policy.
func (m *Matcher) TakeErrors() (list []EvaluationError) {
	for i, text := range m.errors {
		if text == "" {
			continue
		}
		m.errors[i] = ""
		b := &m.plan.conditions[i]
		for policy := range m.plan.policies {
			bit := uint64(1) << (policy % 64)
			if b.in[policy/64]&bit == 0 || slices.ContainsFunc(list, func(e EvaluationError) bool { return e.Policy == policy }) {
				continue
			}
			list = append(list, EvaluationError{policy, b.ignored[policy/64]&bit != 0, text})
		}
	}
	return list
}
