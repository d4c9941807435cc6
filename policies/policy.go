package policies

import (
	"strconv"

	"go.yaml.in/yaml/v3"
)

// A Policy is one policy of the list, or a policy within another.
type Policy struct {
	Name         string // the type, for a nameless policy within another
	Type         string // such as latency
	Text         string // what it tests, such as `duration > 1000 ms`
	Line, Column int    // where it stands in the YAML text
	Sub          []Policy

	rule  rule
	gate  gate
	named *yaml.Node // the name's node while parsing
}

// A rule is a policy's block as written, checked and in canonical form.
type rule interface {
	// text says what the rule tests, without its sub-policies. Two rules of a type test the same if and only if their
	// texts and their sub-policies are equal: fingerprints and shared match bits rely on that.
	text() string

	// compile returns the gate.
	compile(c *compiler) gate
}

// A counting rule has numbers of things in its text. People read its phrase with the numbers written by counted, while the text, which
// fingerprints are of, is the phrase with inPlural: grammar must not change what is the same.
type counting interface {
	rule
	phrase(number func(n int64, what string) string) string
}

// A nesting rule has policies within.
type nesting interface {
	rule
	sub() []Policy
}

// A gate is a node of the circuit.
type gate interface {
	// open reports whether the trace passes.
	open(e *evaluation) answer
}

// compile fills the compiled fields of a policy and those within it.
func (p *Policy) compile(c *compiler) gate {
	p.Text = p.rule.text()
	if r, ok := p.rule.(counting); ok {
		p.Text = r.phrase(counted)
	}
	p.gate = p.rule.compile(c)
	if n, ok := p.rule.(nesting); ok {
		p.Sub = n.sub()
	}
	p.named = nil
	return p.gate
}

// canonical appends everything about the policy that has a meaning.
func (p *Policy) canonical(b []byte) []byte {
	b = strconv.AppendQuote(b, p.Name)
	b = append(b, ' ')
	b = append(b, p.Type...)
	b = append(b, ' ')
	b = strconv.AppendQuote(b, p.rule.text())
	b = append(b, '{')
	for i := range p.Sub {
		b = p.Sub[i].canonical(b)
	}
	return append(b, '}')
}

// An answer is what a gate says about a trace.
type answer uint8

const (
	no answer = iota
	yes
	failed // it could not be found out: the policy in the list that contains the gate has no vote
)

func isTrue(b bool) answer {
	if b {
		return yes
	}
	return no
}
