// Package policies reads the `policies:` list of the OpenTelemetry Collector's tail_sampling processor, verbatim, and
// decides traces by it. It has policies of its own beside.
//
// A list is compiled once into a [Plan]: the attribute keys that some policy looks at, one match bit for each distinct
// condition on spans, and a circuit of gates over those bits. A span is looked at once, when it arrives; what it
// contributes to its trace is a few bits that are ORed, a smaller start, a larger end, a count, and hashes of the keys that
// kinds of traces are told apart by. Deciding is then a walk over the gates and never goes back to the spans, so it does not
// matter in which order, or in how many pieces, the spans came.
//
//	YAML node, Options --Parse--> Plan --NewMatcher--> Matcher (one for each sequence of decisions)
//
//	resource attributes --MatchResource--\
//	span ----------------MatchSpan--------> Trace.Matches --\
//	count, size, smallest start, largest end, root seen -----> Trace --Decide--> Verdict
//
//	all Traces of a tick --Settle--> DecideSettled for each --> Verdict
//	      Matcher.AppendState  <-- state -->  Matcher.SetState
//
// For example:
//
//	var doc yaml.Node
//	err := yaml.Unmarshal([]byte(`
//	- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
//	- {name: slow, type: latency, latency: {threshold_ms: 1000}}
//	- {name: one-percent, type: probabilistic, probabilistic: {sampling_percentage: 1}}
//	`), &doc)
//	plan, err := policies.Parse(doc.Content[0], policies.Options{})
//	matcher := plan.NewMatcher()
//	trace := policies.Trace{ID: span.TraceID, Spans: 1, Matches: make([]uint64, plan.Words())}
//	matcher.MatchSpan(&span, &policies.Context{}, trace.Matches)
//	matcher.Decide(&trace, &verdict)
//
// # Policies that depend on other traces
//
// Limits, composites, goals, diversity and baselines answer by what other traces there are. They are valves in the
// circuit: for all traces that are due in the same [Tick], Settle asks one valve after the other, those of drop policies
// first. A valve is asked about the traces to which its answer matters, that is, that would be kept if it said yes and
// would not if it said no. So nothing is spent on what another policy keeps, and what is due together competes by its
// randomness, never by its order. Within a not or a drop it passes the least random, so that the most random are kept in
// any case. The state of valves is all that a decision rests on besides the trace; it can be taken out and put into
// another Matcher, which then decides the same.
//
// A valve tells of each trace a limit: the randomness from which on it would have said yes, other things being equal. From
// these, and from the thresholds of percentages, follows the probability of the verdict, as a sum over the ranges between
// them.
//
// # Promises
//
// The same Plan, state and Traces give the same Verdicts, on any machine and at any time. Nothing is drawn at random, no clock
// is read, and sums of products are rounded one by one. The order of the traces of a tick does not matter.
// MatchResource, MatchSpan and Decide do not allocate once caches are warm, but for OTTL, and never panic.
//
// Force policies are asked first: if one matches, the trace is kept. Then drop policies: the first in list order that matches
// drops the trace. Otherwise the trace is kept if any other policy matches, and the first of these in list order is the
// deciding one. Otherwise it is not kept. A policy one of whose conditions could not be evaluated has no vote.
//
// Of the traces that had a chance, those that are kept, each counted 1/Probability times, are on average as many as there
// were, whatever they are counted by.
//
// Parse reports all mistakes at once. Whatever would be ignored, or would match everything by accident, is a mistake. Lint
// tells what is no mistake and makes no difference.
//
// # Differences from the Collector
//
//   - A string policy matches string values only, a boolean policy booleans only, a numeric policy integers and doubles
//     only. The Collector reads a value of another type as "", false or 0.
//   - An empty string value matches no string policy, on resources as on spans.
//   - A bound of numeric_attribute that is written 0 is 0, one that is left out is no bound. In the Collector both mean
//     no bound. Bounds may have fractions.
//   - latency looks at the duration of the whole trace. The Collector compares every duration that the trace had on the way. A
//     trace without start or end times has the duration 0.
//   - and, or, not, drop, force and composite take any policy except drop and force, at any depth.
//   - Of several attributes with the same key in one span each can match; the Collector sees the first.
//   - Limits are for traces that nothing else keeps, and give all traces of a tick about the same chance, whatever their size: one
//     that is larger than what there is passes and is paid off. The Collector's are spent on one trace after the other, in the order
//     of a Go map, and no trace larger than the burst passes.
//   - composite honours its order, and offers what one policy has no room for to the next.
//   - probabilistic goes by the randomness in the tracestate, if there is one.
//   - The verdict carries the exact probability of keeping such a trace, see [Verdict].
//
// With [Options].Strict the answers are the Collector's wherever it has one, except that the traces of a limit come in the order
// of their randomness. docs/policies.md has the whole list, internal/conformance checks it against the processor itself.
//
// # Adding a policy
//
// A policy type is a file that has a function which reads the block and returns a rule; kinds in parse.go lists it. The
// rule says in words what it tests and compiles itself to a gate. A gate for a condition on spans asks the compiler for
// a bit; a gate for the whole trace looks at the Trace; one that depends on other traces asks for a valve, and has a state
// that settles it. What the linter can know of it stands in lint_formula.go.
package policies
