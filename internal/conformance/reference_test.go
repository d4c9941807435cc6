package conformance

import (
	"slices"

	oteltrace "go.opentelemetry.io/otel/trace"
)

// decide is the reference: the verdict on a trace that is alone, written in the plainest way. Limits are full, so a limiter
// has room for what is not above its burst. Without hardLimits it passes more too, with luck, which all have here.
func decide(l *list, t *trace, q quirks) verdict { return decideUnlucky(l, t, q, nil) }

// decideUnlucky does so if some limits have no luck.
func decideUnlucky(l *list, t *trace, q quirks, unlucky map[*policy]bool) verdict {
	r := &reference{q: q, t: t, pieces: t.pieces(), unlucky: unlucky}
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

// justified reports whether Thresher may give a verdict on a trace that is alone: for some luck of the limits that are smaller than it.
func justified(l *list, t *trace, v verdict) bool {
	if justifiedBy(l, t, v, nil) {
		return true
	}
	var small []*policy
	l.all(func(p *policy) {
		r := &reference{q: noQuirks, t: t, pieces: withoutDuplicates(t.pieces())}
		if oneOf(p.Type, "rate_limiting", "bytes_limiting", "composite") && !r.fits(p) {
			small = append(small, p)
		}
	})
	for luck := 1; luck < 1<<min(len(small), 8); luck++ {
		unlucky := map[*policy]bool{}
		for i, p := range small {
			unlucky[p] = luck>>i&1 == 1
		}
		if justifiedBy(l, t, v, unlucky) {
			return true
		}
	}
	return false
}

// justifiedBy asks about one luck. The verdict is the one of the reference; but a limit is asked only if whether the trace is kept depends
// on it, so where there are limits another of the policies that would keep or drop the trace may be named, and a trace that nothing keeps
// may go without being dropped.
func justifiedBy(l *list, t *trace, v verdict, unlucky map[*policy]bool) bool {
	want := decideUnlucky(l, t, noQuirks, unlucky)
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
	return decideUnlucky(others, t, noQuirks, unlucky) == v
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
	denied bool // within an odd number of not and drop

	unlucky map[*policy]bool // limits that do not pass what they have no room for
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
	case "and":
		return r.and(p.Sub)
	case "drop":
		defer r.deny()()
		return r.and(p.Sub)
	case "not":
		defer r.deny()()
		return []answer{no: yes, yes: no, failed: failed}[r.ask(p.Sub[0])]
	case "composite":
		return r.composite(p)
	}
	panic("no type " + p.Type)
}

// deny notes that what is passed until the returned function is called is not kept.
func (r *reference) deny() (end func()) {
	r.denied = !r.denied
	return func() { r.denied = !r.denied }
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
