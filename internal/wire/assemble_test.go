package wire

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// headerTable numbers headers, with gaps and not from zero.
type headerTable struct{ bytes []string }

func (h *headerTable) number(b string) uint32 {
	i := slices.Index(h.bytes, b)
	if i < 0 {
		i = len(h.bytes)
		h.bytes = append(h.bytes, b)
	}
	return uint32(i)*1000 + 5
}

func (h *headerTable) AppendTo(dst []byte, id uint32) []byte {
	return append(dst, h.bytes[(id-5)/1000]...)
}

// naiveAssemble is the obvious way to write what an Assembler writes.
func naiveAssemble(list []located) []byte {
	var out []byte
	var resources []string
	for _, r := range list {
		if slices.Contains(resources, r.resource) {
			continue
		}
		resources = append(resources, r.resource)
		body := []byte(r.resource)
		var scopes []string
		for _, s := range list {
			if s.resource != r.resource || slices.Contains(scopes, s.scope) {
				continue
			}
			scopes = append(scopes, s.scope)
			scope := []byte(s.scope)
			for _, l := range list {
				if l.resource == r.resource && l.scope == s.scope {
					scope = appendField(scope, tagSpans, []byte(l.span))
				}
			}
			body = appendField(body, tagScopeSpans, scope)
		}
		out = appendField(out, tagResourceSpans, body)
	}
	return out
}

// checkAssemble takes a request apart and puts it together in several ways.
func checkAssemble(t *testing.T, req []byte) {
	t.Helper()
	set, list := contents(t, req)
	var headers headerTable
	var a Assembler
	var out []byte
	for round := range 3 {
		// As on the wire, then with the groups interleaved, then backward.
		order := slices.Clone(list)
		switch round {
		case 1:
			half := len(list) / 2
			order = order[:0]
			for i := range half {
				order = append(order, list[i], list[half+i])
			}
			order = append(order, list[2*half:]...)
		case 2:
			slices.Reverse(order)
		}
		for _, l := range order {
			a.Add(headers.number(l.resource), headers.number(l.scope), []byte(l.span))
		}
		start := len(out)
		out = a.AppendTo(out, &headers)
		if !bytes.Equal(out[start:], naiveAssemble(order)) {
			t.Errorf("round %d: assembled %q\nwant %q", round, out[start:], naiveAssemble(order))
		}
		if a.Len() != 0 {
			t.Errorf("the assembler still holds %d spans", a.Len())
		}
	}
	all, _ := contents(t, out)
	for l, n := range set {
		set[l] = 3 * n
	}
	if !maps.Equal(all, set) {
		t.Errorf("assembled requests, concatenated, have other spans than %q", req)
	}
}

func TestAssembleSample(t *testing.T) {
	req := marshal(t, sampleTraces(50, 7, 3, 2))
	checkAssemble(t, req)
	checkAssemble(t, forward(t, req, shapeTracesData))
}

func TestAssembleNothing(t *testing.T) {
	var a Assembler
	if out := a.AppendTo([]byte("x"), &headerTable{}); string(out) != "x" {
		t.Errorf("got %q", out)
	}
	a.Add(1, 2, []byte("span"))
	a.Reset()
	if out := a.AppendTo(nil, &headerTable{}); out != nil {
		t.Errorf("after Reset: got %q", out)
	}
}

// A scope number means another group under another resource, and lengths of one, two and three bytes must all be right.
func TestAssembleGroupsAndLengths(t *testing.T) {
	for _, n := range []int{0, 1, 100, 120, 121, 122, 123, 124, 125, 126, 127, 128, 200, 16000, 16370, 16375, 16380, 16384, 2 << 20} {
		var list []located
		for i := range 5 {
			list = append(list, located{resource: string(rune('a' + i%2)), scope: "s", span: string(bytes.Repeat([]byte{byte(i)}, n))})
		}
		var headers headerTable
		var a Assembler
		for _, l := range list {
			a.Add(headers.number(l.resource), headers.number(l.scope), []byte(l.span))
		}
		if !bytes.Equal(a.AppendTo(nil, &headers), naiveAssemble(list)) {
			t.Errorf("spans of %d bytes: wrong request", n)
		}
	}
}

type emptyHeaders struct{}

func (emptyHeaders) AppendTo(dst []byte, _ uint32) []byte { return dst }

// Every span in a group of its own, more groups than are kept, twice with the same Assembler.
func TestAssembleManyGroups(t *testing.T) {
	var a Assembler
	for range 2 {
		const n = 200_000
		for i := range n {
			a.Add(uint32(i%1000), uint32(i), []byte("span"))
		}
		var seen recorder
		if err := Walk(a.AppendTo(nil, emptyHeaders{}), &Scratch{}, &seen); err != nil {
			t.Fatal(err)
		}
		if len(seen.resources) != 1000 || len(seen.scopes) != n || len(seen.spans) != n {
			t.Fatalf("got %d resources, %d scopes, %d spans", len(seen.resources), len(seen.scopes), len(seen.spans))
		}
	}
}

func TestAssembleAllocatesNothing(t *testing.T) {
	var a Assembler
	span := bytes.Repeat([]byte("x"), 575)
	buf := make([]byte, 0, 1<<20)
	allocs := testing.AllocsPerRun(20, func() {
		for i := range 100 {
			a.Add(uint32(i%3), uint32(i%7), span)
		}
		buf = a.AppendTo(buf[:0], emptyHeaders{})
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
