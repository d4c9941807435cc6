package wire

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"
)

// located is a span with the headers it is under.
type located struct{ resource, scope, span string }

// contents returns the multiset of spans in a request, and the same spans in wire order.
func contents(t *testing.T, req []byte) (map[located]int, []located) {
	t.Helper()
	var r recorder
	if err := Walk(req, &Scratch{}, &r); err != nil {
		t.Fatalf("%q: %v", req, err)
	}
	set := make(map[located]int)
	var list []located
	for i, raw := range r.spans {
		s := r.spanScope[i]
		l := located{string(r.resources[r.scopeResource[s]]), string(r.scopes[s]), string(raw)}
		set[l]++
		list = append(list, l)
	}
	return set, list
}

// expected says what a Splitter should make of a span.
func expected(l located, o SplitOptions) error {
	var err error
	if o.Deep {
		err = errors.Join(ValidateResource([]byte(l.resource)), ValidateScope([]byte(l.scope)), Validate([]byte(l.span)))
	}
	if err == nil {
		_, _, err = ScanIDs([]byte(l.span))
	}
	if err == nil && o.MaxFragment > 0 && len(singleFragment(l)) > o.MaxFragment {
		err = ErrOversized
	}
	return err
}

func singleFragment(l located) []byte {
	scope := appendField([]byte(l.scope), tagSpans, []byte(l.span))
	return appendField(nil, tagResourceSpans, appendField([]byte(l.resource), tagScopeSpans, scope))
}

// checkSplit splits a request, puts it together again, and compares span by span.
func checkSplit(t *testing.T, req []byte, o SplitOptions) {
	t.Helper()
	prefix := []byte("before")
	out, err := NewSplitter(o).Split(prefix, req)
	walkErr := Walk(req, &Scratch{}, &recorder{})
	if (err != nil) != (walkErr != nil) {
		t.Fatalf("Split of %q: %v, but Walk: %v", req, err, walkErr)
	}
	if err != nil {
		if len(out.Fragments) != 0 || !bytes.Equal(out.Bytes, prefix) {
			t.Errorf("a damaged request gave fragments")
		}
		return
	}
	_, all := contents(t, req)
	want := make(map[located]int)
	order := make(map[TraceID][]string)
	var damaged, noTrace, noSpan, oversized int
	for _, l := range all {
		switch err := expected(l, o); {
		case err == nil:
			want[l]++
			id, _, _ := ScanIDs([]byte(l.span))
			order[id] = append(order[id], l.span)
		case errors.Is(err, ErrTraceID):
			noTrace++
		case errors.Is(err, ErrSpanID):
			noSpan++
		case errors.Is(err, ErrOversized):
			oversized++
		default:
			damaged++
		}
	}
	got := make(map[located]int)
	gotOrder := make(map[TraceID][]string)
	spans, joined := 0, append([]byte(nil), prefix...)
	last := -1
	for _, f := range out.Fragments {
		_, list := contents(t, f.Bytes)
		if len(list) != f.Spans || f.Spans == 0 || f.Partition < last {
			t.Errorf("fragment of partition %d (after %d) says %d spans, has %d", f.Partition, last, f.Spans, len(list))
		}
		last = f.Partition
		if o.MaxFragment > 0 && len(f.Bytes) > o.MaxFragment {
			t.Errorf("a fragment has %d bytes, the limit is %d", len(f.Bytes), o.MaxFragment)
		}
		for _, l := range list {
			got[l]++
			id, _, _ := ScanIDs([]byte(l.span))
			gotOrder[id] = append(gotOrder[id], l.span)
			if p := Partition(id, o.Partitions); p != f.Partition {
				t.Errorf("trace %x is in partition %d, want %d", id, f.Partition, p)
			}
		}
		spans += f.Spans
		joined = append(joined, f.Bytes...)
	}
	if !maps.Equal(got, want) {
		t.Errorf("split of %q: the fragments have other spans", req)
	}
	for id, list := range order {
		if !slices.Equal(gotOrder[id], list) {
			t.Errorf("the spans of trace %x are in another order", id)
		}
	}
	if !bytes.Equal(joined, out.Bytes) {
		t.Errorf("Bytes is not the fragments one behind the other")
	}
	if out.Spans != spans || out.Damaged != damaged || out.NoTraceID != noTrace || out.NoSpanID != noSpan ||
		out.Oversized != oversized || out.Spans+out.Dropped() != len(all) || (out.Reason != nil) != (out.Dropped() > 0) {
		t.Errorf("counts: %+v, want %d spans, %d damaged, %d and %d without ID, %d oversized", out, spans, damaged,
			noTrace, noSpan, oversized)
	}
	checkAssemble(t, joined[len(prefix):])
}
