package policies

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
)

// emaRates spreads a goal over keys by the rule of Honeycomb's dynamic samplers: each key gets a part of the goal in
// proportion to the logarithm of how much of it there is on average, and what a key does not need goes to the others. So
// rare keys are seen, and heavy ones are cut.
//
// It differs in what follows from promising that the goal is held. Probabilities are any number, not 1/n. The logarithm is
// that of 1 + the average, which is not 0 for a rare key, so a key needs no minimum that adds up with many keys. What is
// left over goes to all other keys, not to those behind in the order. An average begins with the first count, not with 0. A
// key that is not known has no free pass: such keys share one part, see allowance.
//
// A probability depends on what there was before, and on what there is in the tick, but never on randomness. So each trace
// that passes stands for 1/probability traces with no bias.
type emaRates struct {
	emaSettings
	weight16 uint64 // weight, with 16 bits after the point
	ageOut16 uint64

	begun bool
	at    int64 // number of the period
	warm  bool  // a period with traces is over: something is known

	keys   map[uint64]*emaKey
	shared emaKey // of keys that were not known when their traces came, and of those that there is no room for

	// seen and passed are sums over the period, of all traces and of what passes on average; passedShared is of the
	// latter what the shared key has.
	seen                 uint64
	passed, passedShared float64

	// wanted and got are averages over some periods: what was to pass and what passed. Keys of which there are few traces
	// pass more than their part: when there are more of them than on average, the probability is not yet lower.
	wanted, got float64

	goal   float64 // of the period, if warm
	total  float64 // expected in the period, if warm
	kinds  int     // known keys
	known  float64 // factor of the probabilities of known keys in this tick
	others float64 // probability of the others in this tick

	mootKnown, mootOthers float64 // the same, if what something else keeps came here too
}

// An emaKey is what is known of a key.
type emaKey struct {
	average uint64  // a period, 16 bits after the point; 0: it is new in this period
	count   uint64  // in this period
	largest uint64  // weight of a trace in the last period that had any
	part    float64 // of the goal
	keep    float64 // probability, in this period
}

type emaSettings struct {
	period  int64   // milliseconds; one begins at each multiple of it
	tick    int64   // milliseconds that a settle is for
	weight  float64 // of the last period in the average, 0..1
	ageOut  float64 // averages below are forgotten; 0: weight
	share   float64 // the goal: this part of all there is
	amount  float64 // the goal if share is 0: this much a period
	most    float64 // no period has more than this many times an amount; 0: no limit. Less than 1 is 1
	maxKeys int
}

// An emaClaim is a trace of a tick.
type emaClaim struct {
	key, weight uint64
	part        uint64  // of all randomness and hashes that it could have: with which it comes here, of certain
	counts      bool    // it has come here
	moot        bool    // it does not come here since something else keeps it
	keep        float64 // the probability with which it passes then, by settle
	mootKeep    float64 // that with which it would if nothing else kept it, by settle
}

// maxEMACount bounds what is counted of a key in a period, so that nothing overflows.
const maxEMACount = 1 << 40

// maxEMASum bounds sums of averages, each of which is below a 64th of it.
const maxEMASum = 1 << 62

func newEMARates(s emaSettings) *emaRates {
	s.period, s.tick = max(s.period, 1), max(s.tick, 1)
	if s.ageOut <= 0 {
		s.ageOut = s.weight
	}
	e := &emaRates{emaSettings: s, keys: map[uint64]*emaKey{}}
	e.weight16 = min(max(uint64(float64(s.weight*(1<<16))), 1), 1<<16)
	e.ageOut16 = max(uint64(float64(min(s.ageOut, maxEMACount)*(1<<16))), 1)
	e.known, e.others = 1, 1
	if s.share > 0 {
		e.others = min(s.share, 1)
	}
	return e
}

// settle finds the probabilities of the traces of a tick, and counts them.
func (e *emaRates) settle(claims []emaClaim, now int64) {
	e.roll(now)
	e.limit(claims, now)
	for i := range claims {
		c := &claims[i]
		k, keep := e.lookUp(c.key)
		if c.keep = keep; c.moot {
			c.mootKeep = e.mootKeep(k)
		}
		if c.counts {
			e.observe(c, k, keep)
		}
	}
}

// observe counts a trace, whose key is k if there is one.
func (e *emaRates) observe(c *emaClaim, k *emaKey, keep float64) {
	weight := min(c.weight, maxEMACount-e.seen)
	spent := toPass(float64(weight), keep)
	e.seen += weight
	e.passed += spent
	isNew := k == nil
	if isNew && len(e.keys) < e.maxKeys {
		k = &emaKey{}
		e.keys[c.key] = k
	}
	if k != nil {
		if k.count == 0 {
			k.largest = 0
		}
		k.count += weight
		k.largest = max(k.largest, weight)
	}
	if isNew || k.average == 0 {
		e.passedShared += spent
		// At first every key is new, and that says nothing about how many will be.
		if e.warm || k == nil {
			e.shared.count += weight
		}
	}
}

func (e *emaRates) lookUp(key uint64) (k *emaKey, keep float64) {
	if k = e.keys[key]; k == nil || k.average == 0 {
		return k, e.others
	}
	return k, float64(k.keep * e.known)
}

// mootKeep returns the probability that a trace would have that something else keeps.
func (e *emaRates) mootKeep(k *emaKey) float64 {
	if k == nil || k.average == 0 {
		return e.mootOthers
	}
	return float64(k.keep * e.mootKnown)
}

// roll moves on to the period of now. A period without traces changes no average: when traffic comes back after a gap, it
// is taken to be what it was.
func (e *emaRates) roll(now int64) {
	at := floorDiv(now, e.period)
	if !e.begun {
		e.at, e.begun = at, true
	}
	if at <= e.at {
		return
	}
	e.at = at
	if e.seen > 0 {
		e.average()
		e.spread()
		if !e.warm {
			e.warm, e.wanted, e.got = true, e.goal, e.goal
		}
	}
	e.seen, e.passed, e.passedShared = 0, 0, 0
}

// average takes the counts of the period into the averages.
func (e *emaRates) average() {
	expected := e.shared.average
	for _, k := range e.keys {
		expected = min(expected+k.average, maxEMASum)
	}
	weight := e.weight16
	if e.seen<<16>>1 > expected {
		// More than twice of what there was is no noise but a burst, or a step. It is believed at once.
		weight = 1 << 16
	} else if e.warm && e.seen<<16 > expected>>1 {
		e.compare() // after a step down, averages that still are too large say nothing
	}
	for key, k := range e.keys {
		if k.average == 0 {
			k.average = k.count << 16
		} else {
			k.average = blend(k.average, k.count<<16, weight)
		}
		if k.count == 0 {
			// That no trace came of a key that had many is no chance: it is gone, and must not keep its part of the goal.
			k.average = min(k.average, 2*k.largest<<16)
		}
		k.count = 0
		if k.average < e.ageOut16 {
			delete(e.keys, key)
		}
	}
	e.shared.average, e.shared.count = blend(e.shared.average, e.shared.count<<16, weight), 0
	if e.shared.average < e.ageOut16 {
		e.shared.average = 0
	}
}

// compare notes how much more passed in the period than was to.
func (e *emaRates) compare() {
	wanted := e.passed
	if e.goal < e.total {
		wanted = min(e.amount, float64(e.seen))
		if e.share > 0 {
			wanted = float64(e.share * float64(e.seen))
		}
		wanted = float64(wanted * e.correction())
	}
	const periods = 16
	e.wanted += float64((wanted - e.wanted) / periods)
	e.got += float64((e.passed - e.got) / periods)
}

// correction is the factor with which the goal is held.
func (e *emaRates) correction() float64 {
	if !(e.got > 0) {
		return 1
	}
	return min(max(e.wanted/e.got, 0.5), 1.1)
}

// blend returns the average of old and new with this weight of new, of 2^16.
func blend(old, new, weight uint64) uint64 {
	hi, lo := bits.Mul64(new, weight)
	hi2, lo2 := bits.Mul64(old, 1<<16-weight)
	lo, carry := bits.Add64(lo, lo2, 0)
	return (hi+hi2+carry)<<48 | lo>>16
}

// spread gives each key its part of the goal, and so its probability. Keys are taken from the lightest on: that a key needs
// less than its part is then known before the part of a heavier one is found. Equal keys get the same, whatever their order.
func (e *emaRates) spread() {
	order := make([]*emaKey, 0, len(e.keys)+1)
	for _, key := range slices.Sorted(maps.Keys(e.keys)) {
		if k := e.keys[key]; k.average > 0 {
			order = append(order, k)
		}
	}
	e.kinds, e.shared.part = len(order), 0
	if e.shared.average > 0 {
		order = append(order, &e.shared)
	}
	slices.SortStableFunc(order, func(x, y *emaKey) int { return cmp.Compare(x.average, y.average) })
	var total, logs uint64
	for _, k := range order {
		total = min(total+k.average, maxEMASum)
		logs += logOf(k)
	}
	e.total, e.goal = emaFloat(total), e.amount
	if e.share > 0 {
		e.goal = float64(e.share * e.total)
	}
	e.goal = float64(e.goal * e.correction())
	rest := e.goal
	for _, k := range order {
		log, average := logOf(k), emaFloat(k.average)
		k.part = float64(rest * (float64(log) / float64(logs)))
		k.keep = 1
		if k.part < average {
			k.keep = k.part / average
		}
		// Of keys too heavy for their parts nothing is left over: the parts of those that follow stay in proportion.
		rest = max(rest-min(k.part, average), 0)
		logs -= log
	}
}

func emaFloat(average uint64) float64 { return float64(average) / (1 << 16) }

// logOf returns the logarithm to base 2 of 1 + the average, with 16 bits after the point, so that the sum of many fits.
func logOf(k *emaKey) uint64 { return (log2(k.average+1<<16) - 16<<logBits) >> (logBits - 16) }

// floorDiv divides, rounding down.
func floorDiv(x, y int64) int64 {
	q := x / y
	if x%y < 0 {
		q--
	}
	return q
}
