package policies

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// A budget is a token bucket for the traces of a tick. When they cost more than there is, all pass with the same probability, the
// one with which they cost what there is on average: those whose randomness is above a threshold.
//
// A bucket that lets traces pass until the next does not fit is exact to the second, but with a rate that is small beside a trace, as
// the share of one of many partitions is, it would be empty most of the time, and no trace that passes could stand for those of
// that time. Here every trace has a chance, which is known before its randomness is looked at, so counts made from what passes
// have no bias (Horvitz and Thompson). What a tick spends too much or too little the next ones make up for.
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

// A bid is a trace that asks for tokens.
type bid struct {
	randomness uint64
	cost       uint64 // tokens
	trace      int    // the caller's
	stake      stake
}

// A grant tells from which randomness on traces passed.
type grant struct {
	available int64  // parts
	asked     uint64 // tokens, by all claims that can pass
	tokens    int64  // parts, before
	most      uint64

	shared         bool  // there is an outer budget
	outer, promise int64 // what it had and what it promised, parts
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

// grant decides how random a trace must be to pass, and charges for the claims that are. outer is a budget that must have room
// too and is charged too, or nil.
func (b *budget) grant(outer *budget, bids []bid, now int64) grant {
	b.refill(now)
	g := grant{available: b.available(), tokens: b.tokens, most: b.most}
	if outer != nil {
		outer.refill(now)
		g.outer, g.promise = outer.tokens, outer.gain/2
		g.most = min(g.most, outer.most)
		g.shared = true
	}
	for _, c := range bids {
		if c.cost <= g.most {
			g.asked += c.cost
			b.reaches(c.cost)
			if outer != nil {
				outer.reaches(c.cost)
			}
		}
	}
	spent := int64(0)
	for _, c := range bids {
		if c.randomness >= c.stake.limit(g.limitOf(c.cost)) {
			spent += int64(c.cost) << unitBits
		}
	}
	b.charge(spent)
	if outer != nil {
		outer.charge(spent)
	}
	return g
}

// limitOf returns the randomness from which on a claim of this cost passed, if all randomness was at stake: see stake.limit.
func (g *grant) limitOf(cost uint64) uint64 { return g.limit(cost, g.asked, 0) }

// limitFor returns the randomness from which on a trace that was not among the claims would have passed.
func (g *grant) limitFor(cost uint64) uint64 { return g.limit(cost, g.asked+cost, 0) }

// limitWithout returns the same of a trace that the outer budget was charged for before, if it had not been.
func (g *grant) limitWithout(cost uint64) uint64 {
	return g.limit(cost, g.asked+cost, int64(min(cost, mostTokens))<<unitBits)
}

// limit returns the limit if so much is asked, and the outer budget is given something back.
func (g *grant) limit(cost, asked uint64, back int64) uint64 {
	available, tokens := g.available, g.tokens
	if g.shared {
		available, tokens = min(available, max(g.outer+back, g.promise)), min(tokens, g.outer+back)
	}
	hi, lo := bits.Mul64(asked, unit)
	switch {
	case cost > g.most:
		return Never
	case hi == 0 && tokens >= 0 && lo <= uint64(tokens), asked == 0:
		return 0
	case available <= 0:
		return Never
	}
	// 2^56 * available / (asked * 2^24), rounded down; less than 2^56 because more is asked than is available, or nearly.
	share := float64(available) / unit / float64(asked)
	if share >= 1 {
		return 0
	}
	kept := share * Never // below 2^56, and so is what it is rounded down to
	return Never - uint64(int64(kept))
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

// sortBids puts the most random first.
func sortBids(bids []bid) {
	slices.SortFunc(bids, func(x, y bid) int {
		return cmp.Or(cmp.Compare(y.randomness, x.randomness), cmp.Compare(x.trace, y.trace))
	})
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
