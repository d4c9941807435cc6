package evaluate

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"thresher/policies"
)

const (
	tableWidth   = 120
	widestPolicy = 22
)

// A Table writes one line a trace, in the width of a terminal.
type Table struct {
	p      printer
	policy int // the width of its column
	head   bool
}

// NewTable returns a table for the policies of a plan.
func NewTable(out io.Writer, plan *policies.Plan) *Table {
	t := &Table{p: printer{out: out}, policy: len("POLICY")}
	for _, name := range plan.Names() {
		t.policy = max(t.policy, min(columns(name), widestPolicy))
	}
	return t
}

// Add writes the line of a trace.
func (t *Table) Add(r *Result) error {
	if !t.head {
		t.head = true
		t.p.f("%-32s  %-7s  %s  %5s  %6s  %8s  %s\n", "TRACE ID", "VERDICT", pad("POLICY", t.policy), "PROB", "SPANS", "DURATION", "ROOT")
	}
	policy := r.Policy
	if policy == "" {
		policy = "-"
	}
	line := fmt.Sprintf("%x  %-7s  %s  %5s  %6d  %8s  ", r.TraceID, verdict(r.Kept), pad(fit(policy, t.policy), t.policy), chance(r), r.Spans, took(r))
	t.p.f("%s%s\n", line, fit(title(r), tableWidth-columns(line)))
	return t.p.err
}

// chance writes the probability in at most five characters.
func chance(r *Result) string {
	if !r.Kept {
		return "-"
	}
	for digits := 3; digits > 0; digits-- {
		if s := strconv.FormatFloat(r.Probability, 'g', digits, 64); len(s) <= 5 {
			return s
		}
	}
	return strconv.FormatFloat(r.Probability, 'e', 0, 64)
}

// title says what a trace is, and in front of that what is unusual about it.
func title(r *Result) string {
	var flags []string
	if !r.Complete {
		flags = append(flags, "no root")
	}
	if r.Early {
		flags = append(flags, "cut by size")
	}
	text := strings.TrimSpace(printable(r.Service) + "  " + printable(r.Operation))
	if len(flags) > 0 {
		text = "[" + strings.Join(flags, ", ") + "] " + text
	}
	return text
}
