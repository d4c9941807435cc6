package policies

import (
	"math"
	"slices"
)

// Never is a threshold that no randomness reaches: thresholds and randomness have 56 bits.
const Never = 1 << 56

// probability returns the share of all trace IDs, or of all randomness, with which the trace would be kept, everything
// else being the same. What is random are the hashes for the different salts, and the randomness; these are independent. All
// hashes, and all randomness, between two neighbouring thresholds give the same verdict: so it is the sum, over all
// combinations of such ranges, of their sizes' product.
func (e *evaluation) probability() float64 {
	own := e.randomness
	e.byLimits = len(e.plan.valves)
	share := e.share(0)
	e.byLimits, e.randomness = 0, own
	clear(e.hashed)
	return share
}

// share sums up over the salts from the given one on; the hashes of salts before it are set.
func (e *evaluation) share(salt int) float64 {
	if salt == len(e.plan.salts) || e.explicit {
		return e.shareOfRandomness()
	}
	sum := 0.0
	for from, more := uint64(0), true; more; {
		e.assume(salt, from)
		s := e.share(salt + 1)
		var size float64
		size, from, more = e.assumed(salt)
		// The conversion keeps the compiler from fusing the two operations, which would round differently on some machines.
		sum += float64(size * s)
	}
	return sum
}

// assume makes a hash the one that the trace has with a salt.
func (e *evaluation) assume(salt int, hash uint64) {
	e.hashes[salt], e.hashed[salt], e.until[salt] = hash, true, math.MaxUint64
}

// assumed returns the share of all hashes in the range that begins with the assumed one and that no gate has told apart from it, and
// where the next range begins, if there is one.
func (e *evaluation) assumed(salt int) (share float64, next uint64, more bool) {
	from, upTo := e.hashes[salt], e.until[salt]
	if from == 0 {
		share = (float64(upTo) + 1) / (1 << 64)
	} else {
		share = float64(upTo-from+1) / (1 << 64)
	}
	return share, upTo + 1, upTo < math.MaxUint64
}

// shareOfRandomness returns with which share of the randomness the trace would be kept: of that with which whoever sampled the
// trace before let it pass.
func (e *evaluation) shareOfRandomness() float64 {
	steps := e.steps(len(e.plan.valves))
	var kept uint64
	for i, from := range steps {
		to := uint64(Never)
		if i+1 < len(steps) {
			to = steps[i+1]
		}
		e.randomness = from
		if e.keeps(len(e.plan.policies) - 1) {
			kept += to - from
		}
	}
	return float64(kept) / float64(Never-e.trace.Head)
}

// steps returns the randomness at which a verdict can change, by the valves before the given one and by percentages, and
// the smallest that the trace can have.
func (e *evaluation) steps(valves int) []uint64 {
	head := e.trace.Head
	e.room = append(e.room[:0], head)
	for v, l := range e.limits[:valves] {
		if e.plan.valves[v].owner != 0 && !e.plan.strict {
			continue // a composite goes by its lanes
		}
		if e.plan.valves[v].least {
			l = Never - l
		}
		if l > head && l < Never {
			e.room = append(e.room, l)
		}
	}
	if e.explicit {
		for i := range e.plan.salts {
			for _, l := range e.plan.salts[i].steps {
				if l > head && l < Never {
					e.room = append(e.room, l)
				}
			}
		}
	}
	slices.Sort(e.room)
	e.room = slices.Compact(e.room)
	return e.room
}
