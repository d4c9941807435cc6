package conformance

import (
	"hash/fnv"
	"math"
	"math/big"
	"regexp"
	"slices"

	"go.opentelemetry.io/collector/pdata/ptrace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// decide is the reference: the verdict on a trace that is alone, written in the plainest way. Limits are full, so a limiter
// has room for what is not above its burst.
func decide(l *list, t *trace, q quirks) verdict {
	r := &reference{q: q, t: t, pieces: t.pieces()}
	if !r.with(duplicateSpan) {
		r.pieces = withoutDuplicates(r.pieces)
	}
	for _, p := range l.policies {
		if p.Type == "drop" && r.ask(p) == yes {
			return verdict{"dropped", p.Name}
		}
	}
	for _, p := range l.policies {
		if p.Type != "drop" && r.ask(p) == yes {
			return verdict{"sampled", p.Name}
		}
	}
	return verdict{"not_sampled", ""}
}

// justified reports whether Thresher may give a verdict on a trace that is alone. It is the one of the reference; but a limit is
// asked only if whether the trace is kept depends on it, so where there are limits another of the policies that would keep or
// drop the trace may be named, and a trace that nothing keeps may go without being dropped.
func justified(l *list, t *trace, v verdict) bool {
	want := decide(l, t, noQuirks)
	if v == want || !l.limited() {
		return v == want
	}
	if v.decision != want.decision {
		return want.decision == "dropped" && v.decision == "not_sampled"
	}
	others := &list{firstMatch: l.firstMatch}
	for _, p := range l.policies {
		if p.Name == v.policy {
			others.policies = append(others.policies, p)
		}
	}
	return decide(others, t, noQuirks) == v
}

// limited reports whether a policy has a limit.
func (l *list) limited() (is bool) {
	l.all(func(p *policy) { is = is || oneOf(p.Type, "rate_limiting", "bytes_limiting", "composite") })
	return is
}

// An answer is that of a policy.
type answer uint8

const (
	no answer = iota
	yes
	failed
)

func isTrue(b bool) answer {
	if b {
		return yes
	}
	return no
}

type reference struct {
	q      quirks
	t      *trace
	pieces []*piece
}

func (r *reference) with(q quirks) bool { return r.q&q != 0 }

// withoutDuplicates leaves the first span with an ID, where a server's is another.
func withoutDuplicates(pieces []*piece) []*piece {
	type key struct {
		id     [8]byte
		server bool
	}
	seen := map[key]bool{}
	var left []*piece
	for _, p := range pieces {
		c := &piece{resource: p.resource}
		for _, old := range p.runs {
			n := &run{scope: old.scope}
			for _, s := range old.spans {
				if k := (key{s.id, s.kind == 2}); !seen[k] {
					seen[k] = true
					n.spans = append(n.spans, s)
				}
			}
			if len(n.spans) > 0 {
				c.runs = append(c.runs, n)
			}
		}
		if len(c.runs) > 0 {
			left = append(left, c)
		}
	}
	return left
}

// anySpan visits the spans in order until one passes.
func (r *reference) anySpan(pass func(at site) bool) bool {
	for _, p := range r.pieces {
		for _, run := range p.runs {
			for _, s := range run.spans {
				if pass(site{p.resource, run.scope, s, nil}) {
					return true
				}
			}
		}
	}
	return false
}

// anyValue reports whether an attribute of a resource or a span passes.
func (r *reference) anyValue(key string, pass func(v value, onResource bool) bool) bool {
	in := func(attrs []attr, onResource bool) bool {
		for _, a := range attrs {
			if a.key != key {
				continue
			}
			if pass(a.value, onResource) {
				return true
			}
			if r.with(duplicateKey) {
				return false
			}
		}
		return false
	}
	for _, p := range r.pieces {
		if in(p.resource.attrs, true) {
			return true
		}
	}
	return r.anySpan(func(at site) bool { return in(at.span.attrs, false) })
}

func (r *reference) spans() int64 {
	n := int64(0)
	r.anySpan(func(site) bool { n++; return false })
	return n
}

func (r *reference) ask(p *policy) answer {
	switch p.Type {
	case "always_sample":
		return yes
	case "latency":
		return isTrue(r.latency(p))
	case "numeric_attribute":
		return isTrue(p.Invert != r.anyValue(p.Key, func(v value, _ bool) bool { return r.number(p, v) }))
	case "string_attribute":
		return isTrue(p.Invert != r.anyValue(p.Key, func(v value, onResource bool) bool { return r.text(p, v, onResource) }))
	case "boolean_attribute":
		return isTrue(p.Invert != r.anyValue(p.Key, func(v value, _ bool) bool {
			return (v.kind == kindBool || r.with(typeConfusion)) && v.truth == p.Value
		}))
	case "status_code":
		return isTrue(r.anySpan(func(at site) bool {
			names := []string{"UNSET", "OK", "ERROR"}
			return at.span.status < 3 && slices.Contains(p.Codes, names[at.span.status])
		}))
	case "span_count":
		n := r.spans()
		return isTrue((p.Min == nil || n >= *p.Min) && (p.Max == nil || *p.Max == 0 || n <= *p.Max))
	case "trace_state":
		return isTrue(r.anySpan(func(at site) bool {
			s, err := oteltrace.ParseTraceState(at.span.state)
			return err == nil && slices.Contains(p.Values, s.Get(p.Key))
		}))
	case "trace_flags":
		return isTrue(r.anySpan(func(at site) bool { return at.span.flags&1 != 0 }))
	case "probabilistic":
		return isTrue(r.chance(p))
	case "rate_limiting", "bytes_limiting":
		return r.limit(p)
	case "ottl_condition":
		return r.ottl(p)
	case "and", "drop":
		return r.and(p.Sub)
	case "not":
		return []answer{no: yes, yes: no, failed: failed}[r.ask(p.Sub[0])]
	case "composite":
		return r.composite(p)
	}
	panic("no type " + p.Type)
}

func (r *reference) and(sub []*policy) answer {
	for _, p := range sub {
		if a := r.ask(p); a != yes {
			return a
		}
	}
	return yes
}

func (p *policy) burst() int64 {
	if p.Burst > 0 {
		return p.Burst
	}
	return 2 * p.Rate
}

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
				return isTrue(r.room(p, s))
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
func (r *reference) limit(p *policy) answer {
	switch p.Type {
	case "rate_limiting":
		return isTrue(r.spans() <= p.burst())
	case "bytes_limiting":
		return isTrue(r.size() <= p.burst())
	}
	return isTrue(slices.ContainsFunc(p.Sub, func(s *policy) bool { return r.ask(s) == yes && r.room(p, s) }))
}

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
