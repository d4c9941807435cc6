package tracestate

import "math"

// Max is the number of values that randomness has, and the threshold that none of them reaches: never.
const Max = 1 << 56

// Threshold returns how many of the Max values of randomness must be rejected for the rest to have the probability p. For
// less than 1/Max, and for what is no number, that is all of them.
func Threshold(p float64) uint64 {
	switch {
	case p >= 1:
		return 0
	case p >= 1.0/Max:
		return Max - uint64(math.Round(p*Max))
	}
	return Max
}

// Probability returns the share of randomness that reaches a threshold.
func Probability(th uint64) float64 {
	if th >= Max {
		return 0
	}
	return float64(Max-th) / Max
}
