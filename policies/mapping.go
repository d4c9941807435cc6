package policies

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/suggest"
)

// A mapping gives out the fields of a YAML mapping by key. A key that was asked for is a known key; done reports the
// fields whose keys nobody asked for.
type mapping struct {
	p      *parser
	path   string
	at     *yaml.Node // where a missing field is reported
	depth  int        // of the policy it belongs to
	theirs bool       // it is read as the Collector reads it, see slip
	fields []field
	known  []string
}

type field struct {
	key, value *yaml.Node
	merged     bool // came with a merge key (<<), so an own field of the same name wins
}

// mapping reads n, which stands at the given place. It returns nil if n is no mapping, after reporting so.
func (p *parser) mapping(n, at *yaml.Node, path string, depth int, theirs bool, example string) *mapping {
	n = deref(n)
	m := &mapping{p: p, path: path, at: at, depth: depth, theirs: theirs && p.options.Strict && !p.alone}
	switch {
	case n.Kind == yaml.MappingNode:
		m.collect(n, 0)
		m.withoutValue()
	case m.theirs && isNull(n): // a block without any key
	default:
		p.errorf(n, path, "must be a mapping such as %s, not %s", example, describe(n))
		return nil
	}
	return m
}

// withoutValue leaves out the fields that have no value: to the Collector they are not there.
func (m *mapping) withoutValue() {
	if !m.theirs {
		return
	}
	m.fields = slices.DeleteFunc(m.fields, func(f field) bool {
		if !isNull(f.value) {
			return false
		}
		m.slip(f.key, m.sub(f.key.Value), "has no value, so it is as if it were not there; write one, or remove the line")
		return true
	})
}

// slip reports a mistake that the Collector takes no notice of. With compat: strict it is a warning, and who reads goes on with
// what the Collector makes of it: a configuration that runs there must run here, and do the same.
func (m *mapping) slip(n *yaml.Node, path, format string, args ...any) {
	if m.theirs {
		m.p.warnf(n, path, format, args...)
	} else {
		m.p.errorf(n, path, format, args...)
	}
}

func (m *mapping) collect(n *yaml.Node, merges int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		if !m.p.step(key, m.path) {
			return
		}
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			m.merge(deref(value), merges+1)
		case key.Kind != yaml.ScalarNode:
			m.p.errorf(key, m.path, "has %s as a key; keys are words", describe(key))
		default:
			m.add(field{key, value, merges > 0})
		}
	}
}

func (m *mapping) add(f field) {
	for i, have := range m.fields {
		switch {
		case have.key.Value != f.key.Value:
		case have.merged && !f.merged:
			m.fields[i] = f
			return
		case f.merged:
			return
		default:
			m.p.errorf(f.key, m.sub(f.key.Value), "is written twice, first in line %d; remove one", have.key.Line)
			return
		}
	}
	m.fields = append(m.fields, f)
}

func (m *mapping) merge(n *yaml.Node, merges int) {
	const deepest = 8
	switch {
	case merges > deepest:
		m.p.errorf(n, m.path, "merges (<<) more than %d levels deep", deepest)
	case n.Kind == yaml.MappingNode:
		m.collect(n, merges)
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if !m.p.step(item, m.path) {
				return
			}
			m.merge(deref(item), merges+1)
		}
	default:
		m.p.errorf(n, m.path, "can merge (<<) only a mapping or a list of mappings, not %s", describe(n))
	}
}

// sub returns the path of a field.
func (m *mapping) sub(key string) string {
	plain := strings.IndexFunc(key, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
	if !plain || key == "" || len(key) > 64 {
		return m.path + "[" + quote(key) + "]"
	}
	return m.path + "." + key
}

// get returns the field with the key, nil if there is none.
func (m *mapping) get(key string) *field {
	m.known = append(m.known, key)
	for i := range m.fields {
		if m.fields[i].key.Value == key {
			return &m.fields[i]
		}
	}
	return nil
}

// required reports a missing field and says what to write. It leaves a misspelt one to done.
func (m *mapping) required(key, example string) {
	if m.isMissing(key) {
		m.p.errorf(m.at, m.sub(key), "is missing; write %s: %s", key, example)
	}
}

// expected is required for what the Collector does without.
func (m *mapping) expected(key, example string) {
	if m.isMissing(key) {
		m.slip(m.at, m.sub(key), "is missing; write %s: %s", key, example)
	}
}

func (m *mapping) isMissing(key string) bool {
	return m.get(key) == nil && !slices.ContainsFunc(m.fields, func(f field) bool {
		return suggest.Nearest(f.key.Value, []string{key}) != ""
	})
}

// scalar returns the value of a field that has one of the tags, nil if the field is absent or wrong, which it reports.
func (m *mapping) scalar(key, want string, tags ...string) *yaml.Node {
	f := m.get(key)
	if f == nil {
		return nil
	}
	n := deref(f.value)
	if n.Kind == yaml.ScalarNode {
		for _, t := range tags {
			if n.ShortTag() == t {
				return n
			}
		}
	}
	m.p.errorf(n, m.sub(key), "must be %s, not %s", want, describe(n))
	return nil
}

// text returns a field that holds text, and its node: nil if the field is absent or wrong.
func (m *mapping) text(key string) (string, *yaml.Node) {
	n := m.scalar(key, "text (in quotes if it looks like something else)", "!!str")
	if n == nil {
		return "", nil
	}
	return n.Value, n
}

// flag returns a field that is true or false; false if it is absent or wrong.
func (m *mapping) flag(key string) bool {
	n := m.scalar(key, "true or false", "!!bool")
	if n == nil {
		return false
	}
	var v bool
	if n.Decode(&v) != nil {
		m.p.errorf(n, m.sub(key), "must be true or false, not %s", describe(n))
	}
	return v
}

// number returns a field that holds a number, whole or not, and its node: nil if the field is absent or wrong.
func (m *mapping) number(key string) (float64, *yaml.Node) {
	n := m.scalar(key, "a number", "!!int", "!!float")
	if n == nil {
		return 0, nil
	}
	var v float64
	if n.Decode(&v) != nil || v-v != 0 { // not NaN, not infinite
		m.p.errorf(n, m.sub(key), "must be a finite number, not %s", describe(n))
		return 0, nil
	}
	return v, n
}

// whole returns a field that holds a whole number of at least 0, and its node: nil if the field is absent or wrong. The Collector
// takes numbers below 0, and cuts off fractions.
func (m *mapping) whole(key string) (int64, *yaml.Node) {
	f, n := m.number(key)
	if n == nil {
		return 0, nil
	}
	if f < 0 {
		if m.slip(n, m.sub(key), "must not be negative, but is %s", n.Value); !m.theirs {
			return 0, nil
		}
	}
	v, ok := integer(n)
	if !ok && m.theirs && n.ShortTag() == "!!float" && math.Abs(f) < 1<<63 {
		m.slip(n, m.sub(key), "must be a whole number, but is %s; the Collector takes it for %d", n.Value, int64(f))
		return int64(f), n
	}
	if !ok {
		m.p.errorf(n, m.sub(key), "must be a whole number below 2^63, but is %s", n.Value)
		return 0, nil
	}
	return v, n
}

// integer returns the value of a number node that is whole, if it fits.
func integer(n *yaml.Node) (int64, bool) {
	var i int64
	if n.ShortTag() == "!!int" {
		return i, n.Decode(&i) == nil
	}
	var f float64
	if n.Decode(&f) != nil || f < -1<<63 || f >= 1<<63 || f != float64(int64(f)) {
		return 0, false
	}
	return int64(f), true
}

// list returns the items of a field that is a list: nil if the field is absent, wrong or empty.
func (m *mapping) list(key, example string) []*yaml.Node {
	f := m.get(key)
	if f == nil {
		return nil
	}
	n := deref(f.value)
	if m.theirs && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		m.slip(n, m.sub(key), "must be a list such as %s, not %s; the Collector takes it for one, with commas between its items", example, describe(n))
		return split(n)
	}
	switch {
	case n.Kind != yaml.SequenceNode:
		m.p.errorf(n, m.sub(key), "must be a list such as %s, not %s", example, describe(n))
		return nil
	case len(n.Content) == 0:
		m.slip(n, m.sub(key), "is an empty list; write one such as %s", example)
		return nil
	}
	return n.Content
}

// split makes items of a text that stands in place of a list, as the Collector does: spaces are part of them.
func split(n *yaml.Node) (items []*yaml.Node) {
	if n.Value == "" {
		return nil
	}
	for text := range strings.SplitSeq(n.Value, ",") {
		items = append(items, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: n.Line, Column: n.Column})
	}
	return items
}

// An item is text in a list.
type item struct {
	text string
	node *yaml.Node
	path string
}

// texts returns the items of a field that is a list of text, without those that are wrong or empty, which it reports. The Collector
// has a use for empty ones, or none.
func (m *mapping) texts(key, example string) (texts []item) {
	items := m.list(key, example)
	for i, n := range items {
		n, path := deref(n), fmt.Sprintf("%s[%d]", m.sub(key), i)
		if !m.p.step(n, path) {
			return nil
		}
		switch empty := m.theirs && isNull(n) || n.Value == ""; {
		case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" && !empty:
			m.p.errorf(n, path, "must be text (in quotes if it looks like something else), not %s", describe(n))
		case empty:
			if m.slip(n, path, "is empty; remove it"); m.theirs {
				texts = append(texts, item{"", n, path})
			}
		default:
			texts = append(texts, item{n.Value, n, path})
		}
	}
	return texts
}

// values returns the different texts, sorted.
func values(items []item) []string {
	var texts []string
	for _, i := range items {
		texts = append(texts, i.text)
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// withoutEmpty leaves out empty texts.
func withoutEmpty(items []item) []item {
	return slices.DeleteFunc(items, func(i item) bool { return i.text == "" })
}

// done reports the fields that nobody asked for.
func (m *mapping) done() {
	slices.Sort(m.known)
	known := slices.Compact(m.known)
	for _, f := range m.fields {
		if !slices.Contains(known, f.key.Value) {
			hint := suggest.DidYouMean(f.key.Value, known)
			if hint == "" {
				hint = "; known here are " + joined(known)
			}
			m.p.errorf(f.key, m.sub(f.key.Value), "unknown key%s", hint)
		}
	}
}

func isNull(n *yaml.Node) bool {
	n = deref(n)
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}
