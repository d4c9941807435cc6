// Package shop makes the traffic of an online shop of ten services: seeded, repeatable, and fast enough that a
// benchmark measures its subject and not its load.
//
//	arrivals ──► one trace: tree of calls ──► one queue an exporter ──► export requests in emission order
//	             errors, slow calls,          (SDKs and node agents     Request{At, Data, Spans}
//	             retries, late spans          flush at intervals)
//
// It promises that a seed and a Config give the same bytes on every machine and in every run; that requests come in the order of
// their virtual time; that the spans of a trace are spread over the requests of the services that made them, children
// before parents and the other way round, as SDKs do; and that Truth tells exactly what has been emitted. Every request is a valid
// OTLP ExportTraceServiceRequest in which resources, scopes, events, links, trace states and about fourteen attributes
// a span look like those of instrumented programs.
//
// Nothing here reads a clock: time is virtual, and the caller may pace it. A Shop and a Uniform belong to one goroutine.
package shop
