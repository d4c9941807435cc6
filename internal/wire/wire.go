package wire

// A TraceID is the 16 bytes that all spans of a trace share. The zero ID is invalid.
type TraceID [16]byte

// A SpanID names a span within its trace. The zero ID is invalid.
type SpanID [8]byte

// Span holds the fields of one OTLP span that deciding needs. Slices alias the scanned bytes.
type Span struct {
	Raw      []byte // the Span message, without the tag and length in front of it
	TraceID  TraceID
	SpanID   SpanID
	ParentID SpanID // zero: a root span
	Start    uint64 // Unix nanoseconds, 0 if absent
	End      uint64 // Unix nanoseconds, 0 if absent
	Kind     int32
	Status   int32 // 0 unset, 1 OK, 2 error
	Flags    uint32

	Name       []byte
	TraceState []byte

	// Attrs are the attributes whose key is in the KeySet, in wire order. A key may repeat.
	Attrs []Attr
}

// Root reports whether the span has no parent.
func (s *Span) Root() bool { return s.ParentID == SpanID{} }

// Attr is an attribute whose key a KeySet holds.
type Attr struct {
	Key   int // the key's index in the KeySet
	Value Value
}

// A ValueKind is a variant of AnyValue.
type ValueKind uint8

// The variants of AnyValue. Arrays and maps are reported without content. ValueEmpty is also what an index into a string table
// is, which OTLP has for profiles only.
const (
	ValueEmpty ValueKind = iota
	ValueString
	ValueBool
	ValueInt
	ValueDouble
	ValueArray
	ValueMap
	ValueBytes
)

// Value is a scalar attribute value. Bytes alias the scanned bytes.
type Value struct {
	Kind  ValueKind
	Num   uint64 // bool: 0 or 1; int: two's complement; double: IEEE 754 bits
	Bytes []byte // string and bytes
}
