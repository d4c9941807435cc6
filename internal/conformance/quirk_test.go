package conformance

import "strings"

// quirks is a set of the ways in which the Collector differs from Thresher without `compat: strict`. A quirk that is in the
// set is decided as the Collector does.
type quirks uint32

const (
	typeConfusion        quirks = 1 << iota // a value of another type is read as "", 0 or false
	emptyText                               // patterns are tried on empty text, on resources
	numericZero                             // a bound of 0 is none
	partialLatency                          // each duration that the trace had on the way is compared
	zeroTimes                               // a start or end of 0 counts, or does not, as it comes
	hugeTimes                               // times from 2262 on are before 1970
	duplicateKey                            // only the first attribute of a key counts
	duplicateSpan                           // a span that comes again is another span
	bytesSize                               // the size of a trace is that of a request with it, with headers and repeated spans
	ottlOrder                               // what comes first, a match or an error, decides
	compositeFirst                          // the first policy within that passes decides, room or not
	tracestateRandomness                    // ot=rv and ot=th do not count
	hardLimits                              // what is larger than a limit never passes

	noQuirks  quirks = 0
	allQuirks        = hardLimits<<1 - 1
)

func (q quirks) String() string {
	names := []string{
		"type_confusion", "empty_text", "numeric_zero_bound", "partial_latency", "zero_timestamps", "huge_timestamps",
		"duplicate_key", "duplicate_span", "bytes_size", "ottl_error_order", "composite_first",
		"tracestate_randomness", "hard_limits",
	}
	var in []string
	for i, n := range names {
		if q>>i&1 == 1 {
			in = append(in, n)
		}
	}
	return strings.Join(in, "+")
}

// each calls f with every single quirk of the set.
func (q quirks) each(f func(quirks)) {
	for one := quirks(1); one <= q; one <<= 1 {
		if q&one != 0 {
			f(one)
		}
	}
}

// explain returns the quirks that make the difference between the verdicts without and with all quirks: each that changes
// the verdict alone or whose absence alone does, and else the smallest set that it takes together, found by leaving out.
func explain(l *list, t *trace) quirks {
	ours, theirs := decide(l, t, noQuirks), decide(l, t, allQuirks)
	if ours == theirs {
		return noQuirks
	}
	var found quirks
	allQuirks.each(func(q quirks) {
		if decide(l, t, q) != ours || decide(l, t, allQuirks&^q) != theirs {
			found |= q
		}
	})
	if found != 0 {
		return found
	}
	need := allQuirks
	allQuirks.each(func(q quirks) {
		if decide(l, t, need&^q) != ours {
			need &^= q
		}
	})
	return need
}
