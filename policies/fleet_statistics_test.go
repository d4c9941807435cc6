// The statistics have one goroutine each and decide millions of traces, so the race detector would find nothing and take minutes.

//go:build !race

package policies

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"thresher/internal/wire"
)

// A fleet decides the traces of P partitions, each with a matcher of its own, as nodes do.
type fleet struct {
	plan     *Plan
	matchers []*Matcher
	parts    [][]Trace
	at       [][]int // of each trace of a part: its place in the tick
	verdict  Verdict
	chances  bool // ask of traces that are not kept whether they could have been
}

// A fate is what became of a trace.
type fate struct {
	kept    bool
	policy  int
	matched uint64
	p       float64 // of traces that are not kept if chances are asked for
	could   bool    // with another randomness or another hash it is kept
}

func newFleet(t testing.TB, text string, o Options) *fleet {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	plan, err := Parse(&doc, o)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	f := &fleet{plan: plan}
	for range max(o.Partitions, 1) {
		f.matchers = append(f.matchers, plan.NewMatcher())
	}
	f.parts, f.at = make([][]Trace, len(f.matchers)), make([][]int, len(f.matchers))
	return f
}

// tick decides what is due at one time. The partition follows from bytes of the ID that neither randomness nor order look at.
func (f *fleet) tick(now int64, traces []Trace, out []fate) []fate {
	for p := range f.parts {
		f.parts[p], f.at[p] = f.parts[p][:0], f.at[p][:0]
	}
	for i := range traces {
		p := binary.BigEndian.Uint32(traces[i].ID[:]) % uint32(len(f.parts))
		traces[i].Due = now
		f.parts[p] = append(f.parts[p], traces[i])
		f.at[p] = append(f.at[p], i)
	}
	out = slices.Grow(out[:0], len(traces))[:len(traces)]
	for p, m := range f.matchers {
		if len(f.parts[p]) == 0 {
			continue
		}
		m.Settle(f.parts[p])
		for i, at := range f.at[p] {
			m.DecideSettled(i, &f.verdict)
			v := &f.verdict
			out[at] = fate{v.Keep, v.Policy, v.Matched[0], v.Probability, v.Keep}
			if f.chances && !v.Keep {
				out[at].p = m.batch.load(i).probability()
				out[at].could = out[at].p > 0
			}
		}
	}
	return out
}

// A crowd makes traces for a plan: routes with an attribute http.route, of which some fail.
type crowd struct {
	rnd      *rand.Rand
	explicit float64 // share whose tracestate gives the randomness
	plan     *Plan
	matcher  *Matcher
	known    map[likeness][]uint64

	traces []Trace // of the last visits
	who    []visit
}

// A likeness is what conditions and keys see of a visit.
type likeness struct {
	route  int
	failed bool
}

// A visit is what the spans of a trace have in common with those of others.
type visit struct {
	route  int
	failed bool
	spans  uint64
	ms     uint64
}

func newCrowd(plan *Plan, seed uint64) *crowd {
	return &crowd{rnd: rand.New(rand.NewPCG(seed, 77)), plan: plan, matcher: plan.NewMatcher(), known: map[likeness][]uint64{}}
}

func (c *crowd) trace(v visit) Trace {
	t := Trace{Spans: v.spans, Bytes: v.spans * 500, Start: testEpoch, End: testEpoch + v.ms*1e6, HasRoot: true}
	binary.BigEndian.PutUint64(t.ID[:], c.rnd.Uint64())
	binary.BigEndian.PutUint64(t.ID[8:], c.rnd.Uint64())
	t.Randomness = Randomness(t.ID)
	if c.explicit > 0 && c.rnd.Float64() < c.explicit {
		t.Explicit, t.Randomness = true, c.rnd.Uint64N(Never)
	}
	t.Matches = c.matches(v)
	return t
}

// matches returns what the spans leave. Traces alike share it: deciding does not write to it.
func (c *crowd) matches(v visit) []uint64 {
	key := likeness{v.route, v.failed}
	m, known := c.known[key]
	if !known {
		m = make([]uint64, c.plan.Words())
		s := wire.Span{Name: []byte("work")}
		if i := c.plan.Keys().Index([]byte("http.route")); i >= 0 {
			s.Attrs = append(s.Attrs, wire.Attr{Key: i, Value: wire.Value{Kind: wire.ValueString, Bytes: fmt.Appendf(nil, "/r%d", v.route)}})
		}
		if v.failed {
			s.Status = 2
		}
		c.matcher.MatchSpan(&s, &Context{}, m)
		c.known[key] = m
	}
	return m
}

// visits returns a Poisson number of them, until the next call: most routes rare, one in twenty failed, most traces small.
func (c *crowd) visits(rates []float64, factor float64) ([]Trace, []visit) {
	c.traces, c.who = c.traces[:0], c.who[:0]
	for route, rate := range rates {
		for range poisson(c.rnd, rate*factor) {
			c.who = append(c.who, visit{
				route: route, failed: c.rnd.IntN(20) == 0, spans: min(1+uint64(5*math.Exp(c.rnd.NormFloat64())), 20),
				ms: 1 + uint64(100*c.rnd.ExpFloat64()),
			})
		}
	}
	c.rnd.Shuffle(len(c.who), func(i, j int) { c.who[i], c.who[j] = c.who[j], c.who[i] })
	for _, v := range c.who {
		c.traces = append(c.traces, c.trace(v))
	}
	return c.traces, c.who
}
