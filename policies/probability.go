package policies

import "slices"

// Never is a threshold that no randomness reaches: thresholds and randomness have 56 bits.
const Never = 1 << 56

// probability returns the share of all trace IDs, or of all randomness, with which the trace would be kept, everything
// else being the same. What is random are the hashes for the different salts, and the randomness; these are independent. All
// hashes, and all randomness, between two neighbouring thresholds give the same verdict: so it is the sum, over all
// combinations of such ranges, of their sizes' product.
func (e *evaluation) probability() float64 {
	own := e.randomness
	e.byLimits = true
	share := e.share(0)
	e.byLimits, e.randomness = false, own
	return share
}

// share sums up over the salts from the given one on; the hashes of salts before it are set.
func (e *evaluation) share(salt int) float64 {
	if salt == len(e.plan.salts) || e.explicit {
		return e.shareOfRandomness()
	}
	share := 0.0
	s := &e.plan.salts[salt]
	for i := range s.ranges() {
		upper, size := s.hashRange(i)
		e.hashes[salt], e.hashed[salt] = upper, true
		// The conversion keeps the compiler from fusing the two operations, which would round differently on some machines.
		share += float64(size * e.share(salt+1))
	}
	return share
}

// shareOfRandomness returns with which share of the randomness the trace would be kept.
func (e *evaluation) shareOfRandomness() float64 {
	var room [16]uint64
	steps := append(room[:0], 0)
	for v, l := range e.limits {
		if e.plan.valves[v].least {
			l = Never - l
		}
		if l < Never {
			steps = append(steps, l)
		}
	}
	if e.explicit {
		for i := range e.plan.salts {
			steps = append(steps, e.plan.salts[i].steps...)
		}
	}
	slices.Sort(steps)
	steps = slices.Compact(steps)
	var kept uint64
	for i, from := range steps {
		to := uint64(Never)
		if i+1 < len(steps) {
			to = steps[i+1]
		}
		e.randomness = from
		if from < to && e.keeps(len(e.plan.policies)-1) {
			kept += to - from
		}
	}
	return float64(kept) / Never
}
