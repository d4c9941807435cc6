package shop

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A renderer turns spans into export requests by copying templates and overwriting their holes.
type renderer struct {
	base      uint64
	catalog   *catalogue
	templates []template // by (op, variant, failed)
	resources [instances][]byte
	scopes    [serviceCount][scopesPerService][]byte
	schema    []byte
	links     [2][]byte // what follows the span ID in a link: to a message, to a first attempt

	// Scratch of one request.
	order  []int32 // spans by group
	groups [groups]group
}

const groups = instances * scopesPerService

// A group is the spans of one scope of one pod.
type group struct {
	first, count int32
	bytes        int
}

func newRenderer(cfg Config, c *catalogue) *renderer {
	r := &renderer{base: uint64(cfg.Base.UnixNano()), catalog: c, schema: schemaField()}
	svcs := services()
	for i, s := range svcs {
		for pod := range podsPerService {
			r.resources[i*podsPerService+pod] = resourceField(s, pod)
		}
		for scope := range scopesPerService {
			r.scopes[i][scope] = scopeField(s, scope)
		}
	}
	for i := range c.ops {
		for v := range variants {
			r.templates = append(r.templates,
				newTemplate(&c.ops[i], svcs[:], v, false, cfg.SpanBytes),
				newTemplate(&c.ops[i], svcs[:], v, true, cfg.SpanBytes))
		}
	}
	r.links[0] = appendString(nil, 4, "link.reason", "message")
	r.links[1] = appendString(nil, 4, "link.reason", "retry")
	return r
}

func (r *renderer) template(s *span) *template {
	i := (int(s.op)*variants + int(s.variant)) * 2
	if s.failed {
		i++
	}
	return &r.templates[i]
}

func (r *renderer) link(s *span) []byte {
	if r.catalog.ops[s.op].kind == consumer {
		return r.links[0]
	}
	return r.links[1]
}

const (
	stateSize  = 2 + len("ot=rv:") + 14 + len(",shop=eu1")
	linkedSize = 18 + 10 // trace and span ID of a link
)

// size of a Span message.
func (r *renderer) size(s *span) int {
	n := r.template(s).size() + idsSize
	if s.parent == 0 {
		n += rootSize - idsSize
	}
	if s.state {
		n += stateSize
	}
	if s.link != 0 {
		l := linkedSize + len(r.link(s))
		n += 1 + protowire.SizeBytes(l)
	}
	return n
}

func (r *renderer) group(s *span) int {
	o := &r.catalog.ops[s.op]
	return (o.service*podsPerService+int(s.pod))*scopesPerService + o.scope()
}

// request appends the export request that holds the spans, all of the given pods.
func (r *renderer) request(b []byte, spans []span, pods []int) []byte {
	for _, pod := range pods {
		clear(r.groups[pod*scopesPerService:][:scopesPerService])
	}
	for i := range spans {
		g := &r.groups[r.group(&spans[i])]
		g.count++
		g.bytes += 1 + protowire.SizeBytes(r.size(&spans[i]))
	}
	at, total := int32(0), 0
	for _, pod := range pods {
		for k := range scopesPerService {
			g := &r.groups[pod*scopesPerService+k]
			g.first = at
			at += g.count
			g.count = 0
		}
		if n := r.podSize(pod); n > 0 {
			total += 1 + protowire.SizeBytes(n)
		}
	}
	r.order = slices.Grow(r.order[:0], len(spans))[:len(spans)]
	for i := range spans {
		g := &r.groups[r.group(&spans[i])]
		r.order[g.first+g.count] = int32(i)
		g.count++
	}

	b = slices.Grow(b, total)
	for _, pod := range pods {
		n := r.podSize(pod)
		if n == 0 {
			continue
		}
		b = append(b, 1<<3|2) // resource_spans
		b = protowire.AppendVarint(b, uint64(n))
		b = append(b, r.resources[pod]...)
		for k := range scopesPerService {
			g := &r.groups[pod*scopesPerService+k]
			if g.count == 0 {
				continue
			}
			scope := r.scopes[pod/podsPerService][k]
			b = append(b, 2<<3|2) // scope_spans
			b = protowire.AppendVarint(b, uint64(len(scope)+g.bytes+len(r.schema)))
			b = append(b, scope...)
			for _, i := range r.order[g.first : g.first+g.count] {
				b = r.span(b, &spans[i])
			}
			b = append(b, r.schema...)
		}
		b = append(b, r.schema...)
	}
	return b
}

// podSize is the size of the ResourceSpans message of a pod, 0 if it has no spans.
func (r *renderer) podSize(pod int) int {
	n := 0
	for k := range scopesPerService {
		if g := &r.groups[pod*scopesPerService+k]; g.bytes > 0 {
			n += 1 + protowire.SizeBytes(len(r.scopes[pod/podsPerService][k])+g.bytes+len(r.schema))
		}
	}
	if n > 0 {
		n += len(r.resources[pod]) + len(r.schema)
	}
	return n
}

// span appends a span as a field of ScopeSpans.
func (r *renderer) span(b []byte, s *span) []byte {
	t := r.template(s)
	b = append(b, 2<<3|2)
	b = protowire.AppendVarint(b, uint64(r.size(s)))
	b = appendTraceID(b, s.traceHi, s.traceLo)
	b = appendSpanID(b, spanID, s.id)
	if s.state {
		b = append(b, spanTraceState<<3|2, byte(stateSize-2))
		b = append(b, "ot=rv:"...)
		b = appendHex(b, s.traceHi)[:len(b)+14]
		b = append(b, ",shop=eu1"...)
	}
	if s.parent != 0 {
		b = appendSpanID(b, spanParentID, s.parent)
	}
	at := len(b)
	b = append(b, t.body...)
	body := b[at:]
	end := r.base + uint64(s.end)
	binary.LittleEndian.PutUint64(body[t.start:], r.base+uint64(s.start))
	binary.LittleEndian.PutUint64(body[t.end:], end)
	if t.event >= 0 {
		binary.LittleEndian.PutUint64(body[t.event:], end)
	}
	putDigits(body[t.user:t.user+len(userHole)], s.user)
	appendHex(body[t.request:t.request], s.traceLo)
	if s.link != 0 {
		reason := r.link(s)
		b = append(b, spanLinks<<3|2)
		b = protowire.AppendVarint(b, uint64(linkedSize+len(reason)))
		b = appendTraceID(b, s.traceHi, s.traceLo)
		b = appendSpanID(b, 2, s.link)
		b = append(b, reason...)
	}
	return append(b, t.tail...)
}

func appendTraceID(b []byte, hi, lo uint64) []byte {
	b = append(b, spanTraceID<<3|2, 16)
	b = binary.BigEndian.AppendUint64(b, hi)
	return binary.BigEndian.AppendUint64(b, lo)
}

func appendSpanID(b []byte, field byte, id uint64) []byte {
	b = append(b, field<<3|2, 8)
	return binary.BigEndian.AppendUint64(b, id)
}

// appendHex appends 16 hexadecimal digits.
func appendHex(b []byte, v uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[v>>shift&15])
	}
	return b
}

func putDigits(b []byte, v uint32) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(v%10)
		v /= 10
	}
}
