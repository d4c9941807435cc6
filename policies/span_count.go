package policies

import "fmt"

// spanCount passes a trace by its number of spans.
type spanCount struct {
	least uint64
	most  uint64 // 0: no limit
}

func readSpanCount(m *mapping) rule {
	least, lower := m.whole("min_spans")
	most, upper := m.whole("max_spans")
	if m.get("min_spans") == nil && m.get("max_spans") == nil {
		m.p.errorf(m.at, m.path, "has neither min_spans nor max_spans; write at least one, such as min_spans: 2")
	}
	if lower != nil && upper != nil && most > 0 && most < least {
		m.p.errorf(upper, m.sub("max_spans"), "is %d, which is below min_spans %d; exchange them, or remove it for no limit",
			most, least)
	}
	return &spanCount{least: uint64(least), most: uint64(most)}
}

func (r *spanCount) text() string {
	if r.most > 0 {
		return fmt.Sprintf("%d <= spans <= %d", r.least, r.most)
	}
	return fmt.Sprintf("spans >= %d", r.least)
}

func (r *spanCount) compile(*compiler) gate { return r }

func (r *spanCount) open(e *evaluation) answer {
	return isTrue(e.trace.Spans >= r.least && (r.most == 0 || e.trace.Spans <= r.most))
}
