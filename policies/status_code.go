package policies

import (
	"strings"

	"thresher/internal/suggest"
)

// statusCode passes a trace with a span whose status is one of several.
type statusCode struct {
	wanted [3]bool // by the number of the status in OTLP
}

func statusNames() []string { return []string{"UNSET", "OK", "ERROR"} }

func readStatusCode(m *mapping) rule {
	r := &statusCode{}
	m.required("status_codes", "[ERROR]")
	codes := m.texts("status_codes", "[ERROR]")
	if f := m.get("status_codes"); f != nil && m.theirs && len(codes) == 0 {
		m.p.errorf(f.value, m.sub("status_codes"), "is an empty list; write one such as [ERROR]") // the Collector does not start
	}
	for _, code := range codes {
		known := false
		for status, name := range statusNames() {
			if name == code.text {
				r.wanted[status], known = true, true
			}
		}
		if !known {
			hint := suggest.DidYouMean(code.text, statusNames())
			if hint == "" {
				hint = "; known are " + joined(statusNames())
			}
			m.p.errorf(code.node, code.path, "unknown status code %s%s", quote(code.text), hint)
		}
	}
	return r
}

func (r *statusCode) text() string {
	var names []string
	for status, wanted := range r.wanted {
		if wanted {
			names = append(names, statusNames()[status])
		}
	}
	return "a span with status " + strings.Join(names, " or ")
}

func (r *statusCode) compile(c *compiler) gate {
	var g anyBit
	for status, wanted := range r.wanted {
		if !wanted {
			continue
		}
		if c.statuses[status] == nil {
			c.statuses[status] = &spanBit{}
		}
		g = append(g, c.statuses[status])
	}
	return g
}

// anyBit passes if one of the bits is set.
type anyBit []*spanBit

func (g anyBit) open(e *evaluation) answer {
	for _, b := range g {
		if b.set(e.trace.Matches) {
			return yes
		}
	}
	return no
}
