package twin

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/big"
	"regexp"
	"slices"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/sampling"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// A Policy is true or false of a whole trace.
type Policy interface {
	Eval(spans []Span) bool
}

// A Named policy is an entry of a Set.
type Named struct {
	Name string
	Policy
}

// A Set decides by the first policy that is true: drop policies first, then the others. If none is, the trace is dropped.
type Set []Named

// Decide is a Decider.
func (set Set) Decide(spans []Span) (keep bool, policy string) {
	for _, p := range set {
		if _, drops := p.Policy.(Drop); drops && p.Eval(spans) {
			return false, p.Name
		}
	}
	for _, p := range set {
		if _, drops := p.Policy.(Drop); !drops && p.Eval(spans) {
			return true, p.Name
		}
	}
	return false, ""
}

// The policies, named and configured as in the Collector.
type (
	// AlwaysSample is true.
	AlwaysSample struct{}

	// StatusCode is true if some span has one of the codes.
	StatusCode []ptrace.StatusCode

	// Latency is true if the trace took more than ThresholdMs, and not more than UpperMs unless that is 0.
	Latency struct{ ThresholdMs, UpperMs int64 }

	// StringAttribute is true if some resource or span has Key with one of Values, or with a match of one of them as
	// regular expressions. A value that is not a string, or is empty, does not match.
	StringAttribute struct {
		Key           string
		Values        []string
		Regex, Invert bool
	}

	// NumericAttribute is true if some resource or span has a number under Key that is within the bounds that there are.
	NumericAttribute struct {
		Key      string
		Min, Max *int64
		Invert   bool
	}

	// BooleanAttribute is true if some resource or span has Value under Key.
	BooleanAttribute struct {
		Key           string
		Value, Invert bool
	}

	// Probabilistic is true of a share of the trace IDs.
	Probabilistic struct {
		Salt       string // "": the Collector's
		Percentage float64
	}

	// SpanCount is true of traces of at least Min spans, and at most Max unless that is 0.
	SpanCount struct{ Min, Max int }

	// And is true if all are.
	And []Policy

	// Not is true if its policy is not.
	Not struct{ Policy Policy }

	// Drop is true if all are; a Set then drops the trace.
	Drop []Policy
)

// Eval implements Policy.
func (AlwaysSample) Eval([]Span) bool { return true }

// Eval implements Policy.
func (p StatusCode) Eval(spans []Span) bool {
	return slices.ContainsFunc(spans, func(s Span) bool { return slices.Contains(p, s.Span.Status().Code()) })
}

// Eval implements Policy.
func (p Latency) Eval(spans []Span) bool {
	start, end := uint64(math.MaxUint64), uint64(0)
	for _, s := range spans {
		if s.Span.StartTimestamp() != 0 { // 0: not known
			start = min(start, uint64(s.Span.StartTimestamp()))
		}
		end = max(end, uint64(s.Span.EndTimestamp()))
	}
	took := uint64(0)
	if start < end {
		took = (end - start) / 1e6
	}
	return took > uint64(p.ThresholdMs) && (p.UpperMs == 0 || took <= uint64(p.UpperMs))
}

// anyAttribute asks about every value that some resource or span has under a key.
func anyAttribute(spans []Span, key string, match func(pcommon.Value) bool) bool {
	for _, s := range spans {
		for _, attributes := range []pcommon.Map{s.Resource, s.Span.Attributes()} {
			for k, v := range attributes.All() {
				if k == key && match(v) {
					return true
				}
			}
		}
	}
	return false
}

// Eval implements Policy.
func (p StringAttribute) Eval(spans []Span) bool {
	var patterns []*regexp.Regexp
	if p.Regex {
		for _, v := range p.Values {
			patterns = append(patterns, regexp.MustCompile(v))
		}
	}
	return p.Invert != anyAttribute(spans, p.Key, func(v pcommon.Value) bool {
		if v.Type() != pcommon.ValueTypeStr || v.Str() == "" {
			return false
		}
		if !p.Regex {
			return slices.Contains(p.Values, v.Str())
		}
		return slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(v.Str()) })
	})
}

// Eval implements Policy.
func (p NumericAttribute) Eval(spans []Span) bool {
	return p.Invert != anyAttribute(spans, p.Key, func(v pcommon.Value) bool {
		switch v.Type() {
		case pcommon.ValueTypeInt:
			return (p.Min == nil || v.Int() >= *p.Min) && (p.Max == nil || v.Int() <= *p.Max)
		case pcommon.ValueTypeDouble:
			return !math.IsNaN(v.Double()) && (p.Min == nil || v.Double() >= float64(*p.Min)) && (p.Max == nil || v.Double() <= float64(*p.Max))
		default:
			return false
		}
	})
}

// Eval implements Policy.
func (p BooleanAttribute) Eval(spans []Span) bool {
	return p.Invert != anyAttribute(spans, p.Key, func(v pcommon.Value) bool {
		return v.Type() == pcommon.ValueTypeBool && v.Bool() == p.Value
	})
}

// Eval implements Policy.
func (p Probabilistic) Eval(spans []Span) bool {
	if len(spans) == 0 {
		return false
	}
	salt := p.Salt
	if salt == "" {
		salt = "default-hash-seed"
	}
	id := spans[0].Span.TraceID()
	if r, given := randomness(spans); given {
		return r >= 1<<56-uint64(math.Round(p.Percentage/100*(1<<56)))
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(salt)) // a hash does not fail
	_, _ = h.Write(id[:])
	return h.Sum64() <= threshold(p.Percentage)
}

// randomness is that of the trace, and true if a tracestate tells it, or a threshold by which the trace was sampled before.
func randomness(spans []Span) (r uint64, given bool) {
	id := spans[0].Span.TraceID()
	r = binary.BigEndian.Uint64(id[8:]) & (1<<56 - 1)
	told := false
	for _, s := range spans {
		state, err := sampling.NewW3CTraceState(s.Span.TraceState().AsRaw())
		if err != nil {
			continue
		}
		ot := state.OTelValue()
		if rv, has := ot.RValueRandomness(); has {
			if !told {
				r = rv.Unsigned()
			}
			told, given = true, true
		}
		if _, has := ot.TValueThreshold(); has {
			given = true
		}
	}
	return r, given
}

// threshold is the given percentage of 2^64-1, computed as the Collector does, to the bit.
func threshold(percentage float64) uint64 {
	switch {
	case percentage <= 0:
		return 0
	case percentage >= 100:
		return math.MaxUint64
	}
	all := new(big.Float).SetInt(new(big.Int).SetUint64(math.MaxUint64))
	part, _ := all.Mul(all, big.NewFloat(percentage/100)).Uint64()
	return part
}

// Eval implements Policy.
func (p SpanCount) Eval(spans []Span) bool {
	return len(spans) >= p.Min && (p.Max == 0 || len(spans) <= p.Max)
}

// Eval implements Policy.
func (p And) Eval(spans []Span) bool { return all(p, spans) }

// Eval implements Policy.
func (p Not) Eval(spans []Span) bool { return !p.Policy.Eval(spans) }

// Eval implements Policy.
func (p Drop) Eval(spans []Span) bool { return all(p, spans) }

func all(policies []Policy, spans []Span) bool {
	for _, p := range policies {
		if !p.Eval(spans) {
			return false
		}
	}
	return true
}
