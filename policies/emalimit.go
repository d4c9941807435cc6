package policies

import "math"

// An emaTick is what the probabilities of a tick are lowered by.
type emaTick struct {
	known, unknown, seen float64 // what would pass of known keys, what there is of others, and of all
	ticks                float64 // left of the period, with this one

	// Of the period before this tick.
	passed, passedShared, before float64
}

// add counts a part, of certain, of a trace.
func (t *emaTick) add(k *emaKey, weight, part uint64) {
	w := toPass(float64(min(weight, maxEMACount)), float64(part)/certain)
	t.seen += w
	if k != nil && k.average > 0 {
		t.known += toPass(w, k.keep)
	} else {
		t.unknown += w
	}
}

// toPass returns what passes of a weight on average, in steps small enough that sums are exact, so that it does not matter in which
// order they are made.
func toPass(weight, keep float64) float64 {
	const steps = 1 << 20
	return math.Trunc(float64(weight*keep)*steps) / steps
}

// limit finds what the probabilities must be lowered to in this tick.
func (e *emaRates) limit(claims []emaClaim, at int64) {
	left := max((e.at+1)*e.period-at, e.tick) // of the period
	now := emaTick{
		ticks: float64(left) / float64(e.tick), passed: e.passed, passedShared: e.passedShared, before: float64(e.seen),
	}
	for _, c := range claims {
		now.add(e.keys[c.key], c.weight, c.part)
	}
	e.known, e.others = e.lowered(now)
	for _, c := range claims {
		if c.moot {
			now.add(e.keys[c.key], c.weight, certain)
		}
	}
	e.mootKnown, e.mootOthers = e.lowered(now)
}

// lowered returns by what the probabilities of known keys are multiplied in a tick, and the probability of others.
func (e *emaRates) lowered(t emaTick) (known, others float64) {
	known = 1
	if e.most > 0 && e.share <= 0 {
		// A quarter of what is left, even if many ticks are to come: few traces come in lumps.
		known = atMost((float64(max(e.most, 1)*e.amount)-t.passed)/min(t.ticks, 4), t.known)
		t.known = float64(t.known * known)
	}
	return known, e.allowance(t)
}

// allowance returns the probability of keys that are not known. Together they may have what known keys leave of the goal;
// or, if that is more, their own part, which is at least that of an average key.
func (e *emaRates) allowance(t emaTick) float64 {
	if e.share > 0 && !e.warm {
		return min(e.share, 1)
	}
	own, left := 0.0, (e.amount-t.passed)/t.ticks
	if e.warm {
		part := max(e.shared.part, e.goal/float64(e.kinds+1))
		// What known keys left before may have been more than the part. A little is for each tick, or the few that pass in it
		// would have to stand for very many.
		own = max((part-t.passedShared)/min(t.ticks, 4), part/8*float64(e.tick)/float64(max(e.period, e.tick)))
		left = (e.goal - t.passed) / t.ticks
	}
	if e.share > 0 {
		// A goal that is a share grows with what comes.
		left = float64(e.share*e.correction()*(t.before+t.seen)) - t.passed
	}
	return atMost(max(own, left-t.known), t.unknown)
}

// atMost returns with what probability something must pass for no more than room of it to pass on average. It is never 0:
// what cannot pass at all is not stood for by what does.
func atMost(room, weight float64) float64 {
	const least = 1e-6
	if weight <= room {
		return 1
	}
	return max(room/weight, least)
}
