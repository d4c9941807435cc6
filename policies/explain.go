package policies

// An Explanation says whether a trace passes a policy, and the same of the policies within it.
type Explanation struct {
	Name, Type string
	Text       string // what the policy tests
	Passed     bool
	Sub        []Explanation
}

// Explain tells for each policy in the list, in its order, whether t passes it and why. A drop policy that is passed
// drops the trace. It allocates: it is for people who ask about one trace.
func (m *Matcher) Explain(t *Trace) []Explanation {
	m.e.trace = t
	clear(m.e.hashed)
	why := explain(m.plan.policies, &m.e)
	m.e.trace = nil
	return why
}

func explain(list []Policy, e *evaluation) []Explanation {
	var why []Explanation
	for i := range list {
		p := &list[i]
		why = append(why, Explanation{p.Name, p.Type, p.Text, p.gate.open(e), explain(p.Sub, e)})
	}
	return why
}
