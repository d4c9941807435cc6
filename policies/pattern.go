package policies

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// patternCondition is met by text in which one of the regular expressions is found.
type patternCondition struct {
	expressions []string
	cacheSize   int
}

func (c patternCondition) text() string { return "matches " + quoted(c.expressions) }

func (c patternCondition) addTo(col *column, bit uint64) {
	for _, x := range c.expressions {
		p := newPattern(x)
		p.bits = bit
		col.patterns = append(col.patterns, p)
	}
	col.cacheSize = max(col.cacheSize, c.cacheSize)
}

// A pattern is a compiled regular expression. One that is only a literal, perhaps anchored, is searched for as such.
type pattern struct {
	bits uint64
	re   *regexp.Regexp // nil: literal

	literal    []byte
	start, end bool // the literal must be where the text starts, where it ends
}

func newPattern(expression string) pattern {
	if p, ok := literalPattern(expression); ok {
		return p
	}
	return pattern{re: regexp.MustCompile(expression)}
}

// literalPattern recognises x, ^x, x$ and ^x$ for literal x.
func literalPattern(expression string) (p pattern, ok bool) {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return p, false
	}
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	if parts[0].Op == syntax.OpBeginText {
		p.start, parts = true, parts[1:]
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		p.end, parts = true, parts[:n-1]
	}
	if len(parts) != 1 || parts[0].Op != syntax.OpLiteral || parts[0].Flags&syntax.FoldCase != 0 {
		return p, false
	}
	literal := string(parts[0].Rune)
	p.literal = []byte(literal)
	return p, !strings.ContainsRune(literal, utf8.RuneError) // which also matches bytes that are no UTF-8
}

func (p *pattern) match(value []byte) bool {
	switch {
	case p.re != nil:
		return p.re.Match(value)
	case p.start && p.end:
		return bytes.Equal(value, p.literal)
	case p.start:
		return bytes.HasPrefix(value, p.literal)
	case p.end:
		return bytes.HasSuffix(value, p.literal)
	}
	return bytes.Contains(value, p.literal)
}

// like returns the bits of the patterns that are found in a value.
func (m *Matcher) like(col *column, value []byte) uint64 {
	if len(col.patterns) == 0 {
		return 0
	}
	if col.cache < 0 || len(value) > longestCached {
		return col.match(value)
	}
	cache := &m.caches[col.cache]
	slot := cache.slot(xxhash.Sum64(value), col.cacheSize)
	if string(slot.value) != string(value) {
		slot.bits, slot.value = col.match(value), append(slot.value[:0], value...)
	}
	return slot.bits
}

// match tries all patterns, also those whose bit a trace has already: what is cached must hold for any trace.
func (col *column) match(value []byte) uint64 {
	var bits uint64
	for i := range col.patterns {
		if p := &col.patterns[i]; bits&p.bits == 0 && p.match(value) {
			bits |= p.bits
		}
	}
	return bits
}

const (
	longestCached = 512   // bytes of a value; longer ones are matched each time
	largestCache  = 65536 // values of a column
)

// A patternCache remembers for which values which patterns are found. Each value has one slot, and the latest value of
// a slot stays: it needs no allocation once the slots' buffers have grown, and no upkeep on a hit.
type patternCache struct{ slots []cachedValue }

// A cachedValue is free if its value is empty, since empty values are not looked up.
type cachedValue struct {
	bits  uint64
	value []byte
}

func (c *patternCache) slot(hash uint64, size int) *cachedValue {
	if c.slots == nil {
		c.slots = make([]cachedValue, size)
	}
	return &c.slots[hash&uint64(size-1)]
}
