package evaluate

import (
	"fmt"
	"io"
	"strings"

	"thresher/policies"
)

// Explain writes the verdict on a trace and every condition that was looked at.
func Explain(out io.Writer, r *Result) error {
	p := &printer{out: out}
	p.f("%x  %s\n", r.TraceID, Headline(r))
	spans := count(r.Spans) + " " + plural(r.Spans, "span")
	if r.Repeats > 0 {
		spans += " (and " + count(r.Repeats) + " repeated)"
	}
	p.f("%s, %s, %s\n\n", title(r), spans, took(r))
	if p.err != nil {
		return p.err
	}
	return WriteWhy(out, r.Why, "")
}

// Headline says in a line what was decided, and by what.
func Headline(r *Result) string {
	var b strings.Builder
	b.WriteString(verdict(r.Kept))
	switch {
	case r.Policy != "":
		fmt.Fprintf(&b, " by %s", r.Policy)
	default:
		b.WriteString(", no policy matched")
	}
	var others []string
	for _, name := range r.Matched {
		if name != r.Policy {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		fmt.Fprintf(&b, ", also matched %s", strings.Join(others, ", "))
	}
	if len(r.Erred) > 0 {
		fmt.Fprintf(&b, ", errors in %s", strings.Join(r.Erred, ", "))
	}
	if r.Kept && r.Probability < 1 {
		fmt.Fprintf(&b, ", probability %.4g", r.Probability)
	}
	return b.String()
}

// WriteWhy writes a tree of conditions, one a line.
func WriteWhy(out io.Writer, why []policies.Explanation, indent string) error {
	p := &printer{out: out}
	writeWhy(p, why, indent)
	return p.err
}

func writeWhy(p *printer, why []policies.Explanation, indent string) {
	for i := range why {
		w := &why[i]
		sign := "no "
		switch {
		case w.Failed:
			sign = "ERR"
		case w.Passed:
			sign = "YES"
		}
		name := w.Name
		if w.Type != w.Name {
			name += " (" + w.Type + ")"
		}
		p.f("%s%s  %s: %s\n", indent, sign, name, w.Text)
		if w.Saw != "" {
			p.f("%s       saw %s\n", indent, fit(printable(w.Saw), 4*tableWidth))
		}
		writeWhy(p, w.Sub, indent+"     ")
	}
}
