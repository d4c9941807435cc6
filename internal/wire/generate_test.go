package wire

import (
	"encoding/binary"
	"math/rand/v2"
)

// generator writes random OTLP messages in all the ways protobuf allows: fields in any order, repeated, empty, unknown, tags and
// lengths longer than needed. With mutate it now and then also writes what protobuf or OTLP does not allow.
type generator struct {
	*rand.Rand
	mutate bool
}

func newGenerator(seed uint64, mutate bool) *generator {
	return &generator{rand.New(rand.NewPCG(seed, 1)), mutate}
}

func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func (g *generator) varint(dst []byte, v uint64) []byte {
	dst = appendVarint(dst, v)
	if g.one(12) { // longer than needed
		dst[len(dst)-1] |= 0x80
		for g.one(2) && len(dst) < 6 {
			dst = append(dst, 0x80)
		}
		dst = append(dst, 0)
	}
	return dst
}

func (g *generator) tag(dst []byte, num int32, wt byte) []byte {
	if g.mutate && g.one(150) {
		wt = byte(g.IntN(8))
	}
	return g.varint(dst, uint64(num)<<3|uint64(wt))
}

func (g *generator) field(dst []byte, num int32, content []byte) []byte {
	dst = g.tag(dst, num, wireLen)
	n := len(content)
	if g.mutate && g.one(200) {
		n += g.IntN(5) - 2
	}
	if g.mutate && g.one(2000) {
		return g.varint(dst, g.Uint64()) // a claim
	}
	return append(g.varint(dst, uint64(max(n, 0))), content...)
}

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + g.IntN(26))
	}
	return b
}

func (g *generator) text() []byte {
	if g.one(10) {
		return g.bytes(100 + g.IntN(200))
	}
	return g.bytes(g.IntN(20))
}

func (g *generator) id(n int) []byte {
	if g.one(12) {
		return nil
	}
	if g.one(12) {
		return make([]byte, n)
	}
	if g.mutate && g.one(50) {
		return g.bytes(n + 1)
	}
	b := g.bytes(n)
	b[0] = byte('a' + g.IntN(4)) // so that spans share traces
	return b
}

var generatedKeys = []string{"", "k", "http.route", "http.response.status_code", "app.user.id", "0123456789"}

// message writes a message of the given shape with at most the given number of levels below it.
func (g *generator) message(s shape, depth int) []byte {
	var b []byte
	n := g.IntN(8)
	if s == shapeKeyValue && !g.one(4) {
		b = g.field(b, 1, []byte(generatedKeys[g.IntN(len(generatedKeys))]))
		inner := g.message(shapeAnyValue, depth-1)
		if g.one(2) {
			return g.field(b, 2, inner)
		}
		return append(g.field(nil, 2, inner), b...)
	}
	if s == shapeSpan && !g.one(5) {
		b = g.field(b, 1, g.id(16))
		b = g.field(b, 2, g.id(8))
		n += 6
	}
	if s == shapeAnyValue && !g.one(5) {
		n = 1
	}
	for range n {
		num := int32(g.IntN(18))
		if g.one(3) && s == shapeSpan {
			num = 9
		}
		if g.one(2) && s <= shapeScopeSpans {
			num = 1 + int32(g.IntN(2))
		}
		if num == 0 {
			num = []int32{17, 99, 1000, 20000, maxFieldNumber}[g.IntN(5)]
		}
		b = g.any(b, s, num, depth)
	}
	if g.mutate && len(b) > 0 && g.one(200) {
		b = b[:g.IntN(len(b))]
	}
	return b
}

// any writes field num of a message of shape s.
func (g *generator) any(b []byte, s shape, num int32, depth int) []byte {
	f := s.field(num)
	if !f.known {
		f.wire = []byte{wireVarint, wireI64, wireLen, wireI32}[g.IntN(4)]
	}
	switch {
	case f.wire == wireVarint:
		return g.varint(g.tag(b, num, wireVarint), g.Uint64()>>g.IntN(64))
	case f.wire == wireI64:
		return binary.LittleEndian.AppendUint64(g.tag(b, num, wireI64), g.Uint64())
	case f.wire == wireI32:
		return binary.LittleEndian.AppendUint32(g.tag(b, num, wireI32), g.Uint32())
	case f.sub == shapeTraceID:
		return g.field(b, num, g.id(16))
	case f.sub == shapeSpanID:
		return g.field(b, num, g.id(8))
	case f.sub == shapeNone:
		return g.field(b, num, g.text())
	case depth <= 0:
		return b
	default:
		return g.field(b, num, g.message(f.sub, depth-1))
	}
}
