// Package tracestate reads and writes W3C tracestates, and in them the member in which OpenTelemetry hands on sampling
// probability (OTEP 235).
//
//	vendor=1,ot=th:c;rv:89abcdef012345 ──► ScanOT ──► OT{RV, TH}: kept iff RV >= TH; Probability(TH) = 1/4
//	vendor=1,ot=th:c;rv:89abcdef012345 ──► AppendWith(OT{TH: Threshold(1/16)}) ──► ot=rv:89abcdef012345;th:f,vendor=1
//
// It promises to read and write the ot member as the Collector does (contrib pkg/sampling), so that a consistent sampler
// before or behind sees the same numbers; to keep the other members and the other ot sub-keys byte for byte; and never to
// write what it would not read. Nothing allocates except dst, when it is too small.
//
// It differs from pkg/sampling in three things. That counts what is between commas, also if it is nothing, and stops at 32;
// here 32 members are legal, as the W3C says. It writes an ot value longer than the 256 characters that it then refuses to
// read; here that is no result. It writes a state longer than the 1024 bytes that it then refuses to read; here the last
// members go.
//
// Valid, Value and what goes with them have the stricter grammar of the OpenTelemetry API's TraceState, by which the
// Collector's trace_state policy goes: no member twice, no blank between two commas.
package tracestate
