// Package ottl evaluates the expressions of ottl_condition policies with the Collector's own OTTL library.
//
//	policy text ──► Conditions.Compile ──► SpanCondition ─┐
//	resource and scope header, span bytes, time ──► view ─┴─► Match ──► true, false, or an error
//
// A path without context is one of the span, or of the event in the list of events; resource., scope., instrumentation_scope.
// and, of an event, span. lead elsewhere. All converters of OTTL can be used, and IsRootSpan of spans.
//
// It promises that an answer depends on the expression, the bytes of the span and its headers, and the timestamp of its record, and on
// nothing else, so that the log repeats it on any node at any time. OTTL by itself does not promise that; functions.go lists
// what is changed for it. In short: Now is the timestamp of the record, times without a zone are UTC, maps that a function made are in
// the order of their keys, and a function that cannot be made repeatable is refused when the policy is compiled.
//
// It promises further that no expression changes a span, that a span is decoded once for all conditions that look at it and only
// when one does, and that a span whose bytes cannot be decoded, or on which OTTL panics, gives an error and nothing worse.
//
// Conditions and what they compile are safe for concurrent use; a view belongs to one goroutine. Nothing here starts one.
package ottl
