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

// Seen is a span of a trace that is explained, with the attributes of its resource, both scanned for Plan.Keys.
type Seen struct {
	Resource []wire.Attr
	Span     wire.Span
}

// Explain tells for each policy in the list, in its order, whether t passes it by itself and why. A drop policy that is passed
// drops the trace. spans are those of the trace, or nil. It allocates: it is for people who ask about one trace.
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
	why := explain(m.plan.policies, &m.e, spans)
	m.e.trace = nil
	return why
}

func explain(list []Policy, e *evaluation, spans []Seen) []Explanation {
	var why []Explanation
	for i := range list {
		p := &list[i]
		a := p.gate.open(e)
		x := Explanation{Name: p.Name, Type: p.Type, Text: p.Text, Passed: a == yes, Failed: a == failed, Sub: explain(p.Sub, e, spans)}
		if spans != nil {
			x.Saw = saw(p, e, spans)
		}
		why = append(why, x)
	}
	return why
}

// saw says what of the trace a policy looked at.
func saw(p *Policy, e *evaluation, spans []Seen) string {
	switch r := p.rule.(type) {
	case *latency, *baselineLatency:
		return strconv.FormatFloat(float64(e.trace.duration())/1e6, 'f', -1, 64) + " ms"
	case *spanCount:
		return fmt.Sprintf("%d spans", e.trace.Spans)
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
		if e.explicit {
			return "randomness " + percent(float64(e.randomness)/Never) + " from the tracestate, passes from " + percent(1-r.percent/100)
		}
		return "hash " + percent(float64(e.hash(p.gate.(*hashGate).salt))/(1<<64)) + ", passes up to " + percent(r.percent/100)
	case *forceRule:
		return "decided at " + inUTC(e.trace.Due)
	}
	switch g := p.gate.(type) {
	case valveGate:
		return sawValve(e, g)
	case *compositeGate:
		return sawValve(e, g.throttle)
	}
	return ""
}

func sawValve(e *evaluation, g valveGate) string {
	has := "randomness " + percent(float64(e.randomness)/Never)
	switch l := e.limits[g]; l {
	case Never:
		return has + ", none passed"
	case 0:
		return has + ", all passed"
	default:
		return has + ", passed from " + percent(float64(l)/Never)
	}
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
