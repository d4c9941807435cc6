package wire

import (
	"errors"
	"fmt"
)

// The ways in which bytes can fail to be an OTLP message. They arrive wrapped in a *FormatError, which says where.
var (
	// ErrTruncated: a field claims more bytes than there are.
	ErrTruncated = errors.New("ends in the middle of a field")
	// ErrVarint: a varint is longer than ten bytes.
	ErrVarint = errors.New("varint longer than 10 bytes")
	// ErrFieldNumber: a tag has field number 0 or one above 2^29-1.
	ErrFieldNumber = errors.New("field number out of range")
	// ErrGroup: a field has one of the group wire types, which OTLP does not use.
	ErrGroup = errors.New("protobuf groups are not OTLP")
	// ErrWireType: a known field has another type than OTLP says, or the wire type does not exist.
	ErrWireType = errors.New("wrong wire type")
	// ErrIDLength: a trace ID is not 16 bytes long, or a span ID not 8. Empty IDs count as absent.
	ErrIDLength = errors.New("ID of wrong length")
	// ErrDepth: array and map values are nested deeper than MaxDepth.
	ErrDepth = errors.New("attribute value nested too deeply")
	// ErrTooLarge: a request is larger than 2 GiB, or its fragments would be larger than Splitter allows.
	ErrTooLarge = errors.New("too large")
)

// What a well-formed span can lack, and a span too large to be stored.
var (
	// ErrTraceID: the trace ID of a span is absent or all zero.
	ErrTraceID = errors.New("span has no trace ID (absent or all zero)")
	// ErrSpanID: the span ID of a span is absent or all zero.
	ErrSpanID = errors.New("span has no span ID (absent or all zero)")
	// ErrOversized: a span with its resource and scope does not fit into a fragment.
	ErrOversized = errors.New("span does not fit into a record")
)

// A FormatError says which field of a message cannot be read, and why.
type FormatError struct {
	Message string // the message the field belongs to, named as in the OTLP schema
	Field   int32  // the field's number, 0 if its tag cannot be read
	Offset  int    // where the field begins, in bytes from the start of what was given to the function
	Err     error  // one of the errors above
}

func (e *FormatError) Error() string {
	if e.Field == 0 {
		return fmt.Sprintf("invalid %s at byte %d: %v", e.Message, e.Offset, e.Err)
	}
	return fmt.Sprintf("invalid %s at byte %d, field %d: %v", e.Message, e.Offset, e.Field, e.Err)
}

// Unwrap returns the cause, for errors.Is.
func (e *FormatError) Unwrap() error { return e.Err }

// Reading functions return the position behind what they read. A negative position is one of these faults.
const (
	faultTruncated = -1 - iota
	faultVarint
	faultFieldNumber
	faultGroup
	faultWireType
	faultIDLength
	faultDepth
)

func faultError(fault int) error {
	switch fault {
	case faultVarint:
		return ErrVarint
	case faultFieldNumber:
		return ErrFieldNumber
	case faultGroup:
		return ErrGroup
	case faultWireType:
		return ErrWireType
	case faultIDLength:
		return ErrIDLength
	case faultDepth:
		return ErrDepth
	default:
		return ErrTruncated
	}
}

func formatError(message string, b []byte, at, fault int) error {
	num, _, next := readTag(b, at)
	if next < 0 {
		num = 0
	}
	return &FormatError{Message: message, Field: num, Offset: at, Err: faultError(fault)}
}
