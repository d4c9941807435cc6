package policies

import "go.yaml.in/yaml/v3"

// Options say how a policy list is to be understood.
type Options struct {
	// Strict gives the answers of the Collector's processor also where they are its mistakes: `compat: strict`.
	Strict bool
	// FirstMatch is sample_on_first_match: a trace is decided by the first policy that matches, and policies after it are not
	// asked. Without it they are, for the verdict to name them. It changes what limits are spent on.
	FirstMatch bool
	// Partitions is among how many partitions, each with a random part of the traces, limits are divided. 0 is 1.
	Partitions int
	// Sizes makes Plan.Size tell the size of traces as the Collector counts it. It needs Strict.
	Sizes bool
	// Rescue is the list below rescue_on, nil if there is none.
	Rescue *yaml.Node
	// Conditions compiles OTTL. Without it ottl_condition is refused.
	Conditions SpanConditions
}

// SpanConditions compiles conditions in a language that needs spans as a whole.
type SpanConditions interface {
	// Compile returns the condition, or every mistake in it.
	Compile(e Expressions) (SpanCondition, []ExpressionError)
	// NewView returns a place to put spans, for one goroutine.
	NewView() SpanView
}

// Expressions is true of a span if one of Span is, or else one of SpanEvent of one of its events; they are tried in this order.
type Expressions struct {
	Span, SpanEvent []string
	// StopOnError makes the first expression that cannot be evaluated the end: without it, it is as good as false.
	StopOnError bool
}

// An ExpressionError is a mistake in one expression.
type ExpressionError struct {
	Event bool // in SpanEvent, not Span
	Index int
	Msg   string // what is wrong and what to write instead
}

// A SpanView holds the span that conditions look at.
type SpanView interface {
	// Set puts a span in: the headers of its resource and scope as wire.Walk gives them, the Span message, and the partition
	// time, in Unix milliseconds, that conditions take for the present. The bytes are not changed, and not kept after the next Set.
	Set(resource, scope, span []byte, now int64)
}

// A SpanCondition is compiled Expressions. Its answer depends on the view alone.
type SpanCondition interface {
	// Match reports whether the span meets the condition. The error is that of the first expression that could not be
	// evaluated, if none was true before it; without StopOnError one after it may have been.
	Match(v SpanView) (bool, error)
}
