package policies

import (
	"encoding/binary"
	"math/bits"
)

// A budget is a token bucket. It counts in whole parts of a token, so that it is the same whether time moves in one step or in many.
type budget struct {
	rate     uint64 // parts a second
	capacity int64  // parts

	tokens int64  // parts; below 0: a debt that time repays, see account
	rest   uint64 // thousandths of a part that time has brought besides
	last   int64  // when it was refilled
	begun  bool   // last is known
}

const (
	unitBits = 24
	unit     = 1 << unitBits // parts of a token

	// mostTokens keeps every product and sum of parts within 63 bits.
	mostTokens = 1 << 36
)

// newBudget returns a budget that is full.
func newBudget(rate, capacity float64) budget {
	return budget{rate: uint64(units(rate)), capacity: units(capacity), tokens: units(capacity)}
}

func units(tokens float64) int64 {
	if !(tokens > 0) {
		return 0
	}
	return int64(min(tokens, mostTokens) * unit)
}

// refill adds what time has brought, as far as there is room, and returns how many milliseconds have passed. A time before the last one
// changes nothing.
func (b *budget) refill(now, room int64) (since uint64) {
	switch {
	case !b.begun:
		b.last, b.begun = now, true
		return 0
	case now <= b.last:
		return 0
	}
	since = uint64(now) - uint64(b.last)
	b.last = now
	hi, lo := bits.Mul64(b.rate, since)
	lo, carry := bits.Add64(lo, b.rest, 0)
	hi += carry
	if b.tokens >= room || hi >= 1000 {
		b.tokens, b.rest = room, 0
		return since
	}
	gain, rest := bits.Div64(hi, lo, 1000)
	if missing := uint64(room) - uint64(b.tokens); gain >= missing { // also of a debt, in two's complement
		b.tokens, b.rest = room, 0
		return since
	}
	b.tokens, b.rest = b.tokens+int64(gain), rest
	return since
}

// allows takes the cost from the tokens if they suffice: what the Collector's limiters do for one trace after the other.
func (b *budget) allows(cost uint64, now int64) bool {
	b.refill(now, b.capacity)
	if cost > mostTokens || int64(cost)<<unitBits > b.tokens {
		return false
	}
	b.tokens -= int64(cost) << unitBits
	return true
}

func (b *budget) appendTo(out []byte) []byte {
	out = binary.AppendVarint(out, b.tokens)
	out = binary.AppendUvarint(out, b.rest)
	if !b.begun {
		return append(out, 0)
	}
	return binary.AppendVarint(append(out, 1), b.last)
}

func (b *budget) decode(d *stateDecoder) {
	b.tokens, b.rest = d.varint(), d.uvarint()
	begun := d.byte()
	b.begun, b.last = begun == 1, 0
	if b.begun {
		b.last = d.varint()
	}
	if begun > 1 || b.rest >= 1000 || b.tokens < -mostDebt || b.tokens > mostTokens*unit {
		d.fail()
	}
}

// cut takes away what there is no room for: the state may be that of fewer partitions.
func (b *budget) cut(room int64) {
	if b.tokens >= room {
		b.tokens, b.rest = room, 0
	}
}
