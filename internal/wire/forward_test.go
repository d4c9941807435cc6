package wire

import (
	"slices"
	"testing"
)

// forward re-encodes a request with the fields of each message in ascending order, as SDKs write them. pdata, and so every
// Collector, writes them in descending order.
func forward(t testing.TB, b []byte, message shape) []byte {
	t.Helper()
	type field struct {
		num int32
		raw []byte
	}
	var fields []field
	for pos := 0; pos < len(b); {
		num, wt, body, next := readField(b, pos)
		if next < 0 {
			t.Fatal(formatError("sample", b, pos, next))
		}
		raw := b[pos:next]
		if sub := message.field(num).sub; wt == wireLen && sub > shapeSpanID {
			inner := forward(t, b[body:next], sub)
			raw = appendVarint(appendVarint(nil, uint64(num)<<3|wireLen), uint64(len(inner)))
			raw = append(raw, inner...)
		}
		fields = append(fields, field{num, raw})
		pos = next
	}
	slices.SortStableFunc(fields, func(a, b field) int { return int(a.num - b.num) })
	var out []byte
	for _, f := range fields {
		out = append(out, f.raw...)
	}
	return out
}
