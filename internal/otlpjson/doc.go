// Package otlpjson turns OTLP trace requests in JSON into protobuf, without building objects in between.
//
//	JSON ──► jsontext tokens ──► fields of the message they stand in ──► protobuf bytes
//
// It promises that what it takes is what the Collector's pdata takes, with the same content: camelCase and snake_case names,
// enums as numbers and as names, integers as numbers and as strings, IDs in hexadecimal, bytes in base64, null where pdata
// allows it, unknown fields skipped. It differs from pdata where pdata is not a JSON parser:
//
//   - What is not valid JSON is an error. pdata overlooks text behind the request and some misplaced commas.
//   - A name may be empty: it is unknown, as any other. To pdata it ends the object.
//   - Strings that are not UTF-8, and half surrogate pairs, get U+FFFD. pdata passes the bytes on.
//   - Escapes in IDs and in base64 are understood: "\/" is how PHP writes a slash.
//   - Numbers are rounded once.
//   - Nesting is limited, see MaxDepth.
//
// It promises too that its memory is the output and a few kilobytes, whatever the input: an element costs what it takes on the
// wire. The output is at most a small multiple of the input.
package otlpjson
