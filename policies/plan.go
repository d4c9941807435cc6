package policies

import (
	"fmt"
	"slices"

	"thresher/internal/wire"
)

// A Plan is a compiled policy list. It is immutable and may be shared by any number of goroutines.
type Plan struct {
	policies    []Policy
	rescue      []Policy
	isDrop      []bool // by policy
	isForce     []bool // by policy: it keeps whatever others drop
	forces      []int  // those policies
	isRandom    []bool // by policy: chance is within, of a percentage or of other traces
	dropsRandom bool   // a drop policy is random
	telling     []int  // the policies that one span is enough for
	names       []string
	fingerprint uint64
	strict      bool
	uncounted   bool      // no probability is told
	slips       []Warning // see Slips
	firstMatch  bool
	partitions  int
	sizes       bool // Size is asked for

	keys       *wire.KeySet
	words      int
	bitWords   int // those of the words that are match bits; slots are behind them
	scan       scan
	salts      []salt
	slots      []slot
	shapes     bool // a policy looks at the shape of traces
	service    int  // then: the slot of the service
	valves     []valve
	conditions []ottlBits
	latencies  []strictLatency
	newView    func() SpanView
}

// Keys returns the attribute keys that the policies look at, on resources and on spans.
func (p *Plan) Keys() *wire.KeySet { return p.keys }

// Words returns how many words a trace needs for what its spans contribute. It is 0 if no policy looks at spans.
func (p *Plan) Words() int { return p.words }

// Strict reports whether the answers are the Collector's. Then repeated spans count like others.
func (p *Plan) Strict() bool { return p.strict }

// Slips are the mistakes that the Collector takes no notice of, in the order of the text: with Options.Strict they are none, since
// what runs there is to run here. Without it Parse reports them like all others.
func (p *Plan) Slips() []Warning { return p.slips }

// Len returns the number of policies in the list; those within others do not count.
func (p *Plan) Len() int { return len(p.policies) }

// Names returns the names of the policies in the list, in its order.
func (p *Plan) Names() []string { return slices.Clone(p.names) }

// RescueNames returns the names of the policies of rescue_on, in its order. They may repeat, and be those of the list.
func (p *Plan) RescueNames() []string {
	var names []string
	for _, r := range p.rescue {
		names = append(names, r.Name)
	}
	return names
}

// Policies returns the policies in the list, in its order. The caller must not change what they hold.
func (p *Plan) Policies() []Policy { return slices.Clone(p.policies) }

// Fingerprint identifies the meaning of the list: it is the same for texts that differ in comments, spacing, quotes,
// the order of keys, or in writing a default, and differs (but for one chance in 2^64) if a trace could get another
// verdict. It does not change from one version of the program to the next.
func (p *Plan) Fingerprint() uint64 { return p.fingerprint }

// canonical begins the text that the fingerprint is of.
func (p *Plan) canonical() []byte {
	if !p.strict && !p.firstMatch && p.partitions == 1 {
		return nil
	}
	return fmt.Appendf(nil, "strict %v first %v partitions %d ", p.strict, p.firstMatch, p.partitions)
}

// NewMatcher returns a Matcher for one goroutine.
func (p *Plan) NewMatcher() *Matcher {
	m := &Matcher{
		plan:   p,
		caches: make([]patternCache, p.scan.caches),
		errors: make([]string, len(p.conditions)),
		e: evaluation{
			plan:    p,
			hashes:  make([]uint64, len(p.salts)),
			hashed:  make([]bool, len(p.salts)),
			until:   make([]uint64, len(p.salts)),
			answers: make([]answer, len(p.valves)),
			limits:  make([]uint64, len(p.valves)),
			asked:   -1,
			focus:   -1,
		},
	}
	if len(p.conditions) > 0 {
		m.view = p.newView()
	}
	m.forget()
	return m
}
