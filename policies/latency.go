package policies

import "fmt"

// latency passes a trace by the time from its smallest start to its largest end, in whole milliseconds.
type latency struct {
	above int64 // not equal; below 0 only in strict lists
	upTo  int64 // or equal; 0: no limit

	strict bool // see strictLatency
}

func readLatency(m *mapping) rule {
	above, lower := m.whole("threshold_ms")
	upTo, upper := m.whole("upper_threshold_ms")
	if m.get("threshold_ms") == nil && m.get("upper_threshold_ms") == nil {
		m.expected("threshold_ms", "1000")
	}
	if upper != nil && (lower != nil || m.get("threshold_ms") == nil) && upTo > 0 && upTo <= above {
		m.slip(upper, m.sub("upper_threshold_ms"), "is %d, so no duration is above threshold_ms %d and not above this;"+
			" write a larger one, or remove it for no limit", upTo, above)
	}
	return &latency{above: above, upTo: upTo, strict: m.p.options.Strict}
}

func (r *latency) text() string {
	if r.upTo != 0 {
		return fmt.Sprintf("%d ms < duration <= %d ms", r.above, r.upTo)
	}
	return fmt.Sprintf("duration > %d ms", r.above)
}

func (r *latency) compile(c *compiler) gate {
	if r.strict {
		return c.strictLatency(r)
	}
	return r
}

func (r *latency) open(e *evaluation) answer {
	const millisecond = 1_000_000 // nanoseconds
	ms := int64(e.trace.duration() / millisecond)
	return isTrue(ms > r.above && (r.upTo == 0 || ms <= r.upTo))
}

// duration returns the nanoseconds from the first start to the last end, 0 if one of them is not known.
func (t *Trace) duration() uint64 {
	if t.Start == 0 || t.End <= t.Start {
		return 0
	}
	return t.End - t.Start
}
