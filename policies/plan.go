package policies

import (
	"slices"

	"thresher/internal/wire"
)

// A Plan is a compiled policy list. It is immutable and may be shared by any number of goroutines.
type Plan struct {
	policies    []Policy
	isDrop      []bool // by policy
	isRandom    []bool // by policy: a probabilistic policy is within
	dropsRandom bool   // a drop policy is random
	names       []string
	fingerprint uint64

	keys  *wire.KeySet
	words int
	scan  scan
	salts []salt
}

// Keys returns the attribute keys that the policies look at, on resources and on spans.
func (p *Plan) Keys() *wire.KeySet { return p.keys }

// Words returns how many words of match bits a trace needs. It is 0 if no policy looks at spans.
func (p *Plan) Words() int { return p.words }

// Len returns the number of policies in the list; those within others do not count.
func (p *Plan) Len() int { return len(p.policies) }

// Names returns the names of the policies in the list, in its order.
func (p *Plan) Names() []string { return slices.Clone(p.names) }

// Policies returns the policies in the list, in its order. The caller must not change what they hold.
func (p *Plan) Policies() []Policy { return slices.Clone(p.policies) }

// Fingerprint identifies the meaning of the list: it is the same for texts that differ in comments, spacing, quotes,
// the order of keys, or in writing a default, and differs (but for one chance in 2^64) if a trace could get another
// verdict. It does not change from one version of the program to the next.
func (p *Plan) Fingerprint() uint64 { return p.fingerprint }

// NewMatcher returns a Matcher for one goroutine.
func (p *Plan) NewMatcher() *Matcher {
	return &Matcher{
		plan:   p,
		caches: make([]patternCache, p.scan.caches),
		e: evaluation{
			salts:  p.salts,
			hashes: make([]uint64, len(p.salts)),
			hashed: make([]bool, len(p.salts)),
		},
	}
}
