package policies

import "thresher/internal/wire"

// A Matcher evaluates a Plan. It owns scratch space, bounded caches, and the state of policies that depend on other traces, so
// each sequence of decisions needs its own.
type Matcher struct {
	plan   *Plan
	caches []patternCache
	e      evaluation

	scope  scopeSize
	view   SpanView // for OTTL, nil if no policy needs it
	errors []string // by condition: what it said of a span that it could not be evaluated for, until that is taken

	states  []valveState // by valve
	batch   batch
	late    []uint64 // what a late span alone contributes
	single  Trace    // of it
	scratch []byte
}

// Plan returns the plan that the matcher evaluates.
func (m *Matcher) Plan() *Plan { return m.plan }

// A Context is what a span stands in.
type Context struct {
	Resource, Scope []byte   // headers, as wire.Walk gives them; only OTTL and strict bytes_limiting look at them
	Matches         []uint64 // what MatchResource left for the resource; MatchSpan may note there what else it found out of it
	Now             int64    // timestamp of its record, Unix milliseconds

	// ResourceNo and ScopeNo tell the ResourceSpans and ScopeSpans messages of a trace apart, also those with equal headers. They
	// grow: each message has a number above those of the messages that begin before it.
	ResourceNo, ScopeNo uint64
}

// MatchResource puts into matches, which has Plan.Words words, what a resource's attributes contribute. The keys of
// attrs are indices into Plan.Keys.
func (m *Matcher) MatchResource(attrs []wire.Attr, matches []uint64) {
	m.attributes(attrs, matches, true)
	if len(m.plan.slots) > 0 {
		m.plan.captureResource(matches[m.plan.bitWords:], attrs)
	}
}

// MatchSpan adds to matches, which has Plan.Words words, what a span and its resource contribute to their trace. The keys of its
// attributes are indices into Plan.Keys.
func (m *Matcher) MatchSpan(s *wire.Span, c *Context, matches []uint64) {
	if len(matches) == 0 {
		return
	}
	p := m.plan
	scan, bits := &p.scan, matches[:p.bitWords]
	if len(c.Matches) > 0 {
		for i := range bits {
			bits[i] |= c.Matches[i]
		}
	}
	if scan.fixed != 0 && scan.fixed&^bits[0] != 0 {
		if uint32(s.Status) < uint32(len(scan.statuses)) {
			bits[0] |= scan.statuses[s.Status]
		}
		if s.Flags&1 != 0 {
			bits[0] |= scan.sampled
		}
	}
	if len(scan.states) > 0 && len(s.TraceState) > 0 {
		scan.matchStates(s.TraceState, bits)
	}
	m.attributes(s.Attrs, bits, false)
	if len(p.slots) > 0 {
		resource := c.Matches
		if len(resource) > 0 {
			resource = resource[p.bitWords:]
		}
		p.capture(matches[p.bitWords:], resource, s)
	}
	if scan.size != nil {
		scan.size.add(s, c, matches, &m.scope)
	}
	if len(p.latencies) > 0 {
		p.lasts(s, matches[p.words-durationWords:], bits)
	}
	if len(p.conditions) > 0 {
		m.conditions(s, c, bits)
	}
}
