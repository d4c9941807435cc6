package sampler

import "thresher/buffer"

// miss counts the current span, which came late to a dropped trace, if a policy would have kept the trace had it come in time: what
// longer waits would have made of it. A drop policy that decided stands, whatever comes. first is when the first span of the trace came.
func (r *record) miss(d *buffer.Decided, first int64, bytes int) {
	if d.Dropped {
		return
	}
	m, s := r.m, r.m.active
	r.stand(s)
	i := s.matcher.Misses(&r.span, &r.where, bytes)
	if i < 0 {
		return
	}
	after := max(m.clock.now-first, 0)
	m.stats.Policies[s.policyNo[i]].MissedSpans++
	m.stats.MissedAge[ageBucket(after)]++
	m.stats.MissedAgeSum += uint64(after)
}

// ageBucket returns the place of a time in a histogram by AgeBounds.
func ageBucket(ms int64) int {
	i := 0
	for i < len(AgeBounds) && ms > AgeBounds[i] {
		i++
	}
	return i
}
