package policies

// limit finds what the probabilities must be lowered to in this tick.
func (e *emaRates) limit(claims []emaClaim, now int64) {
	var known, unknown, seen float64 // what would pass of known keys, what there is of others, and of all
	for _, c := range claims {
		weight := float64(min(c.weight, maxEMACount))
		seen += weight
		if k := e.keys[c.key]; k != nil && k.average > 0 {
			known += float64(weight * k.keep)
		} else {
			unknown += weight
		}
	}
	left := max((e.at+1)*e.period-now, e.tick) // of the period
	ticks := float64(left) / float64(e.tick)
	e.known = 1
	if e.most > 0 && e.share <= 0 {
		// A quarter of what is left, even if many ticks are to come: few traces come in lumps.
		e.known = atMost((float64(max(e.most, 1)*e.amount)-e.passed)/min(ticks, 4), known)
		known = float64(known * e.known)
	}
	e.others = e.allowance(known, unknown, seen, ticks)
}

// allowance returns the probability of keys that are not known. Together they may have what known keys leave of the goal;
// or, if that is more, their own part, which is at least that of an average key.
func (e *emaRates) allowance(known, unknown, seen, ticks float64) float64 {
	if e.share > 0 && !e.warm {
		return min(e.share, 1)
	}
	own, left := 0.0, (e.amount-e.passed)/ticks
	if e.warm {
		part := max(e.shared.part, e.goal/float64(e.kinds+1))
		// What known keys left before may have been more than the part. A little is for each tick, or the few that pass in it
		// would have to stand for very many.
		own = max((part-e.passedShared)/min(ticks, 4), part/8*float64(e.tick)/float64(max(e.period, e.tick)))
		left = (e.goal - e.passed) / ticks
	}
	if e.share > 0 {
		// A goal that is a share grows with what comes.
		left = float64(e.share*e.correction()*(float64(e.seen)+seen)) - e.passed
	}
	return atMost(max(own, left-known), unknown)
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
