package otlpjson

import "google.golang.org/protobuf/encoding/protowire"

// A message is one of the messages of an OTLP trace request.
type message uint8

const (
	request message = iota
	resourceSpans
	resource
	entityRef
	scopeSpans
	scope
	span
	event
	link
	status
	keyValue
	keyValueList
	arrayValue
	anyValue
)

// A kind is how a field is written, in JSON and on the wire.
type kind uint8

const (
	unknown kind = iota
	text
	boolean
	varint32
	varint64
	uvarint32
	fixed32
	fixed64
	double
	base64Bytes
	traceID
	spanID
	spanKind
	statusCode
	object
	objects // an array of them
	texts
)

// A field is what a name means in a message.
type field struct {
	number protowire.Number
	kind   kind
	of     message // of object and objects
	// oneof: the field says which of several there is, so it is written even if it is zero.
	oneof bool
}

// lookup says what a name means in a message, in either of the two spellings that Protobuf's JSON has.
func (m message) lookup(name []byte) field {
	switch m {
	case request:
		switch string(name) {
		case "resourceSpans", "resource_spans":
			return field{number: 1, kind: objects, of: resourceSpans}
		}
	case resourceSpans:
		switch string(name) {
		case "resource":
			return field{number: 1, kind: object, of: resource}
		case "scopeSpans", "scope_spans":
			return field{number: 2, kind: objects, of: scopeSpans}
		case "schemaUrl", "schema_url":
			return field{number: 3, kind: text}
		}
	case resource:
		switch string(name) {
		case "attributes":
			return field{number: 1, kind: objects, of: keyValue}
		case "droppedAttributesCount", "dropped_attributes_count":
			return field{number: 2, kind: uvarint32}
		case "entityRefs", "entity_refs":
			return field{number: 3, kind: objects, of: entityRef}
		}
	case entityRef:
		switch string(name) {
		case "schemaUrl", "schema_url":
			return field{number: 1, kind: text}
		case "type":
			return field{number: 2, kind: text}
		case "idKeys", "id_keys":
			return field{number: 3, kind: texts}
		case "descriptionKeys", "description_keys":
			return field{number: 4, kind: texts}
		}
	case scopeSpans:
		switch string(name) {
		case "scope":
			return field{number: 1, kind: object, of: scope}
		case "spans":
			return field{number: 2, kind: objects, of: span}
		case "schemaUrl", "schema_url":
			return field{number: 3, kind: text}
		}
	case scope:
		switch string(name) {
		case "name":
			return field{number: 1, kind: text}
		case "version":
			return field{number: 2, kind: text}
		case "attributes":
			return field{number: 3, kind: objects, of: keyValue}
		case "droppedAttributesCount", "dropped_attributes_count":
			return field{number: 4, kind: uvarint32}
		}
	case span:
		return spanField(name)
	case event:
		switch string(name) {
		case "timeUnixNano", "time_unix_nano":
			return field{number: 1, kind: fixed64}
		case "name":
			return field{number: 2, kind: text}
		case "attributes":
			return field{number: 3, kind: objects, of: keyValue}
		case "droppedAttributesCount", "dropped_attributes_count":
			return field{number: 4, kind: uvarint32}
		}
	case link:
		switch string(name) {
		case "traceId", "trace_id":
			return field{number: 1, kind: traceID}
		case "spanId", "span_id":
			return field{number: 2, kind: spanID}
		case "traceState", "trace_state":
			return field{number: 3, kind: text}
		case "attributes":
			return field{number: 4, kind: objects, of: keyValue}
		case "droppedAttributesCount", "dropped_attributes_count":
			return field{number: 5, kind: uvarint32}
		case "flags":
			return field{number: 6, kind: fixed32}
		}
	case status:
		switch string(name) {
		case "message":
			return field{number: 2, kind: text}
		case "code":
			return field{number: 3, kind: statusCode}
		}
	case keyValue:
		switch string(name) {
		case "key":
			return field{number: 1, kind: text}
		case "value":
			return field{number: 2, kind: object, of: anyValue}
		case "keyStrindex", "key_strindex":
			return field{number: 3, kind: varint32}
		}
	case keyValueList:
		if string(name) == "values" {
			return field{number: 1, kind: objects, of: keyValue}
		}
	case arrayValue:
		if string(name) == "values" {
			return field{number: 1, kind: objects, of: anyValue}
		}
	case anyValue:
		return valueField(name)
	}
	return field{}
}

func spanField(name []byte) field {
	switch string(name) {
	case "traceId", "trace_id":
		return field{number: 1, kind: traceID}
	case "spanId", "span_id":
		return field{number: 2, kind: spanID}
	case "traceState", "trace_state":
		return field{number: 3, kind: text}
	case "parentSpanId", "parent_span_id":
		return field{number: 4, kind: spanID}
	case "name":
		return field{number: 5, kind: text}
	case "kind":
		return field{number: 6, kind: spanKind}
	case "startTimeUnixNano", "start_time_unix_nano":
		return field{number: 7, kind: fixed64}
	case "endTimeUnixNano", "end_time_unix_nano":
		return field{number: 8, kind: fixed64}
	case "attributes":
		return field{number: 9, kind: objects, of: keyValue}
	case "droppedAttributesCount", "dropped_attributes_count":
		return field{number: 10, kind: uvarint32}
	case "events":
		return field{number: 11, kind: objects, of: event}
	case "droppedEventsCount", "dropped_events_count":
		return field{number: 12, kind: uvarint32}
	case "links":
		return field{number: 13, kind: objects, of: link}
	case "droppedLinksCount", "dropped_links_count":
		return field{number: 14, kind: uvarint32}
	case "status":
		return field{number: 15, kind: object, of: status}
	case "flags":
		return field{number: 16, kind: fixed32}
	}
	return field{}
}

func valueField(name []byte) field {
	switch string(name) {
	case "stringValue", "string_value":
		return field{number: 1, kind: text, oneof: true}
	case "boolValue", "bool_value":
		return field{number: 2, kind: boolean, oneof: true}
	case "intValue", "int_value":
		return field{number: 3, kind: varint64, oneof: true}
	case "doubleValue", "double_value":
		return field{number: 4, kind: double, oneof: true}
	case "arrayValue", "array_value":
		return field{number: 5, kind: object, of: arrayValue, oneof: true}
	case "kvlistValue", "kvlist_value":
		return field{number: 6, kind: object, of: keyValueList, oneof: true}
	case "bytesValue", "bytes_value":
		return field{number: 7, kind: base64Bytes, oneof: true}
	case "stringValueStrindex", "string_value_strindex":
		return field{number: 8, kind: varint32, oneof: true}
	}
	return field{}
}
