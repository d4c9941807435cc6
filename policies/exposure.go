package policies

import (
	"cmp"
	"slices"
)

// A segment is randomness between which a valve decides about a trace.
type segment struct {
	from, to uint64  // to is not within
	density  float64 // the share of all hashes of the ID with which it does
	passes   uint64  // of a composite: bit i is set if policy i within passes then
}

// An exposure tells with which randomness and which hashes a valve decides about a trace, by the limits of the valves before it. It is the same
// whatever the trace's own randomness and hashes are. That is what makes sums of 1/probability right: a valve asks what the traces of
// a tick cost from their exposures, so none of them has moved its own limit by luck.
type exposure struct {
	segments []segment
	head     uint64 // no trace like this has less randomness
	top      uint64 // or as much as this

	// Of all traces like this one, in parts of 2^24: that the valve decides about, and that are kept without it.
	share, keptShare uint64
}

// certain is the share of an exposure that is all.
const (
	certainBits = 24
	certain     = 1 << certainBits
)

// part returns a share in whole parts, so that sums of them do not depend on the order.
func part(mass, of float64) uint64 {
	return uint64(min(max(mass/of, 0), 1)*certain + 0.5)
}

// limit returns the randomness from which on a share of what the valve decides about passes, of traces that the policies within passes let
// through. If it decides about nothing, it is that from which on the same share of all traces is.
func (x *exposure) limit(share float64, passes uint64, room *[]segment) uint64 {
	switch {
	case share >= 1:
		return 0
	case !(share > 0):
		return Never
	}
	mass := 0.0
	parts := (*room)[:0]
	for _, s := range x.segments {
		if s.passes&passes == passes && s.from < s.to {
			parts = append(parts, s)
			mass += s.mass()
		}
	}
	*room = parts
	switch len(parts) {
	case 0:
		return below(x.top, x.head, share*float64(x.top-x.head))
	case 1:
		return below(parts[0].to, parts[0].from, share*float64(parts[0].to-parts[0].from))
	}
	return level(parts, share*mass)
}

// shareOf returns the share that the valve decides about, of traces that the policies within passes let through.
func (x *exposure) shareOf(passes uint64) uint64 {
	mass := 0.0
	for i := range x.segments {
		if s := &x.segments[i]; s.passes&passes == passes {
			mass += s.mass()
		}
	}
	return part(mass, float64(x.top-x.head))
}

// take leaves what the policies within passes do not let through from a randomness on.
func (x *exposure) take(passes, limit uint64) {
	for i := range x.segments {
		if s := &x.segments[i]; s.passes&passes == passes {
			s.to = max(min(s.to, limit), s.from)
		}
	}
}

func (s *segment) mass() float64 { return float64(s.density * float64(s.to-s.from)) }

// below returns what is so much less than to, at least 1, since however small a chance is, it is not none, but not less than from.
func below(to, from uint64, by float64) uint64 {
	return to - min(max(uint64(int64(by)), 1), to-from)
}

// level returns the randomness above which the segments have so much mass.
func level(segments []segment, mass float64) uint64 {
	at := uint64(0)
	for i := range segments {
		at = max(at, segments[i].to)
	}
	for at > 0 {
		density, next := 0.0, uint64(0)
		for i := range segments {
			switch s := &segments[i]; {
			case s.to < at:
				next = max(next, s.to)
			case s.from < at:
				density += s.density
				next = max(next, s.from)
			}
		}
		here := float64(density * float64(at-next))
		if here >= mass && density > 0 {
			return below(at, next, mass/density)
		}
		mass -= here
		at = next
	}
	return 0
}

// turn is the exposure to a valve that goes by how little random a trace is.
func (x *exposure) turn() {
	for i := range x.segments {
		s := &x.segments[i]
		s.from, s.to = Never-s.to, Never-s.from
	}
	x.head, x.top = Never-x.top, Never-x.head
}

// exposed finds the exposure of the loaded trace to a valve; it writes over x. within is the composite that the valve is the throttle of,
// or nil.
func (e *evaluation) exposed(v, last int, within *compositeGate, x *exposure) {
	w := walker{e: e, valve: v, last: last, within: within, segments: e.segments[:0]}
	own, limited := e.randomness, e.byLimits
	e.byLimits = v
	steps := e.steps(v)
	kept := 0.0
	for i, from := range steps {
		w.from, w.to = from, Never
		if i+1 < len(steps) {
			w.to = steps[i+1]
		}
		e.randomness = from
		first := len(w.segments)
		kept += float64(w.walk(0) * float64(w.to-w.from))
		w.merge(first)
	}
	e.segments = w.segments
	e.randomness, e.byLimits = own, limited
	clear(e.hashed)
	x.segments, x.head, x.top = append(x.segments[:0], w.segments...), e.trace.Head, Never
	all, mass := float64(x.top-x.head), 0.0
	for i := range x.segments {
		mass += x.segments[i].mass()
	}
	x.share, x.keptShare = part(mass, all), part(kept, all)
}

// A walker asks what a valve means to a trace with each hash that it could have.
type walker struct {
	e           *evaluation
	valve, last int
	within      *compositeGate
	from, to    uint64 // the randomness
	segments    []segment
}

// walk appends segments for all hashes with the salts from the given one on, and returns with which share of them the trace is kept
// without the valve.
func (w *walker) walk(salt int) (kept float64) {
	if salt < len(w.e.plan.salts) && !w.e.explicit {
		first := len(w.segments)
		for from, more := uint64(0), true; more; {
			w.e.assume(salt, from)
			base := len(w.segments)
			k := w.walk(salt + 1)
			var share float64
			share, from, more = w.e.assumed(salt)
			kept += float64(share * k)
			w.scale(first, base, share)
		}
		return kept
	}
	open, closed := w.e.without(w.valve, w.last)
	switch {
	case open == closed && closed:
		return 1
	case open == closed:
		return 0
	}
	passes := uint64(0)
	if w.within != nil {
		passes = w.within.passing(w.e)
	}
	w.segments = append(w.segments, segment{w.from, w.to, 1, passes})
	return 0
}

// scale makes the segments from base on, which hold for a share of the hashes, segments of all, beside those from first on.
func (w *walker) scale(first, base int, share float64) {
	for i := base; i < len(w.segments); i++ {
		w.segments[i].density = float64(w.segments[i].density * share)
	}
	if w.within == nil && base > first { // there is one at most
		for _, s := range w.segments[base:] {
			w.segments[first].density += s.density
		}
		w.segments = w.segments[:base]
	}
}

// merge makes one of all segments from first on that the same policies let through.
func (w *walker) merge(first int) {
	found := w.segments[first:]
	if len(found) < 2 {
		return
	}
	slices.SortStableFunc(found, func(x, y segment) int { return cmp.Compare(x.passes, y.passes) })
	n := 0
	for _, s := range found[1:] {
		if s.passes == found[n].passes {
			found[n].density += s.density
			continue
		}
		n++
		found[n] = s
	}
	w.segments = w.segments[:first+n+1]
}
