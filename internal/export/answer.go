package export

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// exportAnswer is an ExportTraceServiceResponse.
type exportAnswer struct {
	rejectedSpans int64
	message       string
}

func (a *exportAnswer) outcome() outcome {
	out := outcome{partialSpans: max(a.rejectedSpans, 0), partialMessage: a.message}
	if a.rejectedSpans > 0 {
		out.kind = kindPartial
	}
	return out
}

var errAnswer = errors.New("the answer is not an OTLP export response")

// parse reads field 1 (partial_success) and skips all others.
func (a *exportAnswer) parse(data []byte) error {
	return eachField(data, func(num protowire.Number, typ protowire.Type, value []byte, _ uint64) error {
		if num != 1 || typ != protowire.BytesType {
			return nil
		}
		return eachField(value, func(num protowire.Number, typ protowire.Type, value []byte, n uint64) error {
			switch {
			case num == 1 && typ == protowire.VarintType:
				a.rejectedSpans = int64(n)
			case num == 2 && typ == protowire.BytesType:
				a.message = string(value)
			}
			return nil
		})
	})
}

// statusMessage reads field 2 (message) of a google.rpc.Status, the body of OTLP/HTTP errors.
func statusMessage(data []byte) (message string) {
	err := eachField(data, func(num protowire.Number, typ protowire.Type, value []byte, _ uint64) error {
		if num == 2 && typ == protowire.BytesType {
			message = string(value)
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return message
}

func eachField(data []byte, f func(num protowire.Number, typ protowire.Type, value []byte, n uint64) error) error {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", errAnswer, protowire.ParseError(n))
		}
		data = data[n:]
		var value []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		default:
			n = protowire.ConsumeFieldValue(num, typ, data)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errAnswer, protowire.ParseError(n))
		}
		data = data[n:]
		if err := f(num, typ, value, number); err != nil {
			return err
		}
	}
	return nil
}
