package conformance

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file encodes requests in ways in which nobody does and which everybody can decode: fields in any order, several times,
// empty, unknown, in pieces, and numbers in more bytes than needed.

// oddRequest makes a request with spans of three traces that take turns, a few of them often repeated.
func (g *generator) oddRequest() (request []byte) {
	resource, scope := g.oddHeader(g.oddResource), g.oddHeader(g.oddScope)
	for range 1 + g.IntN(3) {
		var scopes []byte
		for range g.IntN(4) {
			var spans []byte
			for range g.IntN(4) {
				spans = g.odd(spans, 2, g.oddSpan(traceID{15: byte(1 + g.IntN(3))}))
			}
			scopes = g.odd(scopes, 2, g.shuffled(pick(g, nil, scope, g.oddHeader(g.oddScope)), spans))
		}
		request = g.odd(request, 1, g.shuffled(pick(g, nil, resource, g.oddHeader(g.oddResource)), scopes))
	}
	return request
}

// oddHeader is what a ResourceSpans or a ScopeSpans message has besides its content.
func (g *generator) oddHeader(inner func() []byte) []byte {
	return g.shuffled(g.some(1, inner), g.some(3, g.oddText), g.unknown())
}

func (g *generator) oddResource() []byte {
	return g.shuffled(g.some(1, g.oddAttr), g.number(2), g.unknown(), g.some(3, func() []byte {
		return g.shuffled(g.some(1, g.oddText), g.some(2, g.oddText), g.some(3, g.oddText), g.some(4, g.oddText))
	}))
}

func (g *generator) oddScope() []byte {
	return g.shuffled(g.some(1, g.oddText), g.some(2, g.oddText), g.some(3, g.oddAttr), g.number(4), g.unknown())
}

func (g *generator) oddSpan(id traceID) []byte {
	own := binary.BigEndian.AppendUint64(nil, 1+g.Uint64N(20)) // so that spans come twice
	ids := func(b ...byte) func() []byte { return func() []byte { return pick(g, nil, make([]byte, len(b)), b) } }
	span := g.shuffled(
		g.odd(nil, 1, id[:]), g.odd(nil, 2, own), g.some(4, ids(own...)), g.some(5, g.oddText), g.number(6), g.fixed(7, 8), g.fixed(8, 8),
		g.some(9, g.oddAttr), g.number(10), g.number(12), g.number(14), g.fixed(16, 4), g.unknown(),
		g.some(11, func() []byte {
			return g.shuffled(g.fixed(1, 8), g.some(2, g.oddText), g.some(3, g.oddAttr), g.number(4))
		}),
		g.some(13, func() []byte {
			return g.shuffled(g.some(1, ids(id[:]...)), g.some(2, ids(own...)), g.some(3, g.oddText), g.some(4, g.oddAttr), g.number(5), g.fixed(6, 4))
		}),
		g.some(15, func() []byte { return g.shuffled(g.some(2, g.oddText), g.number(3), g.unknown()) }),
	)
	state := "vendor=debug"
	if id == target() {
		state = "target=yes"
	}
	return g.odd(span, 3, []byte(state))
}

func (g *generator) oddAttr() []byte {
	return g.shuffled(g.some(1, g.oddText), g.some(2, func() []byte { return g.oddValue(2) }), g.unknown())
}

func (g *generator) oddValue(depth int) []byte {
	list := func() []byte {
		if depth == 0 {
			return nil
		}
		return g.some(1, func() []byte { return g.oddValue(depth - 1) })
	}
	pairs := func() []byte {
		if depth == 0 {
			return nil
		}
		return g.some(1, func() []byte {
			return g.shuffled(g.some(1, g.oddText), g.some(2, func() []byte { return g.oddValue(depth - 1) }))
		})
	}
	return g.shuffled(g.some(1, g.oddText), g.number(2), g.number(3), g.fixed(4, 8), g.some(5, list), g.some(6, pairs), g.some(7, g.oddText), g.unknown())
}

// some has a field not at all, once, or several times.
func (g *generator) some(field protowire.Number, content func() []byte) (b []byte) {
	for range pick(g, 0, 0, 1, 1, 1, 2, 3) {
		b = g.odd(b, field, content())
	}
	return b
}

func (g *generator) oddText() []byte {
	return make([]byte, pick(g, 0, 0, 1, 2, 5, 17, 126, 127, 128, 129))
}

func (g *generator) unknown() []byte {
	if !g.chance(4) {
		return nil
	}
	return slices.Concat(g.odd(nil, 99, g.oddText()), g.number(2000))
}

func (g *generator) number(field protowire.Number) (b []byte) {
	for range pick(g, 0, 0, 1, 2) {
		b = g.varint(protowire.AppendTag(b, field, protowire.VarintType), pick(g, 0, 1, 2, 127, 128, 1<<31, 1<<32, 1<<64-1, g.Uint64()))
	}
	return b
}

func (g *generator) fixed(field protowire.Number, size int) (b []byte) {
	for range pick(g, 0, 1, 1, 2) {
		v := pick(g, 0, 1, 1_700_000_000_000_000_000)
		if size == 4 {
			b = protowire.AppendFixed32(protowire.AppendTag(b, field, protowire.Fixed32Type), uint32(v))
		} else {
			b = protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(v))
		}
	}
	return b
}

// odd appends a field with content.
func (g *generator) odd(b []byte, field protowire.Number, content []byte) []byte {
	b = g.varint(b, protowire.EncodeTag(field, protowire.BytesType))
	return append(g.varint(b, uint64(len(content))), content...)
}

func (g *generator) varint(b []byte, v uint64) []byte {
	b = protowire.AppendVarint(b, v)
	if v < 1<<31 && g.chance(8) {
		b[len(b)-1] |= 0x80
		b = append(b, pick(g, []byte{0}, []byte{0x80, 0})...)
	}
	return b
}

// shuffled puts groups of fields in any order.
func (g *generator) shuffled(groups ...[]byte) []byte {
	g.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	return slices.Concat(groups...)
}
