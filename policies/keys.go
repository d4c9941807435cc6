package policies

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"thresher/internal/wire"
)

// A slot is a word of a trace that holds the value of a key, by its hash: of an attribute, or of a field of spans. The
// value is that of the root span; if that has none, it is one of those that other spans have, always the same one. An
// attribute that a span does not have itself it has from its resource.
type slot struct {
	key   string
	field spanField
	index int // of the attribute in Plan.Keys
}

// A spanField is what a key stands for.
type spanField uint8

const (
	attribute spanField = iota
	spanName
	spanKind
	spanStatus
)

// fieldNames are the keys that are no attributes.
func fieldNames() map[string]spanField {
	return map[string]spanField{"span.name": spanName, "span.kind": spanKind, "span.status": spanStatus}
}

// readKeys reads a list of keys.
func readKeys(m *mapping, key, example string) []string {
	var keys []string
	for _, i := range m.texts(key, example) {
		if slices.Contains(keys, i.text) {
			m.p.errorf(i.node, i.path, "%s is in the list twice; remove it", quote(i.text))
			continue
		}
		keys = append(keys, i.text)
	}
	return keys
}

// keyed returns the numbers of the slots for keys.
func (c *compiler) keyed(keys []string) keyed {
	var k keyed
	for _, key := range keys {
		i := slices.IndexFunc(c.slots, func(s slot) bool { return s.key == key })
		if i < 0 {
			i = len(c.slots)
			s := slot{key: key, field: fieldNames()[key]}
			if s.field == attribute {
				s.index = c.attributeIndex(key)
			}
			c.slots = append(c.slots, s)
		}
		k = append(k, i)
	}
	return k
}

// attributeIndex makes spans be scanned for an attribute.
func (c *compiler) attributeIndex(key string) int {
	k := c.byKey[key]
	if k == nil {
		k = &keyConditions{key: key, known: map[string]*spanBit{}}
		c.byKey[key] = k
		c.keys = append(c.keys, k)
	}
	return slices.Index(c.keys, k)
}

// keyed are slots whose values together are what a policy tells traces apart by.
type keyed []int

// of returns the hash of a trace's values. Traces without any of the keys have the same one.
func (k keyed) of(p *Plan, t *Trace) uint64 {
	var b [8]byte
	var d xxhash.Digest
	d.Reset()
	for _, i := range k {
		binary.LittleEndian.PutUint64(b[:], t.Matches[p.bitWords+i]&^fromRoot)
		_, _ = d.Write(b[:])
	}
	return d.Sum64()
}

// fromRoot is set in a slot whose value is a root span's.
const fromRoot = 1

// capture takes over the values of a span into the slots of its trace. resource are those of the resource.
func (p *Plan) capture(slots, resource []uint64, s *wire.Span) {
	root := s.Root()
	for i := range p.slots {
		v := uint64(0)
		switch p.slots[i].field {
		case attribute:
			if v = attributeHash(s.Attrs, p.slots[i].index); v == 0 && len(resource) > 0 {
				v = resource[i]
			}
		case spanName:
			v = hashOf(wire.ValueString, 0, s.Name)
		case spanKind:
			v = hashOf(wire.ValueInt, uint64(s.Kind), nil)
		case spanStatus:
			v = hashOf(wire.ValueInt, uint64(s.Status), nil)
		}
		if v == 0 {
			continue
		}
		if root {
			v |= fromRoot
		}
		// The smallest wins, so that the order in which spans come does not matter.
		if have := slots[i]; have == 0 || have&fromRoot < v&fromRoot || have&fromRoot == v&fromRoot && v < have {
			slots[i] = v
		}
	}
}

// captureResource fills the slots of a resource.
func (p *Plan) captureResource(slots []uint64, attrs []wire.Attr) {
	for i := range p.slots {
		if p.slots[i].field == attribute {
			slots[i] = attributeHash(attrs, p.slots[i].index)
		}
	}
}

// attributeHash returns the hash of the first attribute with a key, 0 if there is none.
func attributeHash(attrs []wire.Attr, index int) uint64 {
	for i := range attrs {
		if v := &attrs[i].Value; attrs[i].Key == index {
			return hashOf(v.Kind, v.Num, v.Bytes)
		}
	}
	return 0
}

// hashOf returns a hash that is not 0 and leaves the lowest bit free.
func hashOf(kind wire.ValueKind, num uint64, text []byte) uint64 {
	const golden = 0x9E3779B97F4A7C15
	h := xxhash.Sum64(text) ^ (num+uint64(kind)<<56)*golden
	return max(h&^fromRoot, 2)
}

// joinedKeys puts keys in words. Keys that could be taken for several are in quotes.
func joinedKeys(keys []string) string {
	words := slices.Clone(keys)
	for i, k := range words {
		if strings.ContainsAny(k, ", \"") {
			words[i] = strconv.Quote(k)
		}
	}
	return strings.Join(words, ", ")
}
