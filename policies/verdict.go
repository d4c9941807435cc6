package policies

import "thresher/internal/wire"

// Trace is all that a decision rests on, besides the state of policies that depend on other traces.
type Trace struct {
	ID         wire.TraceID
	Randomness uint64   // 56 bits: that of its tracestate, or else Randomness(ID)
	Head       uint64   // the threshold of an earlier sampler: it let traces pass from this randomness on; 0 if there was none
	Explicit   bool     // its tracestate has a randomness, or the threshold of an earlier sampler
	Spans      uint64   // number of spans
	Bytes      uint64   // size of the spans on the wire
	Start, End uint64   // smallest start and largest end of its spans, Unix nanoseconds; 0: none known
	Matches    []uint64 // what MatchSpan left; Plan.Words words
	Shape      []byte   // what Plan.ShapeOf told of its spans, one after the other
	Due        int64    // partition time of the decision, milliseconds
	Now        int64    // time of day of the decision by the timestamps of the log, Unix milliseconds: for what is said in absolute time
	HasRoot    bool     // a span without parent is among its spans
}

// Unmatched is what people are shown for the name of the policy where none decided.
const Unmatched = "(no policy)"

// Verdict is the outcome for one trace. Decide reuses its storage.
type Verdict struct {
	Keep    bool
	Dropped bool     // a drop policy decided
	Policy  int      // index of the deciding top-level policy, -1 if none
	Matched []uint64 // the top-level policies that matched: bit i%64 of word i/64 for policy i
	// Failed are the top-level policies that had no vote because a condition in them could not be evaluated, and Erred those with a
	// condition that could not be evaluated for a span, and was true of none, whatever came of it. Both are as Matched, and empty if
	// no policy has conditions.
	Failed, Erred []uint64
	// Probability is the share that is kept of all traces that differ from this one in nothing but the trace ID: 1 if
	// it is kept whatever its ID, and if it is not kept at all. A kept trace stands for 1/Probability traces: sums of that over kept
	// traces have no bias. A trace with an error that a 1 % policy earlier in the list decided
	// has probability 1 if a policy for errors would have kept it anyway. If the trace was sampled before, this is the share of
	// those that were let pass then.
	Probability float64
	Complete    bool // a root span was seen
	// Sole is set if the trace would not be kept without the deciding policy. It is not known, and false, if policies behind it were
	// not asked, for sample_on_first_match. Limits are taken to be asked for all that the others keep, and not to have spent anything on it
	// before, so beside limits it is an estimate.
	Sole bool
}

// Matches reports whether top-level policy i matched.
func (v *Verdict) Matches(i int) bool { return isIn(v.Matched, i) }

// HasFailed reports whether top-level policy i is in Failed.
func (v *Verdict) HasFailed(i int) bool { return isIn(v.Failed, i) }

// HasErred reports whether top-level policy i is in Erred.
func (v *Verdict) HasErred(i int) bool { return isIn(v.Erred, i) }

func isIn(set []uint64, i int) bool { return i/64 < len(set) && set[i/64]>>(i%64)&1 == 1 }

// reset clears the sets of policies, and makes room for those of a plan.
func (v *Verdict) reset(p *Plan) {
	words := (len(p.policies) + 63) / 64
	v.Matched = cleared(v.Matched, words)
	if len(p.conditions) == 0 {
		words = 0
	}
	v.Failed, v.Erred = cleared(v.Failed, words), cleared(v.Erred, words)
}

func cleared(set []uint64, words int) []uint64 {
	if cap(set) < words {
		return make([]uint64, words)
	}
	set = set[:words]
	clear(set)
	return set
}

// Refuse makes it the verdict on a trace that no policy is asked about: not kept.
func (v *Verdict) Refuse() {
	v.Keep, v.Dropped, v.Policy, v.Probability, v.Sole = false, false, -1, 1, false
	clear(v.Matched)
	clear(v.Failed)
	clear(v.Erred)
}
