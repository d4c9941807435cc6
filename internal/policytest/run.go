package policytest

import (
	"context"
	"fmt"
	"slices"

	"thresher/internal/evaluate"
	"thresher/internal/wire"
)

// An Outcome is what came of a test.
type Outcome struct {
	Test     *Test
	Failures []Failure // none: it has passed
	Errors   []string  // of conditions that could not be evaluated, one for each policy
}

// A Failure is a trace that did not become what was expected.
type Failure struct {
	Differences []string         // such as "policy: expected errors, got (no policy)"
	Result      *evaluate.Result // nil: there is no such trace
}

// Passed says whether all was as expected.
func (o *Outcome) Passed() bool { return len(o.Failures) == 0 }

// Run runs one test. The error is that of ctx, or of traces that no engine takes.
func (f *File) Run(ctx context.Context, t *Test) (Outcome, error) {
	out := Outcome{Test: t}
	var store evaluate.Store
	for _, message := range t.messages {
		if err := store.Add(message); err != nil {
			out.Failures = append(out.Failures, Failure{Differences: []string{"the traces cannot be taken: " + err.Error()}})
		}
	}
	byID := map[wire.TraceID]*evaluate.Result{}
	var results []*evaluate.Result
	all := evaluate.Options{
		Explain: func(wire.TraceID) bool { return true },
		Erred: func(policy, why string) {
			if slices.ContainsFunc(results, func(r *evaluate.Result) bool { return slices.Contains(r.Erred, policy) }) {
				out.Errors = append(out.Errors, fmt.Sprintf("a condition in %s could not be evaluated: %s", policy, why))
			}
		},
	}
	err := store.Decide(ctx, f.Policies, all, func(r *evaluate.Result) error {
		one := *r
		byID[one.TraceID] = &one
		results = append(results, &one)
		return nil
	})
	if err != nil {
		return out, err
	}
	check := func(e *expectation, r *evaluate.Result) {
		if lines := e.differences(r); len(lines) > 0 {
			out.Failures = append(out.Failures, Failure{lines, r})
		}
	}
	named := map[wire.TraceID]bool{}
	for i := range t.expected {
		e := &t.expected[i]
		named[e.id] = true
		if r := byID[e.id]; r != nil {
			check(e, r)
		} else {
			out.Failures = append(out.Failures, Failure{Differences: []string{fmt.Sprintf("there is no trace %x", e.id)}})
		}
	}
	for _, r := range results {
		if t.rest != nil && !named[r.TraceID] {
			check(t.rest, r)
		}
	}
	return out, nil
}
