package policies

import (
	"fmt"
	"math"
)

// spanCount passes a trace by its number of spans.
type spanCount struct {
	least int64 // below 0 only in strict lists
	most  int64 // 0: no limit
}

func readSpanCount(m *mapping) rule {
	least, lower := m.whole("min_spans")
	most, upper := m.whole("max_spans")
	if m.theirs {
		least, most = m.short("min_spans", least), m.short("max_spans", most)
	}
	if m.get("min_spans") == nil && m.get("max_spans") == nil {
		m.slip(m.at, m.path, "has neither min_spans nor max_spans; write at least one, such as min_spans: 2")
	}
	if lower != nil && upper != nil && most > 0 && most < least {
		m.slip(upper, m.sub("max_spans"), "is %d, which is below min_spans %d; exchange them, or remove it for no limit",
			most, least)
	}
	return &spanCount{least: least, most: most}
}

// short returns what the 32 bits of the Collector hold of a number.
func (m *mapping) short(key string, v int64) int64 {
	if held := int64(int32(v)); held != v {
		m.slip(m.get(key).value, m.sub(key), "is %d, which the Collector takes for %d; write a number below 2^31", v, held)
		return held
	}
	return v
}

func (r *spanCount) text() string {
	if r.most != 0 {
		return fmt.Sprintf("%d <= spans <= %d", r.least, r.most)
	}
	return fmt.Sprintf("spans >= %d", r.least)
}

func (r *spanCount) compile(*compiler) gate { return r }

func (r *spanCount) open(e *evaluation) answer {
	n := int64(min(e.trace.Spans, math.MaxInt64))
	return isTrue(n >= r.least && (r.most == 0 || n <= r.most))
}
