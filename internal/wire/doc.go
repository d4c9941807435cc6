// Package wire reads and writes OTLP trace protobuf as bytes, without building objects.
//
//	request ──► Walk ──► resource header, scope header, span bytes ──► ScanSpan ──► Span (fields that deciding needs)
//	request ──► Splitter ──► one fragment a partition: again a valid request
//	pieces (group numbers, span bytes) ──► Assembler ──► resource_spans of a valid request
//	bytes of strangers ──► Validate, ValidateResource, ValidateScope
//	spans, headers ──► RemarshalledSpan, RemarshalledResource, RemarshalledScope: how large pdata would write them
//
// It promises that the bytes of spans, resources, scopes and schema URLs come out as they went in, unknown fields
// included; that nothing allocates in steady state except output that the caller keeps; that no input makes it panic,
// recurse without bound or allocate in proportion to a length that the input merely claims; and that every result is a
// function of the arguments alone.
//
// A header is what a ResourceSpans or ScopeSpans message holds besides its scope_spans or spans: all other fields, byte for
// byte, in wire order. So the resource, its schema_url and whatever a later OTLP adds travel together.
//
// What it accepts is what the Collector's pdata accepts, apart from three things that no OTLP encoder writes and pdata
// reads in ways of its own: groups (wire types 3 and 4), field numbers above 2^29-1, and AnyValues nested deeper than
// MaxDepth. These are errors here. Strings are not checked for UTF-8, as in pdata.
//
// Nothing here is safe for concurrent use except KeySet, which is immutable. Slices in results alias the input; they are
// valid as long as the input is left alone.
package wire
