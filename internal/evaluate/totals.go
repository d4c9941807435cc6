package evaluate

import (
	"fmt"
	"io"

	"thresher/policies"
)

// Totals sum results up. The zero value is not ready: make one with NewTotals.
type Totals struct {
	Kept, Dropped Sum
	Incomplete    int // traces without a root span
	Early         int // traces decided by size
	policies      []policyTotal
	byName        map[string]int
}

// A Sum is a number of traces, and what they hold.
type Sum struct {
	Traces, Spans int
	Bytes         uint64
}

func (s *Sum) add(r *Result) {
	s.Traces++
	s.Spans += r.Spans
	s.Bytes += r.Bytes
}

type policyTotal struct {
	name    string
	drops   bool
	decided Sum // traces that this policy decided
	matched int // traces that it matched
	sole    Sum // traces that no other policy would have kept
	erred   int // traces for which a condition in it could not be evaluated
	why     string
}

// NewTotals returns totals with a line for each policy of a plan.
func NewTotals(plan *policies.Plan) *Totals {
	t := &Totals{byName: map[string]int{}}
	for i, p := range plan.Policies() {
		t.byName[p.Name] = i
		t.policies = append(t.policies, policyTotal{name: p.Name, drops: p.Type == "drop"})
	}
	return t
}

// Add counts a result.
func (t *Totals) Add(r *Result) {
	if r.Kept {
		t.Kept.add(r)
	} else {
		t.Dropped.add(r)
	}
	if !r.Complete {
		t.Incomplete++
	}
	if r.Early {
		t.Early++
	}
	if i, ok := t.byName[r.Policy]; ok {
		t.policies[i].decided.add(r)
		if r.Sole {
			t.policies[i].sole.add(r)
		}
	}
	for _, name := range r.Erred {
		if i, ok := t.byName[name]; ok {
			t.policies[i].erred++
		}
	}
	for _, name := range r.Matched {
		if i, ok := t.byName[name]; ok {
			t.policies[i].matched++
		}
	}
}

// Erred tells why a condition in a policy could not be evaluated. It is an Options.Erred.
func (t *Totals) Erred(policy, why string) {
	if i, ok := t.byName[policy]; ok {
		t.policies[i].why = why
	}
}

// unmatched are the traces that are dropped because no policy wants them.
func (t *Totals) unmatched() Sum {
	rest := t.Dropped
	for i := range t.policies {
		if p := &t.policies[i]; p.drops {
			rest.Traces -= p.decided.Traces
			rest.Spans -= p.decided.Spans
			rest.Bytes -= p.decided.Bytes
		}
	}
	return rest
}

// Write writes the totals by policy, and the share that is kept.
func (t *Totals) Write(out io.Writer) error {
	p := &printer{out: out}
	traces, spans, bytes := t.Kept.Traces+t.Dropped.Traces, t.Kept.Spans+t.Dropped.Spans, t.Kept.Bytes+t.Dropped.Bytes
	width := len(policies.Unmatched)
	for i := range t.policies {
		width = max(width, min(columns(t.policies[i].name), widestPolicy))
	}
	p.f("%s  %-7s  %9s %7s  %10s %7s  %10s  %9s  %s\n", pad("POLICY", width), "DECIDES", "TRACES", "", "SPANS", "", "BYTES", "MATCHES", "ALONE")
	row := func(name, what string, s *Sum, matched, alone string) {
		p.f("%s  %-7s  %9s %7s  %10s %7s  %10s  %9s  %s\n", pad(fit(name, width), width), what, count(s.Traces), share(s.Traces, traces),
			count(s.Spans), share(s.Spans, spans), size(s.Bytes), matched, alone)
	}
	for i := range t.policies {
		total := &t.policies[i]
		what, alone := "keep", ""
		if total.drops {
			what = "drop"
		} else if total.sole.Traces > 0 {
			alone = fmt.Sprintf("%s %s, %s", count(total.sole.Traces), plural(total.sole.Traces, "trace"), size(total.sole.Bytes))
		}
		row(total.name, what, &total.decided, count(total.matched), alone)
	}
	rest := t.unmatched()
	row(policies.Unmatched, "drop", &rest, "", "")
	p.f("\nkept %s of %s %s (%s), %s of %s %s (%s), %s of %s (%s)\n", count(t.Kept.Traces), count(traces), plural(traces, "trace"),
		share(t.Kept.Traces, traces), count(t.Kept.Spans), count(spans), plural(spans, "span"), share(t.Kept.Spans, spans),
		size(t.Kept.Bytes), size(bytes), share(t.Kept.Bytes, bytes))
	if t.Incomplete > 0 {
		p.f("%s %s had no root span: decided on a part, or the rest is not in the input\n", count(t.Incomplete), plural(t.Incomplete, "trace"))
	}
	if t.Early > 0 {
		p.f("%s %s decided early, at maximum_trace_size_bytes\n", count(t.Early), plural(t.Early, "trace"))
	}
	for i := range t.policies {
		if total := &t.policies[i]; total.erred > 0 {
			p.f("%s: a condition could not be evaluated for %s %s: %s\n", total.name, count(total.erred), plural(total.erred, "trace"), printable(total.why))
		}
	}
	return p.err
}
