package policies

import "strconv"

// booleanAttribute passes a trace with a resource or span attribute that is true, or false.
type booleanAttribute struct {
	key    string
	value  bool
	invert bool
}

func readBooleanAttribute(m *mapping) rule {
	r := &booleanAttribute{}
	r.key = readKey(m, "cache.hit")
	m.expected("value", "true")
	r.value = m.flag("value")
	r.invert = m.flag("invert_match")
	return r
}

func (r *booleanAttribute) text() string {
	return inverted(r.invert, strconv.Quote(r.key)+" "+truth(r.value).text())
}

func (r *booleanAttribute) compile(c *compiler) gate {
	return invertible(r.invert, c.attribute(r.key, truth(r.value)))
}

// truth is a condition on a boolean value.
type truth bool

func (t truth) text() string { return "is " + strconv.FormatBool(bool(t)) }

func (t truth) addTo(col *column, bit uint64) {
	if t {
		col.boolean[1] |= bit
	} else {
		col.boolean[0] |= bit
	}
}
