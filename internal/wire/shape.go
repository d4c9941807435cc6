package wire

// A shape names a message of the OTLP trace schema, or a kind of ID.
type shape uint8

const (
	shapeNone shape = iota
	shapeTraceID
	shapeSpanID
	shapeTracesData
	shapeResourceSpans
	shapeResource
	shapeEntityRef
	shapeScopeSpans
	shapeScope
	shapeSpan
	shapeEvent
	shapeLink
	shapeStatus
	shapeKeyValue
	shapeAnyValue
	shapeArrayValue
	shapeKeyValueList
	shapeCount
)

// fieldShape is what the schema says about a field.
type fieldShape struct {
	known bool
	wire  byte
	sub   shape // what a length-delimited field contains; shapeNone: nothing to check
}

type messageShape struct {
	name   string
	fields [17]fieldShape // by field number
}

var (
	textField   = fieldShape{true, wireLen, shapeNone}
	countField  = fieldShape{true, wireVarint, shapeNone}
	timeField   = fieldShape{true, wireI64, shapeNone}
	flagsField  = fieldShape{true, wireI32, shapeNone}
	attrField   = fieldShape{true, wireLen, shapeKeyValue}
	traceField  = fieldShape{true, wireLen, shapeTraceID}
	spanIDField = fieldShape{true, wireLen, shapeSpanID}
)

func message(s shape) fieldShape { return fieldShape{true, wireLen, s} }

// shapes is the schema of OTLP 1.x as pdata v1.70 reads it. It is never written to.
var shapes = [shapeCount]messageShape{
	shapeTracesData: {"TracesData", [17]fieldShape{1: message(shapeResourceSpans)}},
	shapeResourceSpans: {"ResourceSpans", [17]fieldShape{
		1: message(shapeResource), 2: message(shapeScopeSpans), 3: textField,
	}},
	shapeResource: {"Resource", [17]fieldShape{1: attrField, 2: countField, 3: message(shapeEntityRef)}},
	shapeEntityRef: {"EntityRef", [17]fieldShape{
		1: textField, 2: textField, 3: textField, 4: textField,
	}},
	shapeScopeSpans: {"ScopeSpans", [17]fieldShape{1: message(shapeScope), 2: message(shapeSpan), 3: textField}},
	shapeScope: {"InstrumentationScope", [17]fieldShape{
		1: textField, 2: textField, 3: attrField, 4: countField,
	}},
	shapeSpan: {"Span", [17]fieldShape{
		1: traceField, 2: spanIDField, 3: textField, 4: spanIDField, 5: textField, 6: countField, 7: timeField, 8: timeField,
		9: attrField, 10: countField, 11: message(shapeEvent), 12: countField, 13: message(shapeLink), 14: countField,
		15: message(shapeStatus), 16: flagsField,
	}},
	shapeEvent: {"Span.Event", [17]fieldShape{1: timeField, 2: textField, 3: attrField, 4: countField}},
	shapeLink: {"Span.Link", [17]fieldShape{
		1: traceField, 2: spanIDField, 3: textField, 4: attrField, 5: countField, 6: flagsField,
	}},
	shapeStatus:   {"Status", [17]fieldShape{2: textField, 3: countField}},
	shapeKeyValue: {"KeyValue", [17]fieldShape{1: textField, 2: message(shapeAnyValue), 3: countField}},
	shapeAnyValue: {"AnyValue", [17]fieldShape{
		1: textField, 2: countField, 3: countField, 4: timeField, 5: message(shapeArrayValue), 6: message(shapeKeyValueList),
		7: textField, 8: countField,
	}},
	shapeArrayValue:   {"ArrayValue", [17]fieldShape{1: message(shapeAnyValue)}},
	shapeKeyValueList: {"KeyValueList", [17]fieldShape{1: attrField}},
}

// field returns what the schema says about field num of message s.
func (s shape) field(num int32) fieldShape {
	if uint32(num) < uint32(len(shapes[s].fields)) {
		return shapes[s].fields[num]
	}
	if s == shapeResourceSpans && num == fieldDeprecatedScopeSpans {
		return message(shapeScopeSpans)
	}
	return fieldShape{}
}
