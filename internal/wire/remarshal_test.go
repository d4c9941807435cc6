package wire

import (
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// pdataSize is the size of the traces that are left when a Collector's processor copies the resource, the scope and the
// spans of each message into new ones.
func pdataSize(td ptrace.Traces) int {
	copied := ptrace.NewTraces()
	for _, rs := range td.ResourceSpans().All() {
		to := copied.ResourceSpans().AppendEmpty()
		rs.Resource().CopyTo(to.Resource())
		for _, ss := range rs.ScopeSpans().All() {
			within := to.ScopeSpans().AppendEmpty()
			ss.Scope().CopyTo(within.Scope())
			for _, s := range ss.Spans().All() {
				s.CopyTo(within.Spans().AppendEmpty())
			}
		}
	}
	return (&ptrace.ProtoMarshaler{}).TracesSize(copied)
}

// ownSize is the same, of the message around b, by the functions of this package.
func ownSize(b []byte, s shape) int {
	n := 0
	switch s {
	case shapeSpan:
		n = FieldSize(RemarshalledSpan(b))
		fallthrough
	case shapeScopeSpans:
		scope := 0
		if s == shapeScopeSpans {
			scope = RemarshalledScope(b)
		}
		n = FieldSize(FieldSize(scope) + n)
		fallthrough
	default:
		resource := 0
		if s == shapeResourceSpans {
			resource = RemarshalledResource(b)
		}
		return FieldSize(FieldSize(resource) + n)
	}
}

// checkRemarshalled compares the size of a span, or of the header of a ScopeSpans or ResourceSpans message, with pdata's.
func checkRemarshalled(t *testing.T, b []byte, s shape) {
	t.Helper()
	got := ownSize(b, s) // damaged bytes as well: no panic
	if validate(b, s) != nil {
		if s == shapeSpan && (RemarshalledSpan(b) < 0 || RemarshalledSpan(b) > 12*len(b)+64) {
			t.Errorf("a size of %d for the damaged %q", got, b)
		}
		return
	}
	td, err := decode(asRequest(b, s))
	if err != nil {
		t.Fatal(err)
	}
	if want := pdataSize(td); got != want {
		t.Errorf("a size of %d, pdata writes %d, of %s %q", got, want, shapes[s].name, b)
	}
}

func TestRemarshalledSpan(t *testing.T) {
	const parent = "\x22\x08pppppppp"
	everything := 18 + 10 + 2 + 2 // trace, span, parent, status
	nested := ""
	for range 99 {
		nested = text(5, text(1, nested))
	}
	tests := []struct {
		name, raw string
		want      int
	}{
		{"nothing", "", 2 + 2 + 2 + 2},
		{"IDs", someTrace + someSpan, everything},
		{"a parent", someTrace + someSpan + parent, everything + 8},
		{"IDs of zeros", text(1, strings.Repeat("\x00", 16)) + text(2, strings.Repeat("\x00", 8)), 8},
		{"an ID taken back", someTrace + text(1, ""), 8},
		{"empty texts", text(3, "") + text(5, ""), 8},
		{"a name twice", text(5, "long") + text(5, "x"), 8 + 3},
		{"a name taken back", text(5, "long") + text(5, ""), 8},
		{"a length of two bytes", text(5, strings.Repeat("x", 128)), 8 + 131},
		{"a length longer than needed", "\x2a\x81\x00x", 8 + 3},
		{"a tag longer than needed", "\xaa\x00\x01x", 8 + 3},
		{"kind", "\x30\x02", 8 + 2},
		{"kind 0", "\x30\x00", 8},
		{"kind in more bytes than needed", "\x30\x82\x80\x00", 8 + 2},
		{"negative kind in five bytes", "\x30\xff\xff\xff\xff\x0f", 8 + 11},
		{"times", "\x39tttttttt\x41tttttttt", 8 + 18},
		{"times of 0", "\x39\x00\x00\x00\x00\x00\x00\x00\x00", 8},
		{"flags", "\x85\x01\x01\x00\x00\x00", 8 + 6},
		{"no flags", "\x85\x01\x00\x00\x00\x00", 8},
		{"counts", "\x50\x01\x60\x80\x01\x70\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 8 + 2 + 3 + 6},
		{"an empty status", text(15, ""), 8},
		{"status", text(15, "\x18\x02"), 8 + 2},
		{"status in pieces", text(15, text(2, "no")) + text(15, "\x18\x02"), 8 + 6},
		{"negative status", text(15, "\x18\xff\xff\xff\xff\x0f"), 8 + 11},
		{"unknown fields", "\x8a\x01\x02xx\xf8\xff\xff\xff\x0f\x05" + text(15, "\x78\x01"), 8},
		{"an attribute", kv("k", text(1, "v")), 8 + 10},
		{"an attribute without value", text(9, text(1, "k")), 8 + 7},
		{"an attribute without anything", text(9, ""), 8 + 4},
		{"an attribute without key", text(9, text(1, "")+text(2, text(1, "v"))), 8 + 7},
		{"an empty text", kv("k", text(1, "")), 8 + 9},
		{"false", kv("k", "\x10\x00"), 8 + 9},
		{"true in more bytes than needed", kv("k", "\x10\x81\x00"), 8 + 9},
		{"0", kv("k", "\x18\x00"), 8 + 9},
		{"a number in more bytes than needed", kv("k", "\x18\x80\x80\x00"), 8 + 9},
		{"a double of 0", kv("k", "\x21\x00\x00\x00\x00\x00\x00\x00\x00"), 8 + 16},
		{"bytes", kv("k", text(7, "vv")), 8 + 11},
		{"no bytes", kv("k", text(7, "")), 8 + 9},
		{"indices", text(9, "\x18\x07"+text(2, "\x40\x07")), 8 + 2 + 2 + 4},
		{"the last variant counts", kv("k", text(1, "long")+"\x10\x01"), 8 + 9},
		{"values are merged", text(9, text(1, "k")+text(2, text(1, "v"))+text(2, "")), 8 + 10},
		{"lists are not", text(9, text(2, text(5, text(1, text(1, "a"))))+text(2, text(5, text(1, text(1, "b"))))), 8 + 2 + 9},
		{"a list", kv("k", text(5, text(1, "\x18\x81\x00")+text(1, ""))), 8 + 5 + 2 + 2 + 6},
		{"a map", kv("k", text(6, text(1, text(1, "")+text(2, "")))), 8 + 5 + 2 + 2 + 4},
		{"an event", text(11, text(2, "")+text(3, "")+"\x20\x00\x78\x01"), 8 + 2 + 4},
		{"a link", text(13, ""), 8 + 6},
		{"a link with all", text(13, someTrace+someSpan+text(3, "s")+text(4, "")+"\x28\x01\x35\x01\x00\x00\x00"), 8 + 2 + 18 + 10 + 3 + 4 + 2 + 5},
		{"as deep as can be", kv("k", nested), RemarshalledSpan(build(kv("k", nested)))},
	}
	for _, tt := range tests {
		if got := RemarshalledSpan(build(tt.raw)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		checkRemarshalled(t, build(tt.raw), shapeSpan)
	}
}

func TestRemarshalledHeaders(t *testing.T) {
	url := text(3, "https://opentelemetry.io/schemas/1.30.0")
	attribute := kv("k", text(1, "v"))
	in1 := "\x0a" + attribute[1:] // the same as field 1
	in3 := "\x1a" + attribute[1:]
	for _, tt := range []struct {
		name, header string
		s            shape
		want         int
	}{
		{"no resource", "", shapeResourceSpans, 0},
		{"only a schema", url, shapeResourceSpans, 0},
		{"a resource", text(1, in1+"\x10\x03") + url, shapeResourceSpans, 12},
		{"resources are merged", text(1, in1+"\x10\x80\x01") + url + text(1, in1+"\x10\x01"), shapeResourceSpans, 22},
		{"an entity", text(1, text(3, text(1, "")+text(2, "t")+text(3, "")+text(3, "a")+text(4, "")+"\x78\x01")), shapeResourceSpans, 12},
		{"no scope", url, shapeScopeSpans, 0},
		{"a scope", text(1, text(1, "lib")+text(2, "1")+in3+"\x20\x01") + url, shapeScopeSpans, 5 + 3 + 10 + 2},
		{"scopes are merged", text(1, text(1, "lib")+text(2, "1")) + text(1, text(1, "")+in3), shapeScopeSpans, 13},
	} {
		got := RemarshalledScope(build(tt.header))
		if tt.s == shapeResourceSpans {
			got = RemarshalledResource(build(tt.header))
		}
		if got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		checkRemarshalled(t, build(tt.header), tt.s)
	}
}

// Attributes are measured before anyone has validated them. What lies too deep counts as it is.
func TestRemarshalledTooDeep(t *testing.T) {
	shallow := build(kv("k", text(1, "")))
	for levels, dropped := range map[int]int{MaxDepth - 1: 3, MaxDepth: 0, MaxDepth + 1: 0, 5000: 0} {
		value := "\x78\x01" // an unknown field: without it a length around it takes a byte less, too
		for range levels {
			value = text(5, text(1, value))
		}
		raw := build(kv("k", value))
		if got, want := RemarshalledSpan(raw), RemarshalledSpan(shallow)+len(raw)-len(shallow)-dropped; got != want {
			t.Errorf("%d levels: %d for %d bytes, want %d", levels, got, len(raw), want)
		}
	}
}

func checkGeneratedRemarshalled(t *testing.T, seed uint64, mutate bool) {
	t.Helper()
	g := newGenerator(seed, mutate)
	checkRemarshalled(t, g.message(shapeSpan, 6), shapeSpan)
	for header, inner := range map[shape]shape{shapeResourceSpans: shapeResource, shapeScopeSpans: shapeScope} {
		var b []byte
		for range g.IntN(4) {
			b = g.any(b, header, []int32{1, 1, 1, 3, 99}[g.IntN(5)], 6)
			b = g.field(b, 1, g.message(inner, 5))
		}
		checkRemarshalled(t, b, header)
	}
}

func TestGeneratedRemarshalled(t *testing.T) {
	for seed := range uint64(4000) {
		checkGeneratedRemarshalled(t, seed, seed%4 == 0)
		if t.Failed() {
			t.Fatalf("seed %d; reproduce with checkGeneratedRemarshalled(t, %d, %v)", seed, seed, seed%4 == 0)
		}
	}
}

// FuzzRemarshalled measures arbitrary spans and headers.
func FuzzRemarshalled(f *testing.F) {
	for _, b := range [][]byte{marshal(f, sampleTraces(3, 2, 1, 2)), forward(f, marshal(f, sampleTraces(3, 2, 1, 2)), shapeTracesData)} {
		var r recorder
		if err := Walk(b, &Scratch{}, &r); err != nil {
			f.Fatal(err)
		}
		f.Add(r.spans[0], r.resources[0], r.scopes[0])
	}
	for seed := range uint64(8) {
		g := newGenerator(seed, true)
		f.Add(g.message(shapeSpan, 6), g.field(nil, 1, g.message(shapeResource, 5)), g.field(nil, 1, g.message(shapeScope, 5)))
	}
	f.Fuzz(func(t *testing.T, raw, resource, scope []byte) {
		checkRemarshalled(t, raw, shapeSpan)
		for header, b := range map[shape][]byte{shapeResourceSpans: resource, shapeScopeSpans: scope} {
			if hasField2(b) { // content: Walk gives it to nobody as header
				continue
			}
			checkRemarshalled(t, b, header)
		}
	})
}

func hasField2(b []byte) bool {
	for pos := 0; pos < len(b); {
		num, _, _, next := readField(b, pos)
		if num == 2 || num == fieldDeprecatedScopeSpans {
			return true
		}
		if next < 0 {
			return false
		}
		pos = next
	}
	return false
}

func TestRemarshalledAllocatesNothing(t *testing.T) {
	var r recorder
	if err := Walk(marshal(t, sampleTraces(10, 2, 1, 1)), &Scratch{}, &r); err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(10, func() {
		for _, raw := range r.spans {
			RemarshalledSpan(raw)
		}
		RemarshalledResource(r.resources[0])
		RemarshalledScope(r.scopes[0])
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkRemarshalledSpan(b *testing.B) {
	benchRequests(b, func(b *testing.B, req []byte) (n int) {
		spans := sampleSpans(b, req)
		for b.Loop() {
			for _, raw := range spans {
				RemarshalledSpan(raw)
			}
			n += len(spans)
		}
		return n
	})
}
