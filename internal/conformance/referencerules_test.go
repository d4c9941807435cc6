package conformance

import (
	"hash/fnv"
	"math"
	"math/big"
	"regexp"
	"slices"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

func (r *reference) latency(p *policy) bool {
	above, upTo := int64(0), int64(0)
	if p.Above != nil {
		above = *p.Above
	}
	if p.UpTo != nil {
		upTo = *p.UpTo
	}
	var first, last uint64
	within := func() bool {
		ms := saturated(int64(last), int64(first)) / 1e6
		if !r.with(hugeTimes) {
			ms = 0
			if last > first {
				ms = int64((last - first) / 1e6)
			}
		}
		if !r.with(zeroTimes) && (first == 0 || last == 0) {
			ms = 0
		}
		return ms > above && (upTo == 0 || ms <= upTo)
	}
	if r.anySpan(func(at site) bool {
		if s := at.span.start; (s != 0 || r.with(zeroTimes)) && (first == 0 || s < first) {
			first = s
		}
		last = max(last, at.span.end)
		return r.with(partialLatency) && within()
	}) {
		return true
	}
	return within()
}

func (r *reference) number(p *policy, v value) bool {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	hasLow := p.Min != nil && (*p.Min != 0 || !r.with(numericZero))
	if hasLow {
		low = *p.Min
	}
	hasHigh := p.Max != nil && (*p.Max != 0 || !r.with(numericZero))
	if hasHigh {
		high = *p.Max
	}
	switch {
	case v.kind == kindInt:
		return low <= v.whole && v.whole <= high
	case r.with(typeConfusion):
		return low <= 0 && 0 <= high
	case v.kind != kindDouble || math.IsNaN(v.double):
		return false
	}
	// Without a bound every double is within, also one that no int64 reaches.
	d := big.NewFloat(v.double)
	return (!hasLow || d.Cmp(new(big.Float).SetInt64(low)) >= 0) && (!hasHigh || d.Cmp(new(big.Float).SetInt64(high)) <= 0)
}

func (r *reference) text(p *policy, v value, onResource bool) bool {
	if v.kind != kindString {
		if !r.with(typeConfusion) {
			return false
		}
		v.text = ""
	}
	if v.text == "" && (!onResource || !r.with(emptyText)) {
		return false
	}
	return slices.ContainsFunc(p.Values, func(x string) bool {
		return !p.Regex && x == v.text || p.Regex && regexp.MustCompile(x).MatchString(v.text)
	})
}

func (r *reference) chance(p *policy) bool {
	if n, told := r.told56(); told && !r.with(tracestateRandomness) {
		const all = 1 << 56
		if r.denied { // so that what is kept is random enough
			n = all - 1 - n
		}
		return n >= all-uint64(math.Round(p.Percent/100*all))
	}
	salt := p.Salt
	if salt == "" {
		salt = "default-hash-seed"
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(salt))
	_, _ = h.Write(r.t.id[:])
	all := new(big.Float).SetInt(new(big.Int).SetUint64(math.MaxUint64))
	threshold, _ := all.Mul(all, big.NewFloat(p.Percent/100)).Uint64()
	return h.Sum64() <= threshold
}

// told56 returns the randomness of the trace, and whether a tracestate tells something about it or about how the trace was
// sampled before.
func (r *reference) told56() (n uint64, told bool) {
	hasRV := false
	for _, b := range r.t.id[9:] {
		n = n<<8 | uint64(b)
	}
	r.anySpan(func(at site) bool {
		ot, ok := sampledStates()[at.span.state]
		told = told || ok
		if ok && ot.hasRV && !hasRV {
			n, hasRV = ot.rv, true
		}
		return false
	})
	return n, told
}

// size is what bytes_limiting counts.
func (r *reference) size() int64 {
	if !r.with(bytesSize) {
		n := 0
		for _, p := range withoutDuplicates(r.pieces) {
			for _, run := range p.runs {
				for _, s := range run.spans {
					n += len(s.encode(r.t.id))
				}
			}
		}
		return int64(n)
	}
	var request []byte
	for _, p := range r.pieces {
		body := appendMessage(nil, 1, appendAttrs(nil, 1, p.resource.attrs))
		for _, run := range p.runs {
			body = appendMessage(body, 2, append(appendMessage(nil, 1, run.scope.encode()), appendSpans(nil, run, r.t.id)...))
		}
		request = appendMessage(request, 1, body)
	}
	var u ptrace.ProtoUnmarshaler
	traces, err := u.UnmarshalTraces(request)
	if err != nil {
		panic(err)
	}
	var m ptrace.ProtoMarshaler
	return int64(m.TracesSize(traces))
}

func (r *reference) ottl(p *policy) answer {
	result := no
	r.anySpan(func(at site) bool {
		ok, err := p.onSpan(at)
		switch {
		case ok:
			result = yes
		case err != nil:
			result = failed
		}
		return ok || err != nil && r.with(ottlOrder)
	})
	return result
}

// composite asks the policies within. In the Collector the first that passes decides, room or not, in the order in which
// they are written; in Thresher a trace for which one has no room goes on to the next.
func (r *reference) composite(p *policy) answer {
	passes := no
	for _, s := range p.Sub {
		switch a := r.ask(s); {
		case a == no:
		case r.with(compositeFirst):
			if a == yes {
				return isTrue(r.room(p, s) || r.overdraws(p))
			}
			return a
		case a == yes:
			passes = yes
		case passes == no:
			passes = failed
		}
	}
	if passes != yes {
		return passes
	}
	return r.limit(p)
}

// limit is the answer of a limiter, or of a composite that a policy within passes.
func (r *reference) limit(p *policy) answer { return isTrue(r.fits(p) || r.overdraws(p)) }

// fits reports whether a limit has room for the trace.
func (r *reference) fits(p *policy) bool {
	switch p.Type {
	case "rate_limiting":
		return r.spans() <= p.burst()
	case "bytes_limiting":
		return r.size() <= p.burst()
	}
	return slices.ContainsFunc(p.Sub, func(s *policy) bool { return r.ask(s) == yes && r.room(p, s) })
}

// overdraws reports whether a limit passes a trace that it has no room for.
func (r *reference) overdraws(p *policy) bool { return !r.with(hardLimits) && !r.unlucky[p] }

// room reports whether a composite has room for the trace in the share of a policy within.
func (r *reference) room(p, sub *policy) bool {
	allocated := int64(float64(p.Rate) / float64(len(p.Sub)))
	for _, a := range p.Alloc {
		if a.Policy == sub.Name && a.Percent > 0 {
			allocated = int64(float64(a.Percent) / 100 * float64(p.Rate))
		}
	}
	n := r.spans()
	return n <= allocated && n <= p.Rate
}
