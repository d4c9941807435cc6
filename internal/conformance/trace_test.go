package conformance

import (
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

type traceID [16]byte

// A trace is what is sent of it, in order: the pieces of each batch.
type trace struct {
	id      traceID
	batches [][]*piece
}

// A piece is spans of one trace that have their resource in common and come together.
type piece struct {
	resource *resource
	runs     []*run
}

// A run is spans of a piece with one scope.
type run struct {
	scope *scope
	spans []*span
}

type resource struct {
	attrs  []attr
	schema string
}

type scope struct {
	name  string
	attrs []attr
}

type span struct {
	id, parent [8]byte
	name       string
	state      string
	kind       int32
	status     int32
	flags      uint32
	start, end uint64
	attrs      []attr
	events     []event
	full       bool // written as the Collector writes: also fields that say nothing
}

type event struct {
	name  string
	attrs []attr
}

type attr struct {
	key   string
	value value
}

type kind uint8

const (
	kindAbsent kind = iota // the attribute has no value at all
	kindEmpty              // it has a value without content
	kindString
	kindBool
	kindInt
	kindDouble
	kindArray
	kindMap
	kindBytes
)

type value struct {
	kind   kind
	text   string
	whole  int64
	double float64
	truth  bool
}

func text(s string) value     { return value{kind: kindString, text: s} }
func whole(i int64) value     { return value{kind: kindInt, whole: i} }
func double(f float64) value  { return value{kind: kindDouble, double: f} }
func boolean(b bool) value    { return value{kind: kindBool, truth: b} }
func (v value) isEmpty() bool { return v.kind == kindAbsent || v.kind == kindEmpty }

func (v value) String() string {
	switch v.kind {
	case kindAbsent:
		return "absent"
	case kindEmpty:
		return "empty"
	case kindString:
		return fmt.Sprintf("%q", v.text)
	case kindBool:
		return fmt.Sprint(v.truth)
	case kindInt:
		return fmt.Sprint(v.whole)
	case kindDouble:
		return fmt.Sprintf("double(%v)", v.double)
	case kindArray:
		return "array"
	case kindMap:
		return "map"
	}
	return "bytes"
}

// pieces returns all pieces in the order in which they arrive.
func (t *trace) pieces() []*piece {
	var all []*piece
	for _, b := range t.batches {
		all = append(all, b...)
	}
	return all
}

func (t *trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "trace %x\n", t.id)
	for i, batch := range t.batches {
		for _, p := range batch {
			fmt.Fprintf(&b, "  batch %d: resource %v\n", i, p.resource.attrs)
			for _, r := range p.runs {
				fmt.Fprintf(&b, "    scope %q %v\n", r.scope.name, r.scope.attrs)
				for _, s := range r.spans {
					fmt.Fprintf(&b, "      span %x parent %x %q kind %d status %d flags %#x state %q start %d end %d %v", s.id, s.parent,
						s.name, s.kind, s.status, s.flags, s.state, s.start, s.end, s.attrs)
					for _, e := range s.events {
						fmt.Fprintf(&b, " event %q %v", e.name, e.attrs)
					}
					b.WriteByte('\n')
				}
			}
		}
	}
	return b.String()
}

func (a attr) String() string { return a.key + "=" + a.value.String() }

// batches merges traces into OTLP requests: the first batch of each into the first request, and so on. Spans of several
// traces then share ResourceSpans and ScopeSpans messages, as they do in real traffic.
func batches(traces []*trace) [][]byte {
	most := 0
	for _, t := range traces {
		most = max(most, len(t.batches))
	}
	var requests [][]byte
	for i := range most {
		type member struct {
			p  *piece
			id traceID
		}
		type group struct{ members []member }
		var groups []*group
		for _, t := range traces {
			if i >= len(t.batches) {
				continue
			}
			next := 0 // pieces of a trace stay in order
			for _, p := range t.batches[i] {
				at := next
				for at < len(groups) && groups[at].members[0].p.resource != p.resource {
					at++
				}
				if at == len(groups) {
					groups = append(groups, &group{})
				}
				groups[at].members = append(groups[at].members, member{p, t.id})
				next = at + 1
			}
		}
		var request []byte
		for _, g := range groups {
			var body []byte
			body = appendMessage(body, 1, appendAttrs(nil, 1, g.members[0].p.resource.attrs))
			for m := 0; m < len(g.members); m++ {
				for k, r := range g.members[m].p.runs {
					spans := appendSpans(nil, r, g.members[m].id)
					// The next trace's spans of the same scope go on in the same message.
					for k == len(g.members[m].p.runs)-1 && m+1 < len(g.members) && g.members[m+1].p.runs[0].scope == r.scope &&
						len(g.members[m+1].p.runs) == 1 {
						m++
						spans = appendSpans(spans, g.members[m].p.runs[0], g.members[m].id)
					}
					body = appendMessage(body, 2, append(appendMessage(nil, 1, r.scope.encode()), spans...))
				}
			}
			if s := g.members[0].p.resource.schema; s != "" {
				body = appendMessage(body, 3, []byte(s))
			}
			request = appendMessage(request, 1, body)
		}
		requests = append(requests, request)
	}
	return requests
}

func appendMessage(b []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content)
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return appendMessage(b, field, []byte(s))
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendTime(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), v)
}

func (s *scope) encode() []byte { return appendAttrs(appendText(nil, 1, s.name), 3, s.attrs) }

func appendSpans(b []byte, r *run, id traceID) []byte {
	for _, s := range r.spans {
		b = appendMessage(b, 2, s.encode(id))
	}
	return b
}

func (s *span) encode(id traceID) []byte {
	b := appendMessage(nil, 1, id[:])
	b = appendMessage(b, 2, s.id[:])
	b = appendText(b, 3, s.state)
	switch {
	case s.parent != [8]byte{}:
		b = appendMessage(b, 4, s.parent[:])
	case s.full:
		b = appendMessage(b, 4, nil)
	}
	b = appendText(b, 5, s.name)
	b = appendNumber(b, 6, uint64(s.kind))
	b = appendTime(b, 7, s.start)
	b = appendTime(b, 8, s.end)
	b = appendAttrs(b, 9, s.attrs)
	for _, e := range s.events {
		b = appendMessage(b, 11, appendAttrs(appendText(nil, 2, e.name), 3, e.attrs))
	}
	if status := appendNumber(nil, 3, uint64(s.status)); s.full || len(status) > 0 {
		b = appendMessage(b, 15, status)
	}
	if s.flags != 0 {
		b = protowire.AppendFixed32(protowire.AppendTag(b, 16, protowire.Fixed32Type), s.flags)
	}
	return b
}

func appendAttrs(b []byte, field protowire.Number, attrs []attr) []byte {
	for _, a := range attrs {
		pair := appendText(nil, 1, a.key)
		if a.value.kind != kindAbsent {
			pair = appendMessage(pair, 2, a.value.encode())
		}
		b = appendMessage(b, field, pair)
	}
	return b
}

// encode writes the value. Unlike other fields those of a oneof are written although they are zero.
func (v value) encode() []byte {
	switch v.kind {
	case kindString:
		return appendMessage(nil, 1, []byte(v.text))
	case kindBool:
		return protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), protowire.EncodeBool(v.truth))
	case kindInt:
		return protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), uint64(v.whole))
	case kindDouble:
		return protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), math.Float64bits(v.double))
	case kindArray:
		return appendMessage(nil, 5, appendMessage(nil, 1, text("gold").encode()))
	case kindMap:
		return appendMessage(nil, 6, appendAttrs(nil, 1, []attr{{"tier", text("gold")}}))
	case kindBytes:
		return appendMessage(nil, 7, []byte("gold"))
	}
	return nil
}
