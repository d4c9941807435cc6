package policies

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"thresher/internal/suggest"
)

// A kind is a type of policy.
type kind struct {
	name    string
	example string // a block for messages; "" if the type has no block

	// read reads the block, which is called like the type, and reports its mistakes. If there are any, what it returns is
	// not used.
	read func(m *mapping) rule

	own    bool // the Collector has no such type
	onTop  bool // allowed only in the list itself
	shared bool // its answer depends on other traces
	chance bool // its answer depends on the trace ID alone
}

// kinds lists the policy types, those used most in front.
func kinds() []kind {
	return []kind{
		{name: "always_sample", read: readAlwaysSample},
		{name: "status_code", example: "{status_codes: [ERROR]}", read: readStatusCode},
		{name: "latency", example: "{threshold_ms: 1000}", read: readLatency},
		{name: "string_attribute", example: "{key: http.route, values: [/checkout]}", read: readStringAttribute},
		{name: "numeric_attribute", example: "{key: http.response.status_code, min_value: 500}", read: readNumericAttribute},
		{name: "boolean_attribute", example: "{key: cache.hit, value: false}", read: readBooleanAttribute},
		{name: "probabilistic", example: "{sampling_percentage: 1}", read: readProbabilistic, chance: true},
		{name: "span_count", example: "{min_spans: 2}", read: readSpanCount},
		{name: "trace_state", example: "{key: vendor, values: [debug]}", read: readTraceState},
		{name: "trace_flags", read: readTraceFlags},
		{name: "ottl_condition", example: `{span: ['attributes["http.route"] == "/pay"']}`, read: readOTTLCondition},
		{name: "and", example: "{and_sub_policy: [{name: a, type: always_sample}]}", read: readAnd},
		{name: "or", example: "{or_sub_policy: [{name: a, type: always_sample}]}", read: readOr, own: true},
		{name: "not", example: "{not_sub_policy: {name: a, type: always_sample}}", read: readNot},
		{name: "drop", example: "{drop_sub_policy: [{name: a, type: always_sample}]}", read: readDrop, onTop: true},
		{name: "rate_limiting", example: "{spans_per_second: 1000}", read: readRateLimiting, shared: true},
		{name: "bytes_limiting", example: "{bytes_per_second: 1000000}", read: readBytesLimiting, shared: true},
		{name: "composite", example: "{max_total_spans_per_second: 1000, composite_sub_policy: [{name: a, type: always_sample}]}", read: readComposite,
			shared: true},
		{name: "adaptive", example: "{keys: [service.name, http.route], sampling_percentage: 5}", read: readAdaptive, own: true,
			shared: true},
		{name: "diversity", example: "{fingerprint: [service.name, http.route], traces: 1, period: 10m}", read: readDiversity, own: true,
			shared: true},
		{name: "baseline_latency", example: "{keys: [service.name, http.route], quantile: 0.99}", read: readBaselineLatency, own: true,
			shared: true},
		{name: "force", example: "{until: 2026-03-29T14:00:00Z, force_sub_policy: [{name: a, type: always_sample}]}", read: readForce, own: true,
			onTop: true},
	}
}

// Limits that no list written by hand reaches: they stop aliases that multiply or contain themselves.
const (
	deepest   = 32     // policies within policies
	mostSteps = 200000 // nodes visited
	mostCells = 1024   // combinations of ranges of hashes, see compile
	mostLooks = 2048   // at a usual trace to decide it, see compile
)

type parser struct {
	kinds   []kind
	options Options
	alone   bool // what is read is for single spans
	errs    Errors
	slips   []Warning // what the Collector takes no notice of, with Strict
	steps   int

	tooDeep, overflow bool
}

// Parse reads the sequence below `policies:` and compiles it. The error is of type Errors and holds every mistake in
// the list; the caller knows the name of the file.
func Parse(list *yaml.Node, o Options) (*Plan, error) {
	p := &parser{kinds: kinds(), options: o}
	top := p.topLevel(list)
	rescue := p.rescueOn(o.Rescue)
	if len(p.errs) == 0 {
		plan, cells, looks := compile(top, rescue, o)
		switch plan.slips = p.slips; {
		case o.Strict && (cells > mostCells || looks > mostLooks):
			plan.uncounted = true
			p.warnf(list, "policies", "too many probabilistic policies with different hash_salt or sampling_percentage to tell how probable a kept"+
				" trace is, so it is taken to be 1; give them the same hash_salt")
			plan.slips = p.slips
			return plan, nil
		case cells > mostCells:
			p.errorf(list, "policies", "too many probabilistic policies with different hash_salt to tell how probable a"+
				" kept trace is; give them the same hash_salt")
		case looks > mostLooks:
			p.errorf(list, "policies", "too many probabilistic policies with different hash_salt or sampling_percentage, beside policies that depend on"+
				" other traces, to decide traces in time; give them the same hash_salt, or fewer percentages")
		default:
			return plan, nil
		}
	}
	p.errs.sort()
	return nil, p.errs
}

// rescueOn reads the policies that a late span can match by itself.
func (p *parser) rescueOn(list *yaml.Node) []Policy {
	const path = "rescue_on"
	if list == nil || list.Kind == yaml.ScalarNode && list.ShortTag() == "!!null" {
		return nil
	}
	list = deref(list)
	if list.Kind != yaml.SequenceNode {
		p.errorf(list, path, "must be a list of policies, not %s", describe(list))
		return nil
	}
	p.alone = true
	defer func() { p.alone = false }()
	return p.policies(list.Content, path, 0)
}

func (p *parser) topLevel(list *yaml.Node) []Policy {
	const path = "policies"
	if list != nil && list.Kind == yaml.DocumentNode && len(list.Content) > 0 {
		list = list.Content[0]
	}
	if list == nil || list.Kind == 0 {
		list = &yaml.Node{Kind: yaml.SequenceNode}
	}
	list = deref(list)
	if noText := list.Kind == yaml.ScalarNode && list.Value == "" && p.options.Strict; noText || isNull(list) ||
		list.Kind == yaml.SequenceNode && len(list.Content) == 0 {
		report := p.errorf
		if p.options.Strict {
			report = p.warnf
		}
		report(list, path, "is empty, so nothing would be kept; write at least one, such as"+
			" - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}")
		return nil
	}
	if list.Kind != yaml.SequenceNode {
		p.errorf(list, path, "must be a list of policies, not %s", describe(list))
		return nil
	}
	top := p.policies(list.Content, path, 0)
	first := map[string]int{}
	for i, t := range top {
		if t.named == nil || t.Name == "" {
			continue
		}
		if line, twice := first[t.Name]; twice {
			p.errorf(t.named, fmt.Sprintf("%s[%d].name", path, i), "%s is already the name of the policy in line %d;"+
				" names must differ", quote(t.Name), line)
			continue
		}
		first[t.Name] = t.Line
	}
	return top
}

// policies reads a list of policies.
func (p *parser) policies(items []*yaml.Node, path string, depth int) []Policy {
	list := make([]Policy, 0, len(items))
	for i, item := range items {
		list = append(list, p.policy(item, fmt.Sprintf("%s[%d]", path, i), depth))
	}
	return list
}

// policy reads one policy. Its rule is nil if it has mistakes.
func (p *parser) policy(n *yaml.Node, path string, depth int) Policy {
	var policy Policy
	if !p.step(n, path) {
		return policy
	}
	if depth > deepest {
		if !p.tooDeep { // once: an alias may lead here very often
			p.errorf(n, path, "is nested more than %d policies deep", deepest)
		}
		p.tooDeep = true
		return policy
	}
	m := p.mapping(n, deref(n), path, depth, true, "{name: slow, type: latency, latency: {threshold_ms: 1000}}")
	if m == nil {
		return policy
	}
	policy.Line, policy.Column = n.Line, n.Column
	if depth == 0 && !p.alone {
		m.required("name", "errors")
	}
	policy.Name, policy.named = m.text("name")
	if policy.named != nil && policy.Name == "" {
		if depth == 0 {
			p.errorf(policy.named, m.sub("name"), "is empty; give the policy a name")
		} else {
			m.slip(policy.named, m.sub("name"), "is empty; give the policy a name")
		}
	}
	k := p.kind(m)
	block, ok := p.block(m, k)
	if k == nil {
		return policy
	}
	policy.Type = k.name
	if policy.Name == "" {
		policy.Name = k.name
	}
	if ok {
		policy.rule = k.read(block)
		if block != nil {
			block.done()
		}
	}
	return policy
}

// kind reads the type of a policy. It returns nil if the type is missing or unknown.
func (p *parser) kind(m *mapping) *kind {
	if m.get("type") == nil {
		for _, k := range p.kinds {
			if m.get(k.name) != nil {
				m.required("type", k.name)
				return nil
			}
		}
	}
	m.required("type", "latency")
	name, n := m.text("type")
	if n == nil {
		return nil
	}
	for i := range p.kinds {
		k := &p.kinds[i]
		if k.name != name {
			continue
		}
		if k.onTop && m.depth > 0 {
			p.errorf(n, m.sub("type"), "%s works only in the list itself, not within another policy; use and instead", name)
		}
		if p.alone {
			p.aboutOne(n, m.sub("type"), k)
		}
		return k
	}
	hint := suggest.DidYouMean(name, p.names())
	if hint == "" {
		hint = "; known are " + joined(p.names())
	}
	p.errorf(n, m.sub("type"), "unknown policy type %s%s", quote(name), hint)
	return nil
}

// aboutOne reports a kind that says nothing about a span by itself.
func (p *parser) aboutOne(n *yaml.Node, path string, k *kind) {
	why := ""
	switch {
	case k.onTop || k.shared || k.chance:
		why = "cannot be asked about a single late span"
	case k.name == "always_sample":
		why = "would bring back every trace that has a late span"
	case k.name == "span_count":
		why = "would match always or never, since a late span is asked about alone and counts 1"
	default:
		return
	}
	p.errorf(n, path, "%s %s; use policies that look at a span, such as status_code", k.name, why)
}

// block finds the block of a policy of kind k and reports all other keys. It returns ok if the block is as it should
// be: a mapping, or nil for a type that has none.
func (p *parser) block(m *mapping, k *kind) (block *mapping, ok bool) {
	known := []string{"name", "type"}
	if k != nil && k.example != "" {
		known = append(known, k.name)
	}
	misspelt := false
	for _, f := range m.fields {
		key, path := f.key.Value, m.sub(f.key.Value)
		_, isKind := p.find(key)
		switch {
		case slices.Contains(known, key):
		case isKind && k == nil: // the missing or unknown type has been reported
		case isKind && k.name == key:
			m.unused(f, path, "the type %s has no block; remove it", key)
		case isKind:
			m.unused(f, path, "the type is %s, so this block is not used; remove it, or write type: %s", k.name, key)
		default:
			near := suggest.Nearest(key, known)
			misspelt = misspelt || k != nil && near == k.name
			hint := suggest.DidYouMean(key, known)
			if hint == "" && k == nil {
				hint = suggest.DidYouMean(key, p.names())
			}
			if hint == "" {
				hint = "; a policy has the keys " + joined(known)
			}
			m.unused(f, path, "unknown key%s", hint)
		}
	}
	if k == nil || k.example == "" {
		return nil, true
	}
	theirs := m.theirs && !k.own
	f := m.get(k.name)
	if f == nil && theirs {
		m.slip(m.at, m.sub(k.name), "is missing; write %s: %s", k.name, k.example)
		return &mapping{p: p, path: m.sub(k.name), at: m.at, depth: m.depth, theirs: true}, true
	}
	if f == nil {
		if !misspelt {
			p.errorf(m.at, m.sub(k.name), "is missing; write %s: %s", k.name, k.example)
		}
		return nil, false
	}
	block = p.mapping(f.value, f.key, m.sub(k.name), m.depth, theirs, k.example)
	return block, block != nil
}

// unused reports a key of a policy that means nothing. The Collector keeps blocks of keys that it does not know for its extensions.
func (m *mapping) unused(f field, path, format string, args ...any) {
	if deref(f.value).Kind == yaml.MappingNode {
		m.slip(f.key, path, format, args...)
	} else {
		m.p.errorf(f.key, path, format, args...)
	}
}

func (p *parser) find(name string) (kind, bool) {
	for _, k := range p.kinds {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

func (p *parser) names() []string {
	var names []string
	for _, k := range p.kinds {
		names = append(names, k.name)
	}
	return names
}

// step counts a visited node. It returns false, and reports so once, when there are too many; no mistake is reported
// after that, since what seems to be missing then was not read.
func (p *parser) step(n *yaml.Node, path string) bool {
	if p.steps < mostSteps {
		p.steps++
		return true
	}
	p.errorf(n, path, "the policies have more than %d nodes when aliases (*) are followed", mostSteps)
	p.overflow = true
	return false
}

func (p *parser) warnf(n *yaml.Node, path, format string, args ...any) {
	const most = 1000 // as for mistakes
	if len(p.slips) < most {
		p.slips = append(p.slips, Warning{Line: n.Line, Column: n.Column, Path: path, Msg: fmt.Sprintf(format, args...)})
	}
}

func (p *parser) errorf(n *yaml.Node, path, format string, args ...any) {
	const most = 1000 // a list with more is no list of policies
	if len(p.errs) < most && !p.overflow {
		p.errs = append(p.errs, Error{Line: n.Line, Column: n.Column, Path: path, Msg: fmt.Sprintf(format, args...)})
	}
}
