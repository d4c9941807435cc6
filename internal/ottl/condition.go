package ottl

import (
	"context"
	"errors"
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"

	"thresher/policies"
)

// A condition is true of a span if one of its expressions is.
type condition struct {
	span        []expression[*ottlspan.TransformContext]
	event       []expression[*ottlspanevent.TransformContext]
	stopOnError bool
	indexed     bool // an expression asks for the index of the event, which costs allocations to give
}

// An expression is OTTL in the context K.
type expression[K any] struct {
	context string
	text    string
	ottl    *ottl.Condition[K]
}

var errForeignView = errors.New("the view of the span is not one of NewView")

// Match implements policies.SpanCondition.
func (c *condition) Match(in policies.SpanView) (bool, error) {
	v, ok := in.(*view)
	if !ok {
		return false, errForeignView
	}
	if err := v.decode(); err != nil {
		return false, err
	}
	var first error
	if len(c.span) > 0 {
		x := ottlspan.NewTransformContext(v.resourceSpans, v.scopeSpans, v.span)
		matched := anyTrue(v.ctx, c.span, x, c.stopOnError, &first)
		x.Close()
		if matched || first != nil && c.stopOnError {
			return matched, first
		}
	}
	if len(c.event) == 0 {
		return false, first
	}
	events := v.span.Events()
	for i := range events.Len() {
		var options []ottlspanevent.TransformContextOption
		if c.indexed {
			options = append(options, ottlspanevent.WithEventIndex(int64(i)))
		}
		x := ottlspanevent.NewTransformContext(v.resourceSpans, v.scopeSpans, v.span, events.At(i), options...)
		matched := anyTrue(v.ctx, c.event, x, c.stopOnError, &first)
		x.Close()
		if matched || first != nil && c.stopOnError {
			return matched, first
		}
	}
	return false, first
}

// anyTrue reports whether one of the expressions is true, and notes the first error if there is none yet.
func anyTrue[K any](ctx context.Context, list []expression[K], x K, stop bool, first *error) bool {
	for i := range list {
		matched, err := list[i].eval(ctx, x)
		if err != nil {
			if *first == nil {
				*first = &evaluationError{list[i].context, list[i].text, err}
			}
			if stop {
				return false
			}
			continue
		}
		if matched {
			return true
		}
	}
	return false
}

// eval evaluates the expression. OTTL panics on some values, for instance when two lists of strings are compared; a span that
// does it would otherwise end every node that reads it.
func (e *expression[K]) eval(ctx context.Context, x K) (matched bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			matched, err = false, fmt.Errorf("OTTL panics: %v", r)
		}
	}()
	return e.ottl.Eval(ctx, x)
}
