// Package evaluate decides traces that are at hand, by the engine that decides them live.
//
//	OTLP ──Store.Add──► spans by trace, as bytes ──Store.Decide──► one record a trace, in the order of their ends
//	                                                              └──► sampler.Machine ──► Result a trace ──► Totals
//
// It promises that a trace gets the verdict that a node would give it that receives its spans at the time the trace ends,
// in a log of one partition: limits and adaptive policies work in the time of the traces, whatever the clock says now. What it
// cannot know is when spans really came: in a Result no span is late, and all inputs together are all the traffic there was.
//
// Spans stay the bytes they came as, with resources and scopes shared. So memory is the size of the spans in protobuf,
// and while a trace waits for its decision a second copy.
package evaluate
