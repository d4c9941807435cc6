package wire

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// checkEdited compares an edited span with what pdata makes of the same edit, and its bytes with the obvious way to edit.
func checkEdited(t *testing.T, raw []byte, e *Edit) {
	t.Helper()
	if ScanSpan(raw, nil, &Span{}) != nil {
		return
	}
	given := bytes.Clone(raw)
	got := AppendEdited([]byte("before"), raw, e)
	if !bytes.Equal(raw, given) || string(got[:6]) != "before" {
		t.Fatalf("editing %q overwrote it, or what was before", given)
	}
	got = got[6:]
	if want := naiveEdited(raw, e); string(got) != want {
		t.Fatalf("%q with %+v:\n got %q\nwant %q", raw, e, got, want)
	}
	if again := AppendEdited(nil, got, e); !bytes.Equal(got, again) {
		t.Fatalf("%q with %+v: got %q, then %q", raw, e, got, again)
	}
	if Validate(raw) != nil {
		return
	}
	if err := Validate(got); err != nil {
		t.Fatalf("%q with %+v: got %q: %v", raw, e, got, err)
	}
	want, err := decode(asRequest(raw, shapeSpan))
	if err != nil {
		t.Fatal(err)
	}
	edited, err := decode(asRequest(got, shapeSpan))
	if err != nil {
		t.Fatal(err)
	}
	editDecoded(want.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0), e)
	if a, b := marshal(t, edited), marshal(t, want); !bytes.Equal(a, b) {
		t.Fatalf("%q with %+v:\npdata has %q\n    wants %q", raw, e, a, b)
	}
}

func editDecoded(s ptrace.Span, e *Edit) {
	if e.TraceState != nil {
		s.TraceState().FromRaw(string(e.TraceState))
	}
	if e.Policy == nil {
		return
	}
	s.Attributes().RemoveIf(func(k string, _ pcommon.Value) bool { return k == KeyPolicy || k == KeyProbability })
	s.Attributes().PutStr(KeyPolicy, string(e.Policy))
	s.Attributes().PutDouble(KeyProbability, e.Probability)
}

// naiveEdited edits field by field.
func naiveEdited(raw []byte, e *Edit) string {
	var out []string
	keys := NewKeySet([]string{KeyPolicy, KeyProbability})
	for pos := 0; pos < len(raw); {
		num, _, body, next := readField(raw, pos)
		switch num {
		case 3:
			if e.TraceState != nil {
				pos = next
				continue
			}
		case 9:
			// Only the framing of the value matters here.
			if attrs, fault := appendAttr(nil, withoutValue(raw[body:next]), keys); e.Policy != nil && fault == 0 && len(attrs) > 0 {
				pos = next
				continue
			}
		}
		out = append(out, string(raw[pos:next]))
		pos = next
	}
	if len(e.TraceState) > 0 {
		out = append(out, text(3, string(e.TraceState)))
	}
	if e.Policy != nil {
		v := math.Float64bits(e.Probability)
		var double []byte
		for range 8 {
			double = append(double, byte(v))
			v >>= 8
		}
		out = append(out, kv(KeyPolicy, text(1, string(e.Policy))), kv(KeyProbability, "\x21"+string(double)))
	}
	return strings.Join(out, "")
}

// withoutValue returns only the keys of a KeyValue message, or b if that is not well formed.
func withoutValue(b []byte) []byte {
	var out []byte
	for pos := 0; pos < len(b); {
		num, _, _, next := readField(b, pos)
		if next < 0 {
			return b
		}
		if num == 1 {
			out = append(out, b[pos:next]...)
		}
		pos = next
	}
	return out
}

// withOwn puts fields that an Edit replaces between the fields of a valid span, in usual and unusual encodings.
func (g *generator) withOwn(raw []byte) []byte {
	var out []byte
	for pos := 0; pos < len(raw); {
		_, _, _, next := readField(raw, pos)
		if next < 0 {
			return raw
		}
		if g.one(6) {
			inner := g.field(nil, 1, []byte([]string{KeyPolicy, KeyProbability}[g.IntN(2)]))
			value := g.field(nil, 2, g.message(shapeAnyValue, 2))
			if g.one(2) {
				inner, value = value, inner
			}
			out = g.field(out, 9, slices.Concat(inner, value))
		}
		if g.one(15) {
			out = g.field(out, 3, g.text())
		}
		out = append(out, raw[pos:next]...)
		pos = next
	}
	return out
}

func (g *generator) edit() *Edit {
	var e Edit
	if !g.one(3) {
		e.TraceState = append([]byte{}, g.text()...)
	}
	if !g.one(3) {
		e.Policy = append([]byte{}, g.text()...)
	}
	e.Probability = math.Float64frombits(g.Uint64())
	return &e
}

func checkGeneratedEdit(t *testing.T, seed uint64, mutate bool) {
	t.Helper()
	g := newGenerator(seed, mutate)
	checkEdited(t, g.withOwn(g.message(shapeSpan, 5)), g.edit())
}

func TestGeneratedEdit(t *testing.T) {
	for seed := range uint64(20000) {
		checkGeneratedEdit(t, seed, seed%2 == 0)
		if t.Failed() {
			t.Fatalf("seed %d; reproduce with checkGeneratedEdit(t, %d, %v)", seed, seed, seed%2 == 0)
		}
	}
}

// FuzzEdit edits arbitrary spans.
func FuzzEdit(f *testing.F) {
	req := marshal(f, sampleTraces(1, 1, 1, 1))
	for _, b := range [][]byte{req, forward(f, req, shapeTracesData)} {
		var r recorder
		if err := Walk(b, &Scratch{}, &r); err != nil {
			f.Fatal(err)
		}
		f.Add(r.spans[0], []byte("ot=th:8"), []byte("errors"), 0.5, true, true)
		own := AppendEdited(nil, r.spans[0], &Edit{TraceState: []byte("a=b"), Policy: []byte("p")})
		f.Add(own, []byte("ot=th:8"), []byte(""), 0.0, true, true)
		f.Add(own, []byte(""), []byte("x"), 1.0, true, false)
		f.Add(own, []byte("x"), []byte("x"), 1.0, false, true)
	}
	for seed := range uint64(8) {
		g := newGenerator(seed, true)
		f.Add(g.withOwn(g.message(shapeSpan, 5)), g.text(), g.text(), g.Float64(), true, true)
	}
	f.Fuzz(func(t *testing.T, raw, state, policy []byte, p float64, setState, setPolicy bool) {
		e := Edit{Probability: p}
		if setState {
			e.TraceState = append([]byte{}, state...)
		}
		if setPolicy {
			e.Policy = append([]byte{}, policy...)
		}
		// Damaged bytes as well: no panic.
		AppendEdited(nil, raw, &e)
		checkEdited(t, raw, &e)
	})
}
