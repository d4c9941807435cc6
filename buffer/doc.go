// Package buffer stores the traces of one partition while they wait for their decision, and remembers decisions
// for the spans that come late.
//
//	span bytes ──► Pages    chains of small pages, one chain a trace, freed as a whole
//	headers    ──► Headers  resource and scope bytes, each distinct one stored once
//	span IDs   ──► IDSets   exact sets, to recognise a span that was sent twice
//	trace ID   ──► Map      open traces and remembered decisions, one hash index over both
//
// It promises that memory is proportional to what it holds, counted in bytes (Map.Held); that nothing in it is a pointer per
// span or per trace, so that the garbage collector does not see spans; that no call allocates in steady state, since
// everything freed is used again; and that content never depends on memory addresses or map order.
//
// It does not know time, policies or Kafka: package sampler decides when a trace leaves. A Map belongs to one
// goroutine.
package buffer
