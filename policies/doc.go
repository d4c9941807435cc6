// Package policies reads the `policies:` list of the OpenTelemetry Collector's tail_sampling processor, verbatim, and
// decides traces by it.
//
// A list is compiled once into a [Plan]: the attribute keys that some policy looks at, one match bit for each distinct
// condition on spans, and a circuit of gates over those bits. A span is looked at once, when it arrives; what it
// contributes to its trace is a few bits that are ORed, a smaller start, a larger end and a count. Deciding is then a
// walk over the gates and never goes back to the spans, so it does not matter in which order, or in how many pieces,
// the spans came.
//
//	YAML node --Parse--> Plan --NewMatcher--> Matcher (one for each goroutine)
//
//	resource attributes --MatchResource--\
//	span ----------------MatchSpan--------> Trace.Matches --\
//	count, size, smallest start, largest end, root seen -----> Trace --Decide--> Verdict
//
// For example:
//
//	var doc yaml.Node
//	err := yaml.Unmarshal([]byte(`
//	- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
//	- {name: slow, type: latency, latency: {threshold_ms: 1000}}
//	- {name: one-percent, type: probabilistic, probabilistic: {sampling_percentage: 1}}
//	`), &doc)
//	plan, err := policies.Parse(doc.Content[0])
//	matcher := plan.NewMatcher()
//	trace := policies.Trace{ID: span.TraceID, Spans: 1, Matches: make([]uint64, plan.Words())}
//	matcher.MatchSpan(&span, trace.Matches)
//	matcher.Decide(&trace, &verdict)
//
// # Promises
//
// The same Plan and the same Trace give the same Verdict, on any machine and at any time. Nothing is drawn at random,
// no clock is read. MatchResource, MatchSpan and Decide do not allocate once caches are warm, and never panic.
//
// Drop policies are asked first, in list order: the first that matches drops the trace. Otherwise the trace is kept if
// any other policy matches, and the first of these in list order is the deciding one. Otherwise it is not kept.
//
// Parse reports all mistakes at once. Whatever would be ignored, or would match everything by accident, is a mistake.
//
// # Differences from the Collector
//
//   - A string policy matches string values only, a boolean policy booleans only, a numeric policy integers and doubles
//     only. The Collector reads a value of another type as "", false or 0.
//   - An empty string value matches no string policy, on resources as on spans.
//   - A bound of numeric_attribute that is written 0 is 0, one that is left out is no bound. In the Collector both mean
//     no bound. Bounds may have fractions.
//   - latency looks at the duration of the whole trace. The Collector's upper threshold applies to every duration that
//     the trace had on the way. A trace without start or end times has the duration 0.
//   - and, not and drop take any policy except drop, at any depth.
//   - Of several attributes with the same key in one span each can match; the Collector sees the first.
//   - The verdict carries the exact probability of keeping such a trace, see [Verdict].
//
// # Not here
//
// rate_limiting, bytes_limiting, ottl_condition and composite are recognised and refused as not supported yet.
//
// # Adding a policy
//
// A policy type is a file that has a function which reads the block and returns a rule; kinds in parse.go lists it. The
// rule says in words what it tests and compiles itself to a gate. A gate for a condition on spans asks the compiler for
// a bit; a gate for the whole trace looks at the Trace.
package policies
