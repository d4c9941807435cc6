// Package tracefile reads traces from files of the formats in which people have them, as OTLP bytes.
//
//	file ──► gzip, zstd ──► OTLP JSON: a TracesData object a line, or one document ──► per ResourceSpans ─┐
//	                   ├──► Jaeger JSON: what its API and "Trace JSON" give ──────────► per trace ────────┼──► Sink.Traces
//	                   └──► OTLP protobuf: one message, or messages behind their length ► per ResourceSpans ┘
//	                                                                    what is wrong, with its place ──► Sink.Problem
//
// It promises that the format is told from the content, never from the name; that a file of any size is read with the memory of
// its largest line, ResourceSpans or Jaeger trace; that what is damaged is reported with file and line (or byte) and does not
// take anything else with it, as far as the format allows to find the next beginning; and that no content makes it panic
// or recurse without bound.
//
// The Collector's file exporter writes JSON lines, or with `format: proto` messages behind a length of four bytes; with
// `compression: zstd` each message is compressed by itself. All of these are read.
package tracefile
