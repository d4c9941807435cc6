package conformance

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// An expression is a condition in OTTL and what it means, in Go.
type expression struct {
	text string
	eval func(at *site) (bool, error)
}

// A site is what an expression is about: a span, and perhaps one of its events.
type site struct {
	resource *resource
	scope    *scope
	span     *span
	event    *event
}

var errExpression = errors.New("cannot be evaluated")

// first returns the value of the first attribute with a key, as pcommon.Map has it; an absent one is empty.
func first(attrs []attr, key string) value {
	for _, a := range attrs {
		if a.key == key {
			return a.value
		}
	}
	return value{}
}

func (v value) is(s string) bool { return v.kind == kindString && v.text == s }

// atLeast compares with a whole number, as OTTL does: doubles too, but nothing that is no number.
func (v value) atLeast(n int64) bool {
	switch v.kind {
	case kindInt:
		return v.whole >= n
	case kindDouble:
		return v.double >= float64(n)
	}
	return false
}

// doc is what ParseJSON makes of a value.
func (v value) doc() (map[string]any, error) {
	var m map[string]any
	if v.kind != kindString || json.Unmarshal([]byte(v.text), &m) != nil {
		return nil, errExpression
	}
	return m, nil
}

func prefix(s string, n int) (string, error) {
	if len(s) < n {
		return "", errExpression
	}
	return s[:n], nil
}

func always(f func(at *site) bool) func(at *site) (bool, error) {
	return func(at *site) (bool, error) { return f(at), nil }
}

// spanExpressions is a pool for `span`. Those at the end can fail.
func spanExpressions() []*expression {
	return []*expression{
		{`attributes["tier"] == "gold"`, always(func(at *site) bool { return first(at.span.attrs, "tier").is("gold") })},
		{`span.attributes["code"] >= 500`, always(func(at *site) bool { return first(at.span.attrs, "code").atLeast(500) })},
		{`attributes["tier"] == nil`, always(func(at *site) bool { return first(at.span.attrs, "tier").isEmpty() })},
		{`attributes["hit"] == true and kind == SPAN_KIND_SERVER`, always(func(at *site) bool {
			v := first(at.span.attrs, "hit")
			return v.kind == kindBool && v.truth && at.span.kind == 2
		})},
		{`name == "GET /"`, always(func(at *site) bool { return at.span.name == "GET /" })},
		{`span.status.code == STATUS_CODE_ERROR`, always(func(at *site) bool { return at.span.status == 2 })},
		{`resource.attributes["service.name"] == "cart"`, always(func(at *site) bool {
			return first(at.resource.attrs, "service.name").is("cart")
		})},
		{`instrumentation_scope.name == "lib"`, always(func(at *site) bool { return at.scope.name == "lib" })},
		{`scope.attributes["tier"] == "gold"`, always(func(at *site) bool { return first(at.scope.attrs, "tier").is("gold") })},
		{`IsRootSpan()`, always(func(at *site) bool { return at.span.parent == [8]byte{} })},
		{`IsMatch(name, "^(GET|POST) /[a-z]+")`, always(func(at *site) bool {
			rest, ok := strings.CutPrefix(at.span.name, "GET /")
			if !ok {
				rest, ok = strings.CutPrefix(at.span.name, "POST /")
			}
			return ok && rest != "" && rest[0] >= 'a' && rest[0] <= 'z'
		})},
		{`end_time_unix_nano - start_time_unix_nano > 100000000`, always(func(at *site) bool {
			return int64(at.span.end)-int64(at.span.start) > 100_000_000
		})},
		{`trace_state["vendor"] == "debug"`, always(func(at *site) bool {
			s, err := oteltrace.ParseTraceState(at.span.state)
			return err == nil && s.Get("vendor") == "debug"
		})},
		{`not (name == "GET /" or status.code == STATUS_CODE_UNSET)`, always(func(at *site) bool {
			return at.span.name != "GET /" && at.span.status != 0
		})},
		{`Substring(name, 0, 5) == "POST "`, func(at *site) (bool, error) {
			s, err := prefix(at.span.name, 5)
			return s == "POST ", err
		}},
		{`ParseJSON(attributes["doc"])["a"] == 1`, func(at *site) (bool, error) {
			m, err := first(at.span.attrs, "doc").doc()
			if _, ok := m["a"]; err != nil || !ok {
				return false, errExpression
			}
			return m["a"] == 1.0, nil
		}},
	}
}

// eventExpressions is a pool for `spanevent`. The last one can fail.
func eventExpressions() []*expression {
	return []*expression{
		{`name == "exception"`, always(func(at *site) bool { return at.event.name == "exception" })},
		{`attributes["exception.type"] == "Timeout"`, always(func(at *site) bool {
			return first(at.event.attrs, "exception.type").is("Timeout")
		})},
		{`span.status.code == STATUS_CODE_ERROR and spanevent.name == "log"`, always(func(at *site) bool {
			return at.span.status == 2 && at.event.name == "log"
		})},
		{`span.name == "GET /"`, always(func(at *site) bool { return at.span.name == "GET /" })},
		{`resource.attributes["service.name"] == "cart"`, always(func(at *site) bool {
			return first(at.resource.attrs, "service.name").is("cart")
		})},
		{`Substring(name, 0, 4) == "exce"`, func(at *site) (bool, error) {
			s, err := prefix(at.event.name, 4)
			return s == "exce", err
		}},
	}
}

// sequence tries expressions on a site until one is true, or with stop until one fails.
func sequence(xs []*expression, at *site, stop bool) (bool, error) {
	for _, x := range xs {
		switch ok, err := x.eval(at); {
		case err != nil && stop:
			return false, err
		case err == nil && ok:
			return true, nil
		}
	}
	return false, nil
}

// onSpan evaluates the condition of an ottl_condition policy on a span and its events.
func (p *policy) onSpan(at site) (bool, error) {
	stop := strings.EqualFold(p.Mode, "propagate")
	if ok, err := sequence(p.Spans, &at, stop); ok || err != nil {
		return ok, err
	}
	if len(p.Events) == 0 {
		return false, nil
	}
	for i := range at.span.events {
		at.event = &at.span.events[i]
		if ok, err := sequence(p.Events, &at, stop); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// saturated returns a-b, or the nearest number that fits.
func saturated(a, b int64) int64 {
	d := a - b
	switch {
	case b > 0 && d > a:
		return math.MinInt64
	case b < 0 && d < a:
		return math.MaxInt64
	}
	return d
}

func oneOf[T comparable](v T, all ...T) bool { return slices.Contains(all, v) }
