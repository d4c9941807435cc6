package policies

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"thresher/internal/wire"
)

// An Explanation says whether a trace passes a policy, and the same of the policies within it.
type Explanation struct {
	Name, Type string
	Text       string // what the policy tests
	Saw        string // what it found in the trace; empty if spans were not at hand or there is nothing to say
	Passed     bool
	Failed     bool // it could not be evaluated, so it has no vote
	Sub        []Explanation
}

// Seen is a span of a trace that is explained, with the attributes of its resource, both scanned for Plan.Keys. The headers are as
// in Context; without them nothing is said of what ottl_condition saw.
type Seen struct {
	Resource                    []wire.Attr
	ResourceHeader, ScopeHeader []byte
	Span                        wire.Span
}

// Explain tells for each policy in the list, in its order, whether t passes it by itself and why. A drop policy that is passed
// drops the trace. spans are those of the trace, each once, or nil. It allocates: it is for people who ask about one trace.
func (m *Matcher) Explain(t *Trace, spans []Seen) []Explanation {
	m.alone(t)
	return m.explain(spans)
}

// ExplainSettled tells the same of trace i of the last Settle.
func (m *Matcher) ExplainSettled(i int, spans []Seen) []Explanation {
	m.batch.load(i)
	return m.explain(spans)
}

func (m *Matcher) explain(spans []Seen) []Explanation {
	why := m.explainAll(m.plan.policies, spans)
	m.e.trace = nil
	return why
}

func (m *Matcher) explainAll(list []Policy, spans []Seen) []Explanation {
	e := &m.e
	var why []Explanation
	for i := range list {
		p := &list[i]
		a := p.gate.open(e)
		x := Explanation{Name: p.Name, Type: p.Type, Text: p.Text, Passed: a == yes, Failed: a == failed, Sub: m.explainAll(p.Sub, spans)}
		if spans != nil {
			x.Saw = m.saw(p, spans)
		}
		why = append(why, x)
	}
	return why
}

// saw says what of the trace a policy looked at.
func (m *Matcher) saw(p *Policy, spans []Seen) string {
	e := &m.e
	switch r := p.rule.(type) {
	case *latency, *baselineLatency:
		return strconv.FormatFloat(float64(e.trace.duration())/1e6, 'f', -1, 64) + " ms"
	case *spanCount:
		return sawSpans(e, spans)
	case *stringAttribute:
		return sawAttribute(e, r.key, spans)
	case *numericAttribute:
		return sawAttribute(e, r.key, spans)
	case *booleanAttribute:
		return sawAttribute(e, r.key, spans)
	case *statusCode:
		return sawCounts(spans, func(s *wire.Span) string {
			if i := int(s.Status); i >= 0 && i < len(statusNames()) {
				return statusNames()[i]
			}
			return strconv.Itoa(int(s.Status))
		})
	case *traceState:
		return sawCounts(spans, func(s *wire.Span) string {
			if len(s.TraceState) == 0 {
				return "no tracestate"
			}
			return quote(string(s.TraceState))
		})
	case traceFlags:
		return sawCounts(spans, func(s *wire.Span) string {
			if s.Flags&1 == 1 {
				return "sampled"
			}
			return "not sampled"
		})
	case *probabilistic:
		g := p.gate.(*hashGate)
		switch has := "randomness " + percent(float64(e.randomness)/Never) + " from the tracestate, passes "; {
		case e.explicit && g.least:
			return has + "below " + percent(r.percent/100)
		case e.explicit:
			return has + "from " + percent(1-r.percent/100)
		}
		return "hash " + percent(float64(e.hash(g.salt))/(1<<64)) + ", passes up to " + percent(r.percent/100)
	case *ottlCondition:
		return m.sawErrors(r, spans)
	case *forceRule:
		return "decided at " + inUTC(e.trace.Now)
	}
	switch g := p.gate.(type) {
	case valveGate:
		return m.sawValve(g, spans)
	case *compositeGate:
		return m.sawValve(g.throttle, spans)
	}
	return ""
}

// sawSpans says how many spans policies count: in strict lists those that came again too, which are not among the spans.
func sawSpans(e *evaluation, spans []Seen) string {
	n := int64(e.trace.Spans)
	if again := n - int64(len(spans)); again > 0 {
		return fmt.Sprintf("%s (%d of them repeated)", counted(n, "span"), again)
	}
	return counted(n, "span")
}

func (m *Matcher) sawValve(g valveGate, spans []Seen) string {
	e := &m.e
	has := "randomness " + percent(float64(e.randomness)/Never)
	v := &e.plan.valves[g]
	l := e.limits[g]
	switch {
	case e.plan.strict && v.takesTurns(): // there is no limit for all
		return sawStrict(e, v, e.answers[g], spans)
	case e.answers[g] == no && l != Never && e.random(v.least) >= l:
		return has + ", would pass, but makes no difference to the trace"
	}
	switch l {
	case Never:
		if _, kinds := v.share.(*diversity); kinds {
			return has + ", no place was left for its kind"
		}
		return has + ", none passed"
	case 0:
		return has + ", all passed"
	}
	if v.least {
		return has + ", passed below " + percent(float64(Never-l)/Never) + m.paysOff(g)
	}
	return has + ", passed from " + percent(float64(l)/Never) + m.paysOff(g)
}

// paysOff says of a limit that it had a debt in the last tick.
func (m *Matcher) paysOff(g valveGate) string {
	owed, what, partitions := int64(0), "span", 1
	switch s := m.states[g].(type) {
	case *limiterState:
		owed, what, partitions = s.owed, strings.TrimSuffix(s.unit, "s"), s.partitions
	case *compositeState:
		partitions = s.partitions
		for k, within := range s.gates {
			if within.open(&m.e) == yes {
				owed = max(owed, s.owed[k])
			}
		}
	}
	if owed == 0 {
		return ""
	}
	whose := "the limit"
	if partitions > 1 {
		whose = "this partition's share of the limit"
	}
	return ", while " + whose + " is paying off " + counted(owed, what) + " of earlier traces"
}

// takesTurns reports whether the valve passes one trace after the other in strict lists.
func (v *valve) takesTurns() bool {
	switch v.share.(type) {
	case *limiter, *compositeValve:
		return true
	}
	return false
}

// sawStrict says what a limit answered that passes one trace after the other.
func sawStrict(e *evaluation, v *valve, a answer, spans []Seen) string {
	if large := tooLarge(e, v.share, spans); large != "" {
		return large
	}
	if a == yes {
		return "room for it"
	}
	return "no room for it, or was not asked"
}

// tooLarge says that a trace is larger than a limit of a strict list ever passes, if it is.
func tooLarge(e *evaluation, share stateful, spans []Seen) string {
	switch r := share.(type) {
	case *limiter:
		if cost := r.cost(e.trace); cost > r.largest() {
			has := sawSpans(e, spans)
			if r.unit == "bytes" {
				has = counted(int64(cost), "byte")
			}
			return fmt.Sprintf("%s, more than the %d that burst_capacity ever allows", has, r.largest())
		}
	case *compositeValve:
		most, by := -1.0, ""
		for k, within := range r.gate.gates {
			if within.open(e) == yes && r.gate.allocated[k] > most {
				most, by = r.gate.allocated[k], r.gate.within[k].Name
			}
		}
		if most = min(most, r.gate.total) / float64(r.gate.partitions); by != "" && float64(e.trace.Spans) > most {
			return fmt.Sprintf("%s, more than the %g that %s ever gets", sawSpans(e, spans), most, by)
		}
	}
	return ""
}

// sawErrors says for which spans a condition has no answer. Now() in it is when the trace is decided, not when each span came.
func (m *Matcher) sawErrors(r *ottlCondition, spans []Seen) string {
	erred, text := 0, ""
	for i := range spans {
		s := &spans[i]
		if s.ResourceHeader == nil {
			return ""
		}
		m.view.Set(s.ResourceHeader, s.ScopeHeader, s.Span.Raw, m.e.trace.Now)
		if _, err := r.condition.Match(m.view); err != nil {
			if erred++; erred == 1 {
				text = err.Error()
			}
		}
	}
	if erred == 0 {
		return ""
	}
	return fmt.Sprintf("an error for %d of %s: %s", erred, counted(int64(len(spans)), "span"), text)
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 5, 64) + " %" }

// sawAttribute lists the values of an attribute, on spans and their resources.
func sawAttribute(e *evaluation, key string, spans []Seen) string {
	index := e.plan.keys.Index([]byte(key))
	var values []string
	for i := range spans {
		for _, attrs := range [][]wire.Attr{spans[i].Resource, spans[i].Span.Attrs} {
			for _, a := range attrs {
				if v := inValue(a.Value); a.Key == index && !slices.Contains(values, v) {
					values = append(values, v)
				}
			}
		}
	}
	if len(values) == 0 {
		return "no " + quote(key)
	}
	return shortened(values)
}

func inValue(v wire.Value) string {
	switch v.Kind {
	case wire.ValueString:
		return quote(string(v.Bytes))
	case wire.ValueBool:
		return strconv.FormatBool(v.Num == 1)
	case wire.ValueInt:
		return strconv.FormatInt(int64(v.Num), 10)
	case wire.ValueDouble:
		return strconv.FormatFloat(floatOf(v.Num), 'g', -1, 64)
	case wire.ValueArray:
		return "a list"
	case wire.ValueMap:
		return "a map"
	case wire.ValueBytes:
		return "bytes"
	}
	return "an empty value"
}

// sawCounts tells how many spans are called what, in the order of their first.
func sawCounts(spans []Seen, call func(*wire.Span) string) string {
	var names []string
	counts := map[string]int{}
	for i := range spans {
		name := call(&spans[i].Span)
		if counts[name]++; counts[name] == 1 {
			names = append(names, name)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%d x %s", counts[name], name)
	}
	return shortened(names)
}

// shortened lists a few words.
func shortened(words []string) string {
	const most = 5
	if n := len(words) - most; n > 0 {
		words = append(words[:most:most], fmt.Sprintf("%d more", n))
	}
	return strings.Join(words, ", ")
}
