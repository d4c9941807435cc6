package conformance

import (
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// A generator makes configurations and traces from a seed.
type generator struct {
	*rand.Rand
	resources []*resource
	scopes    []*scope
	confused  []*resource // with attributes of the wrong type, or twice
	blank     []*resource // with empty text
}

func newGenerator(seed, no uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, no))}
	for _, service := range []string{"cart", "pay", "front"} {
		r := &resource{attrs: []attr{{"service.name", text(service)}}}
		for range g.IntN(3) {
			r.attrs = addOnce(r.attrs, g.attr(clean))
		}
		if g.chance(4) {
			r.schema = "https://opentelemetry.io/schemas/1.30.0"
		}
		g.resources = append(g.resources, r)
		c, b := &resource{attrs: r.attrs[:1:1]}, &resource{attrs: r.attrs[:1:1]}
		for range 1 + g.IntN(3) {
			c.attrs = append(c.attrs, g.attr(confused))
			b.attrs = addOnce(b.attrs, g.attr(blank))
		}
		g.confused, g.blank = append(g.confused, c), append(g.blank, b)
	}
	g.resources = append(g.resources, &resource{})
	g.scopes = []*scope{{}, {name: "lib"}, {name: "lib", attrs: []attr{{"tier", text("gold")}}}}
	return g
}

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// dirt is what is unusual about a trace.
type dirt uint16

const (
	clean    dirt = 0
	confused dirt = 1 << iota // values of other types than usual
	blank                     // empty text
	doubled                   // attributes that are there twice
	timeless                  // spans without start, end or both
	distant                   // times from 2262 on
	repeated                  // spans that come twice, changed or not
	random                    // tracestate with ot
	dirts    = 7
)

// keys of attributes, by the type that their values usually have.
func textKeys() []string  { return []string{"tier", "route", "doc"} }
func wholeKeys() []string { return []string{"code", "count"} }
func truthKeys() []string { return []string{"hit", "retry"} }

func (g *generator) attr(d dirt) attr {
	var a attr
	switch g.IntN(7) {
	case 0, 1:
		a = attr{"tier", text(pick(g, "gold", "gold", "silver", "bronze", "golden", "0"))}
		if g.chance(40) { // lengths of two and three bytes
			a.value.text = strings.Repeat("-", pick(g, 120, 300, 20_000)) + a.value.text
		}
	case 2:
		a = attr{"route", text(pick(g, "/checkout", "/healthz", "/live", "x/livexyz", "/pay/7", "/"))}
	case 3:
		a = attr{"doc", text(pick(g, `{"a":1}`, `{"a":2}`, `{}`, `{"b":"gold"}`))}
	case 4:
		a = attr{"code", whole(pick[int64](g, 200, 404, 499, 500, 503, 599, 600, 0))}
	case 5:
		a = attr{"count", whole(pick[int64](g, -5, -1, 0, 1, 4, 5, 6, 10, 11, math.MaxInt64, math.MinInt64))}
	case 6:
		a = attr{pick(g, truthKeys()...), boolean(g.chance(2))}
	}
	if d&confused != 0 && g.chance(2) {
		a.value = g.anyValue()
	}
	if d&blank != 0 && a.value.kind == kindString {
		a.value.text = ""
	}
	return a
}

// anyValue returns a value of any type.
func (g *generator) anyValue() value {
	switch kind(g.IntN(int(kindBytes) + 1)) {
	case kindString:
		return text(pick(g, "", "gold", "500", "true", "x/live", "broken"))
	case kindBool:
		return boolean(g.chance(2))
	case kindInt:
		return whole(pick[int64](g, 0, 1, 5, 500))
	case kindDouble:
		return double(pick(g, 0, 5, 5.5, 500, -0.5, 499.9, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)))
	case kindArray:
		return value{kind: kindArray}
	case kindMap:
		return value{kind: kindMap}
	case kindBytes:
		return value{kind: kindBytes}
	case kindEmpty:
		return value{kind: kindEmpty}
	}
	return value{}
}

// addOnce adds an attribute if its key is not there yet.
func addOnce(attrs []attr, a attr) []attr {
	for _, have := range attrs {
		if have.key == a.key {
			return attrs
		}
	}
	return append(attrs, a)
}

// trace makes a trace, most of them clean, the others with one or two kinds of dirt.
func (g *generator) trace() *trace {
	d := clean
	if g.chance(4) {
		d = confused << g.IntN(dirts)
		if g.chance(3) {
			d |= confused << g.IntN(dirts)
		}
	}
	t := &trace{}
	binary.BigEndian.PutUint64(t.id[:], g.Uint64())
	binary.BigEndian.PutUint64(t.id[8:], g.Uint64()|1)
	n := 1 + g.IntN(6)
	if g.chance(12) {
		n = 10 + g.IntN(25)
	}
	base := uint64(1_700_000_000_000_000_000) + g.Uint64N(1e15)
	if d&distant != 0 {
		base = 1<<63 - g.Uint64N(3e8)
	}
	var root [8]byte
	var batch []*piece
	for i := range n {
		s := g.span(d, base)
		if i == 0 || g.chance(40) {
			root = s.id
		} else {
			s.parent = root
		}
		batch = g.add(batch, s, d)
		if d&repeated != 0 && g.chance(3) {
			again := *s
			switch g.IntN(4) {
			case 0:
				again.attrs = []attr{g.attr(d)}
			case 1:
				again.status, again.flags = 2, 1
			case 2:
				again.end += 1e9
				again.kind = pick[int32](g, 2, 3)
			}
			if g.chance(2) && len(batch) > 0 {
				t.batches, batch = append(t.batches, batch), nil
			}
			batch = g.add(batch, &again, d)
		}
		if g.chance(5) {
			t.batches, batch = append(t.batches, batch), nil
		}
	}
	if len(batch) > 0 {
		t.batches = append(t.batches, batch)
	}
	return t
}

// add adds a span to the last piece of a batch, or to a new one.
func (g *generator) add(batch []*piece, s *span, d dirt) []*piece {
	if len(batch) == 0 || g.chance(3) {
		r := pick(g, g.resources...)
		switch {
		case d&(confused|doubled) != 0 && g.chance(2):
			r = pick(g, g.confused...)
		case d&blank != 0:
			r = pick(g, g.blank...)
		}
		batch = append(batch, &piece{resource: r})
	}
	p := batch[len(batch)-1]
	if len(p.runs) == 0 || g.chance(4) {
		p.runs = append(p.runs, &run{scope: pick(g, g.scopes...)})
	}
	r := p.runs[len(p.runs)-1]
	r.spans = append(r.spans, s)
	return batch
}

func (g *generator) span(d dirt, base uint64) *span {
	s := &span{
		name: pick(g, "GET /", "GET /cart", "POST /pay", "db", "POST ", ""),
		kind: g.Int32N(6), flags: pick[uint32](g, 0, 0, 0, 1, 0x100, 0x101, 0x300, 2), full: g.chance(2),
	}
	binary.BigEndian.PutUint64(s.id[:], g.Uint64()|1)
	s.start = base + g.Uint64N(40)*1e6
	s.end = s.start + g.duration()
	if g.chance(8) {
		s.status = pick[int32](g, 1, 2, 2, 3)
	}
	for range g.IntN(4) {
		if a := g.attr(d); d&doubled != 0 {
			s.attrs = append(s.attrs, a)
		} else {
			s.attrs = addOnce(s.attrs, a)
		}
	}
	if d&timeless != 0 && g.chance(2) {
		if g.chance(2) {
			s.start = 0
		}
		if g.chance(2) {
			s.end = 0
		}
	}
	if g.chance(6) {
		s.state = g.state()
	}
	if d&random != 0 && g.chance(2) {
		s.state = pick(g, append(slices.Sorted(maps.Keys(sampledStates())), "ot=th:zz", "ot=x:1", "ot=rv:1")...)
	}
	for range g.IntN(8) - 5 {
		e := event{name: pick(g, "exception", "log", "ex", "retry")}
		if g.chance(2) {
			e.attrs = append(e.attrs, attr{"exception.type", text(pick(g, "Timeout", "IO"))})
		}
		s.events = append(s.events, e)
	}
	return s
}

// A sampled state is what a tracestate tells about the sampling of its trace.
type sampledState struct {
	rv    uint64
	hasRV bool
}

// sampledStates are tracestates with a randomness, or with the threshold of an earlier sampler.
func sampledStates() map[string]sampledState {
	return map[string]sampledState{
		"ot=th:8":                           {},
		"vendor=debug,ot=p:8;th:c":          {},
		"ot=rv:00000000000001":              {1, true},
		"ot=rv:fffffffffffffe,vendor=debug": {1<<56 - 2, true},
		"ot=th:0;rv:80000000000000":         {1 << 55, true},
	}
}

// duration returns nanoseconds, often near a bound of the latency policies.
func (g *generator) duration() uint64 {
	switch g.IntN(4) {
	case 0:
		return pick[uint64](g, 0, 1, 999_999, 1_000_000, 50_000_000, 50_999_999, 51_000_000, 100_000_000, 100_900_000, 101_000_000)
	case 1:
		return g.Uint64N(3e6)
	case 2:
		return g.Uint64N(150e6)
	}
	return g.Uint64N(1500e6)
}

// state returns a tracestate, valid or broken.
func (g *generator) state() string {
	return pick(g, "vendor=debug", "vendor=debug,other=1", "other=1, vendor=debug", "vendor=trace", "vendor=debug,vendor=debug",
		"vendor", "vendor=", "Vendor=debug", "vendor=debug,,x=1", "tenant@sys=debug", "vendor=de bug", "vendor=debug ", "vendor=debug\t",
		"vendor=d=e", "vendor=débug", ",", " ", "1vendor=debug", "1t@vendor=debug", "vendor =debug", "\tvendor=debug")
}
