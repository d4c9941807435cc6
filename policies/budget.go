package policies

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A budget is a token bucket for the traces of a tick. When they cost more than there is, all pass with the same probability, the
// one with which they cost what there is on average: those whose randomness is above a threshold.
//
// A bucket that lets traces pass until the next does not fit is exact to the second, but with a rate that is small beside a trace, as
// the share of one of many partitions is, it would be empty most of the time, and no trace that passes could stand for those of
// that time. Here every trace has a chance, which is known before any randomness is looked at, so counts made from what passes
// have no bias (Horvitz and Thompson): what the traces ask for is what they cost on average, each with the share of all randomness and
// hashes with which it would have to pay. What a tick spends too much or too little the next ones make up for.
//
// It counts in whole parts of a token, so that it is the same whether time moves in one step or in many.
type budget struct {
	rate     uint64 // parts a second
	capacity int64  // parts
	most     uint64 // the largest cost that ever passes, tokens

	tokens int64  // parts; below 0: a debt that time repays
	rest   uint64 // thousandths of a unit that time has brought besides
	last   int64  // when it was refilled
	begun  bool   // last is known
	gain   int64  // what the last refill brought, parts, also if there was no room, as far as it is not promised

	// The largest costs that traces had lately, tokens: in this and in the last period. A budget saves up for one such trace,
	// also if its share of the capacity is smaller; otherwise it would waste what the traces between would leave for it.
	reach  [2]uint64
	period int64
}

// reachPeriod is how long a large trace is remembered at least, milliseconds.
const reachPeriod = 600_000

const (
	unitBits = 24
	unit     = 1 << unitBits // parts of a token

	// mostTokens keeps every product and sum of parts within 63 bits.
	mostTokens = 1 << 36
)

// A grant is what a budget has for the traces of a tick, and what they ask for.
type grant struct {
	budget, outer     *budget // outer: that must have room as well, or nil
	available, tokens int64   // parts
	asked             uint64  // parts, on average
}

// newBudget returns a budget that is full. If rate and capacity are divided among partitions, most is the capacity before.
func newBudget(rate, capacity float64, most uint64) *budget {
	b := &budget{rate: uint64(units(rate)), capacity: units(capacity), most: min(most, mostTokens)}
	b.tokens = b.capacity
	return b
}

func units(tokens float64) int64 {
	if !(tokens > 0) {
		return 0
	}
	return int64(min(tokens, mostTokens) * unit)
}

// refill adds what time has brought. A time before the last one changes nothing.
func (b *budget) refill(now int64) {
	if !b.begun {
		b.last, b.begun, b.period = now, true, now/reachPeriod
		b.gain = b.capacity
		return
	}
	if now <= b.last {
		return
	}
	if p := now / reachPeriod; p != b.period {
		b.reach[1], b.reach[0] = b.reach[0], 0
		if p != b.period+1 {
			b.reach[1] = 0
		}
		b.period = p
	}
	capacity := b.room()
	since := uint64(now) - uint64(b.last)
	b.last = now
	hi, lo := bits.Mul64(b.rate, since)
	lo, carry := bits.Add64(lo, b.rest, 0)
	hi += carry
	missing := uint64(capacity) - uint64(b.tokens) // also of a debt, in two's complement
	if hi >= 1000 || b.tokens >= capacity {
		b.gain, b.tokens, b.rest = capacity, capacity, 0
		return
	}
	gain, rest := bits.Div64(hi, lo, 1000)
	b.gain = int64(min(gain, uint64(capacity)))
	if gain >= missing {
		b.tokens, b.rest = capacity, 0
		return
	}
	b.tokens, b.rest = b.tokens+int64(gain), rest
}

// room returns the parts that the budget can hold.
func (b *budget) room() int64 {
	return max(b.capacity, int64(min(max(b.reach[0], b.reach[1]), b.most))<<unitBits)
}

// available returns what the traces of a tick may cost on average: what is there, but at least half of what time has brought. So
// there is always a chance, and a debt is still repaid.
func (b *budget) available() int64 { return max(b.tokens, b.gain/2) }

// charge takes what was spent. Who comes next in the same tick is promised less of what time has brought.
func (b *budget) charge(spent int64) {
	b.tokens -= spent
	b.gain /= 2
}

// grant begins a tick. If outer is not nil, it has been refilled, and must have room too.
func (b *budget) grant(outer *budget, now int64) grant {
	b.refill(now)
	g := grant{budget: b, outer: outer, available: b.available(), tokens: b.tokens}
	if outer != nil {
		g.available, g.tokens = min(g.available, outer.available()), min(g.tokens, outer.tokens)
	}
	return g
}

// fits reports whether there can ever be room for a cost.
func (g *grant) fits(cost uint64) bool {
	return cost <= g.budget.most && (g.outer == nil || cost <= g.outer.most)
}

// ask adds a trace that costs so much with a share, of certain, of all the randomness and hashes that it could have.
func (g *grant) ask(cost, share uint64) {
	if share == 0 || !g.fits(cost) {
		return
	}
	g.add(cost, share)
	g.budget.reaches(cost)
	if g.outer != nil {
		g.outer.reaches(cost)
	}
}

// add does so for a trace that will not be charged for.
func (g *grant) add(cost, share uint64) {
	const most = math.MaxInt64 / 2 // no sum overflows
	if g.fits(cost) {
		g.asked = min(g.asked+cost*share, most)
	}
}

// share returns with which probability what has asked passes, so that it spends on average what there is.
func (g *grant) share() float64 {
	switch {
	case g.tokens >= 0 && g.asked <= uint64(g.tokens), g.asked == 0:
		return 1
	case g.available <= 0:
		return 0
	}
	return min(float64(g.available)/float64(g.asked), 1)
}

// expected returns what is spent on average, parts.
func (g *grant) expected() int64 {
	if g.share() == 1 {
		return int64(g.asked)
	}
	return max(g.available, 0)
}

func (b *budget) reaches(cost uint64) { b.reach[0] = max(b.reach[0], cost) }

// allows takes the cost from the tokens if they suffice: what the Collector's limiters do for one trace after the other.
func (b *budget) allows(cost uint64, now int64) bool {
	b.refill(now)
	if cost > b.most || int64(cost)<<unitBits > b.tokens {
		return false
	}
	b.tokens -= int64(cost) << unitBits
	return true
}

func (b *budget) appendTo(out []byte) []byte {
	out = binary.AppendVarint(out, b.tokens)
	out = binary.AppendUvarint(out, b.rest)
	out = binary.AppendUvarint(out, b.reach[0])
	out = binary.AppendUvarint(out, b.reach[1])
	out = binary.AppendVarint(out, b.period)
	out = binary.AppendUvarint(out, uint64(b.gain))
	if !b.begun {
		return append(out, 0)
	}
	return binary.AppendVarint(append(out, 1), b.last)
}

// decode takes over a state, cut to the present size of the budget: the number of partitions may have changed.
func (b *budget) decode(d *stateDecoder) {
	b.tokens, b.rest = d.varint(), d.uvarint()
	b.reach = [2]uint64{d.uvarint(), d.uvarint()}
	b.period = d.varint()
	b.gain = int64(d.uvarint())
	begun := d.byte()
	b.begun, b.last = begun == 1, 0
	if b.begun {
		b.last = d.varint()
	}
	if begun > 1 || b.rest >= 1000 || b.tokens < -mostTokens*unit || max(b.reach[0], b.reach[1]) > mostTokens || b.gain < 0 || b.gain > mostTokens*unit {
		d.fail()
	}
	if capacity := b.room(); b.tokens >= capacity {
		b.tokens, b.rest = capacity, 0
	}
}
