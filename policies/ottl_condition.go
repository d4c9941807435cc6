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
	strict      bool
}

func errorModes() []string { return []string{"ignore", "silent", "propagate"} }

func readOTTLCondition(m *mapping) rule {
	r := &ottlCondition{strict: m.p.options.Strict}
	if mode, n := m.text("error_mode"); n != nil {
		mode = strings.ToLower(mode) // as the Collector reads it
		r.propagate = mode == "propagate"
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
}

func (r *ottlCondition) compile(c *compiler) gate {
	text := strconv.Quote(r.text())
	for i := range c.conditions {
		if c.conditions[i].text == text {
			return &ottlGate{c.conditions[i]}
		}
	}
	b := ottlBits{r, text, &spanBit{}, &spanBit{}}
	c.conditions = append(c.conditions, b)
	return &ottlGate{b}
}

type ottlGate struct{ ottlBits }

func (g *ottlGate) open(e *evaluation) answer {
	switch {
	case g.matched.set(e.trace.Matches):
		return yes
	case g.failed.set(e.trace.Matches):
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
		if b.matched.set(matches) || b.rule.strict && b.failed.set(matches) {
			continue
		}
		if !set {
			m.view.Set(c.Resource, c.Scope, s.Raw, c.Now)
			set = true
		}
		matched, err := b.rule.condition.Match(m.view)
		switch {
		case matched:
			matches[b.matched.word] |= b.matched.mask
		case err != nil && b.rule.propagate:
			matches[b.failed.word] |= b.failed.mask
		}
	}
}
