package policies

import (
	"regexp"
	"strconv"
	"strings"
)

// stringAttribute passes a trace with a resource or span attribute whose value is text that equals one of the values,
// or in which one of the patterns is found.
type stringAttribute struct {
	key       string
	values    []string // sorted, different
	patterns  bool     // the values are regular expressions
	invert    bool     // pass the traces without
	cacheSize int
}

func readStringAttribute(m *mapping) rule {
	r := &stringAttribute{}
	r.key = readKey(m, "http.route")
	const example = "[/checkout, /pay]"
	m.expected("values", example)
	items := m.texts("values", example)
	r.patterns = m.flag("enabled_regex_matching")
	r.invert = m.flag("invert_match")
	if size, n := m.whole("cache_max_size"); n != nil {
		r.cacheSize = int(min(size, largestCache))
	}
	if r.patterns {
		for _, i := range items {
			if _, err := regexp.Compile(i.text); err != nil {
				m.p.errorf(i.node, i.path, "%s; the syntax is RE2's:"+
					" no lookaround, no backreferences; a literal * or . is \\* or \\.", err)
			}
		}
	}
	if !r.patterns {
		items = withoutEmpty(items) // which no value equals
	}
	r.values = values(items)
	return r
}

// readKey reads the key of an attribute policy.
func readKey(m *mapping, example string) string {
	m.expected("key", example)
	key, n := m.text("key")
	if n != nil && key == "" {
		m.slip(n, m.sub("key"), "is empty; write the key of an attribute, such as %s", example)
	}
	return key
}

func (r *stringAttribute) text() string {
	return inverted(r.invert, strconv.Quote(r.key)+" "+r.condition().text())
}

// inverted puts in words that a rule passes the traces without what the text says.
func inverted(invert bool, text string) string {
	if invert {
		return "nowhere " + text
	}
	return text
}

func (r *stringAttribute) condition() attributeCondition {
	if r.patterns {
		return patternCondition{r.values, r.cacheSize}
	}
	return exactCondition{r.values}
}

func (r *stringAttribute) compile(c *compiler) gate {
	return invertible(r.invert, c.attribute(r.key, r.condition()))
}

// exactCondition is met by text that equals one of the values.
type exactCondition struct{ values []string }

func (c exactCondition) text() string { return "is " + quoted(c.values) }

func (c exactCondition) addTo(col *column, bit uint64) {
	if col.exact == nil {
		col.exact = map[string]uint64{}
	}
	for _, v := range c.values {
		col.exact[v] |= bit
	}
}

// quoted lists texts as "a" or "b".
func quoted(texts []string) string {
	if len(texts) == 0 {
		return "nothing" // in strict lists
	}
	q := make([]string, len(texts))
	for i, t := range texts {
		q[i] = strconv.Quote(t)
	}
	return strings.Join(q, " or ")
}

// exactly returns the bits of the exact conditions that a value meets.
func (col *column) exactly(value []byte) uint64 {
	if col.lengths>>min(len(value), 63)&1 == 0 {
		return 0
	}
	if col.exact != nil {
		return col.exact[string(value)]
	}
	for i := range col.few {
		if col.few[i].text == string(value) {
			return col.few[i].bits
		}
	}
	return 0
}
