package shop

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

func appendText(b []byte, field protowire.Number, v string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, v)
}

func appendFixed64(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, v)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

// appendString and its kin append a KeyValue message as a field of an enclosing message.
func appendString(b []byte, field protowire.Number, key, value string) []byte {
	return appendKeyValue(b, field, key, appendText(nil, 1, value))
}

func appendInt(b []byte, field protowire.Number, key string, value int64) []byte {
	return appendKeyValue(b, field, key, appendVarint(nil, 3, uint64(value)))
}

func appendBool(b []byte, field protowire.Number, key string, value bool) []byte {
	return appendKeyValue(b, field, key, appendVarint(nil, 2, protowire.EncodeBool(value)))
}

func appendDouble(b []byte, field protowire.Number, key string, value float64) []byte {
	return appendKeyValue(b, field, key, appendFixed64(nil, 4, math.Float64bits(value)))
}

func appendKeyValue(b []byte, field protowire.Number, key string, anyValue []byte) []byte {
	kv := appendText(nil, 1, key)
	kv = appendBytes(kv, 2, anyValue)
	return appendBytes(b, field, kv)
}
