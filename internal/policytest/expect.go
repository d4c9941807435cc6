package policytest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/evaluate"
	"thresher/internal/suggest"
	"thresher/internal/wire"
	"thresher/policies"
)

// An expectation is what is to become of a trace. What it does not say is not looked at.
type expectation struct {
	id          wire.TraceID
	decision    string   // kept or dropped; "": either
	policy      *string  // "": no policy is to match
	matched     []string // sorted; nil: any
	probability *float64
	complete    *bool
}

func (r *reader) expectation(parent *block, n *yaml.Node, path string) (e expectation, ok bool) {
	b, ok := read(r.doc, n, n, path, "decision", "policy", "matched", "probability", "complete")
	if !ok {
		return e, false
	}
	if len(n.Content) == 0 {
		parent.report("expect", "is empty, so this test could not fail; write such as {decision: kept, policy: errors}")
		return e, false
	}
	if i, ok := b.choice("decision", "kept", "dropped"); ok {
		e.decision = []string{"kept", "dropped"}[i]
	}
	if name, ok := b.text("policy"); ok && (name == "" || r.known(&b, "policy", name)) {
		e.policy = &name
	} else if at := find(n, "policy"); at != nil && isNull(at) {
		e.policy = new(string) // `policy:` with nothing behind it: none
	}
	if b.has("matched") {
		e.matched = []string{}
		items, _ := b.list("matched", "names of policies")
		for _, item := range items {
			if item.Kind != yaml.ScalarNode {
				b.report("matched", "is a list of names of policies, and one of them is no name")
			} else if r.known(&b, "matched", item.Value) {
				e.matched = append(e.matched, item.Value)
			}
		}
		slices.Sort(e.matched)
	}
	if p, ok := b.number("probability"); ok {
		if p <= 0 || p > 1 {
			b.report("probability", "is %v; write a number above 0 and up to 1", p)
		}
		e.probability = &p
	}
	if b.has("complete") {
		complete := b.flag("complete", false)
		e.complete = &complete
	}
	if e.decision == "dropped" && e.probability != nil {
		b.report("probability", "is of traces that are kept; remove it, or expect the decision kept")
	}
	return e, true
}

func find(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// known reports a name that no policy has. When the policies could not be read, that says enough.
func (r *reader) known(b *block, key, name string) bool {
	if r.file.Policies == nil || r.file.Policies.Plan == nil {
		return false
	}
	names := r.file.Policies.Plan.Names()
	if slices.Contains(names, name) {
		return true
	}
	hint := suggest.DidYouMean(name, names)
	if hint == "" {
		hint = "; there are " + strings.Join(names, ", ")
	}
	b.report(key, "there is no policy %s%s", strconv.Quote(name), hint)
	return false
}

// differences says where a result is not as expected, one line each.
func (e *expectation) differences(r *evaluate.Result) (lines []string) {
	differ := func(what, want, got string) {
		lines = append(lines, fmt.Sprintf("%s: expected %s, got %s", what, want, got))
	}
	decision := "dropped"
	if r.Kept {
		decision = "kept"
	}
	if e.decision != "" && e.decision != decision {
		differ("decision", e.decision, decision)
	}
	if e.policy != nil && *e.policy != r.Policy {
		differ("policy", cmp.Or(*e.policy, policies.Unmatched), cmp.Or(r.Policy, policies.Unmatched))
	}
	if e.matched != nil {
		got := slices.Sorted(slices.Values(r.Matched))
		if !slices.Equal(e.matched, got) {
			differ("matched", orNone(strings.Join(e.matched, ", ")), orNone(strings.Join(got, ", ")))
		}
	}
	if p := e.probability; p != nil && (!r.Kept || math.Abs(*p-r.Probability) > *p/10_000) {
		got := fmt.Sprintf("%.6g", r.Probability)
		if !r.Kept {
			got = "a dropped trace"
		}
		differ("probability", fmt.Sprintf("%.6g", *p), got)
	}
	if e.complete != nil && *e.complete != r.Complete {
		differ("complete", strconv.FormatBool(*e.complete), strconv.FormatBool(r.Complete))
	}
	return lines
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
