package policies

import (
	"maps"
	"math/bits"
	"slices"

	"thresher/internal/wire"
)

// A scan is the part of a plan that spans and resources pass through.
type scan struct {
	fixed    uint64    // all bits of word 0 that a field of the span sets
	statuses [3]uint64 // in word 0, by status code
	sampled  uint64    // in word 0: the sampled flag is set
	states   []stateCondition
	columns  [][]column // by index of the key
	caches   int        // number of columns that have a cache
	size     *traceSize // nil if no policy looks at the size that the Collector sees
}

// A column holds the conditions on one attribute key whose bits are in one word.
type column struct {
	word int
	want [8]uint64 // by kind of value: the bits it can set

	exact   map[string]uint64
	few     []exactValue // instead of exact, if they are few
	lengths uint64       // bit min(len, 63) is set for the length of each exact value

	patterns  []pattern
	cache     int // index of the cache for patterns, -1 if they are cheaper than it
	cacheSize int

	numbers []numberBits
	boolean [2]uint64 // bits of false and true
}

type exactValue struct {
	text string
	bits uint64
}

// finish prepares a column whose conditions are all added.
func (s *scan) finish(col *column) {
	const few = 4
	for text, bits := range col.exact {
		col.lengths |= 1 << min(len(text), 63)
		col.want[wire.ValueString] |= bits
	}
	if len(col.exact) <= few {
		for _, text := range sortedKeys(col.exact) {
			col.few = append(col.few, exactValue{text, col.exact[text]})
		}
		col.exact = nil
	}
	cheap := len(col.patterns) <= 2
	for i := range col.patterns {
		col.want[wire.ValueString] |= col.patterns[i].bits
		cheap = cheap && col.patterns[i].re == nil
	}
	if len(col.patterns) > 0 && !cheap {
		col.cacheSize = 1 << bits.Len(uint(max(col.cacheSize, 256)-1)) // a power of two
		col.cache = s.caches
		s.caches++
	}
	for _, n := range col.numbers {
		col.want[wire.ValueInt] |= n.bits
		col.want[wire.ValueDouble] |= n.bits
	}
	col.want[wire.ValueBool] = col.boolean[0] | col.boolean[1]
}

// attributes ORs into m what the attributes set.
func (m *Matcher) attributes(attrs []wire.Attr, matches []uint64, resource bool) {
	if m.plan.strict {
		m.strictAttributes(attrs, matches, resource)
		return
	}
	columns := m.plan.scan.columns
	for i := range attrs {
		a := &attrs[i]
		for j := range columns[a.Key] {
			col := &columns[a.Key][j]
			if col.want[a.Value.Kind&7]&^matches[col.word] == 0 {
				continue // no condition on such values, or all met already
			}
			switch a.Value.Kind {
			case wire.ValueString:
				if len(a.Value.Bytes) > 0 {
					matches[col.word] |= col.exactly(a.Value.Bytes) | m.like(col, a.Value.Bytes)
				}
			case wire.ValueInt:
				matches[col.word] |= col.whole(int64(a.Value.Num))
			case wire.ValueDouble:
				matches[col.word] |= col.double(a.Value.Num)
			case wire.ValueBool:
				matches[col.word] |= col.boolean[a.Value.Num&1]
			}
		}
	}
}

func sortedKeys(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }
