package ottl

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"thresher/policies"
)

// Conditions compiles OTTL expressions about spans and their events. It implements policies.SpanConditions.
type Conditions struct {
	span  language[*ottlspan.TransformContext]
	event language[*ottlspanevent.TransformContext]
}

// New returns the compiler.
func New() *Conditions {
	quiet := component.TelemetrySettings{Logger: zap.NewNop()}
	// Without otelcol, which is about the request that brought a span to a Collector.
	names := []string{"span", "resource", "scope", "instrumentation_scope"}
	inSpan, inEvent := spanFunctions(), eventFunctions()
	span := parsed(ottlspan.NewParser(inSpan, quiet, ottl.WithPathContextNames[*ottlspan.TransformContext](names)))
	event := parsed(ottlspanevent.NewParser(inEvent, quiet,
		ottl.WithPathContextNames[*ottlspanevent.TransformContext](append(names, "spanevent"))))
	errs := newReader()
	return &Conditions{
		span:  newLanguage("span", &span, inSpan, errs, quiet),
		event: newLanguage("spanevent", &event, inEvent, errs, quiet),
	}
}

// parsed takes the error out of calls that fail only if their arguments are wrong, which here are constants.
func parsed[T any](v T, err error) T {
	if err != nil {
		panic("ottl: " + err.Error())
	}
	return v
}

// A language is OTTL in one context.
type language[K any] struct {
	context    string
	collection *ottl.ParserCollection[[]*ottl.Condition[K]]
	functions  []string // sorted
	errs       *reader
}

// newLanguage goes by way of a collection of one parser because only collections put the context before bare paths.
func newLanguage[K any](
	context string, parser *ottl.Parser[K], functions map[string]ottl.Factory[K], errs *reader, s component.TelemetrySettings,
) language[K] {
	type conditions = []*ottl.Condition[K]
	same := func(_ *ottl.ParserCollection[conditions], _ ottl.ConditionsGetter, c conditions) (conditions, error) {
		return c, nil
	}
	collection := parsed(ottl.NewParserCollection(s,
		ottl.WithParserCollectionContext(context, parser, ottl.WithConditionConverter(same))))
	return language[K]{context, collection, slices.Sorted(maps.Keys(functions)), errs}
}

// compile compiles a list, one by one for the sake of the errors.
func (l *language[K]) compile(list []string, mistake func(i int, msg string)) []expression[K] {
	out := make([]expression[K], 0, len(list))
	for i, text := range list {
		c, err := l.collection.ParseConditionsWithContext(l.context, ottl.NewConditionsGetter([]string{text}), true)
		if err != nil {
			mistake(i, l.errs.mistake(text, l.context, err, l.functions))
			continue
		}
		out = append(out, expression[K]{l.context, text, c[0]})
	}
	return out
}

// Compile compiles expressions. The errors name each expression that is wrong; then there is no condition. Without any expression
// the condition is true of no span.
func (c *Conditions) Compile(e policies.Expressions) (policies.SpanCondition, []policies.ExpressionError) {
	var errs []policies.ExpressionError
	out := &condition{stopOnError: e.StopOnError}
	out.span = c.span.compile(e.Span, func(i int, msg string) {
		errs = append(errs, policies.ExpressionError{Index: i, Msg: msg})
	})
	out.event = c.event.compile(e.SpanEvent, func(i int, msg string) {
		errs = append(errs, policies.ExpressionError{Event: true, Index: i, Msg: msg})
	})
	if len(errs) > 0 {
		return nil, errs
	}
	for _, text := range e.SpanEvent {
		out.indexed = out.indexed || strings.Contains(text, "event_index")
	}
	return out, nil
}

// NewView returns an empty view.
func (c *Conditions) NewView() policies.SpanView { return newView() }
