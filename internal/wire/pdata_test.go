package wire

import (
	"errors"
	"math"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// decode is pdata's reading of a request.
func decode(b []byte) (ptrace.Traces, error) { return (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(b) }

// asRequest wraps the fields of a message of the given shape in the levels above it.
func asRequest(b []byte, s shape) []byte {
	switch s {
	case shapeSpan:
		return asRequest(appendField(nil, tagSpans, b), shapeScopeSpans)
	case shapeScopeSpans:
		return asRequest(appendField(nil, tagScopeSpans, b), shapeResourceSpans)
	case shapeResourceSpans:
		return appendField(nil, tagResourceSpans, b)
	default:
		return b
	}
}

// checkVerdict compares the outcome of validating b with pdata's: the same, but for what the package refuses on its own.
func checkVerdict(t *testing.T, b []byte, s shape, err error) {
	t.Helper()
	_, want := decode(asRequest(b, s))
	if err == nil && want != nil {
		t.Errorf("accepted %q, but pdata says: %v", b, want)
	}
	own := errors.Is(err, ErrGroup) || errors.Is(err, ErrFieldNumber) || errors.Is(err, ErrDepth)
	if err != nil && want == nil && !own {
		t.Errorf("pdata accepts %q, but: %v", b, err)
	}
}

// checkSpan compares what ScanSpan reads from raw, with all the keys the span has wanted, with what pdata reads.
func checkSpan(t *testing.T, raw []byte, want ptrace.Span) {
	t.Helper()
	var names []string
	for k := range want.Attributes().All() {
		names = append(names, k)
	}
	var got Span
	got.Attrs = append(got.Attrs, Attr{Key: 7, Value: Value{Kind: ValueInt, Num: 1, Bytes: []byte("old")}})[:0]
	keys := NewKeySet(names)
	err := ScanSpan(raw, keys, &got)
	wantErr := error(nil)
	if want.TraceID().IsEmpty() {
		wantErr = ErrTraceID
	} else if want.SpanID().IsEmpty() {
		wantErr = ErrSpanID
	}
	if !errors.Is(err, wantErr) {
		t.Fatalf("ScanSpan(%q): %v, want %v", raw, err, wantErr)
	}
	if trace, span, err := ScanIDs(raw); !errors.Is(err, wantErr) || trace != got.TraceID || span != got.SpanID {
		t.Errorf("ScanIDs(%q): %x, %x, %v", raw, trace, span, err)
	}
	if got.TraceID != TraceID(want.TraceID()) || got.SpanID != SpanID(want.SpanID()) ||
		got.ParentID != SpanID(want.ParentSpanID()) || got.Start != uint64(want.StartTimestamp()) ||
		got.End != uint64(want.EndTimestamp()) || got.Kind != int32(want.Kind()) ||
		got.Status != int32(want.Status().Code()) || got.Flags != want.Flags() || string(got.Name) != want.Name() ||
		string(got.TraceState) != want.TraceState().AsRaw() || string(got.Raw) != string(raw) {
		t.Errorf("ScanSpan(%q): got %+v, want %+v", raw, got, want)
	}
	checkAttrs(t, raw, got.Attrs, keys, want.Attributes())
}

func checkAttrs(t *testing.T, raw []byte, got []Attr, keys *KeySet, want pcommon.Map) {
	t.Helper()
	n := 0
	for k, v := range want.All() {
		if n >= len(got) {
			t.Errorf("attribute %d (%q) of %q was not read", n, k, raw)
			return
		}
		if a := got[n]; keys.Key(a.Key) != k || !sameValue(a.Value, v) {
			t.Errorf("attribute %d of %q: got %q = %+v, want %q = %v", n, raw, keys.Key(a.Key), a.Value, k, v.AsString())
		}
		n++
	}
	if n != len(got) {
		t.Errorf("%q: %d attributes, want %d", raw, len(got), n)
	}
}

func sameValue(got Value, want pcommon.Value) bool {
	w := Value{}
	switch want.Type() {
	case pcommon.ValueTypeStr:
		w = Value{Kind: ValueString, Bytes: []byte(want.Str())}
	case pcommon.ValueTypeBool:
		w.Kind = ValueBool
		if want.Bool() {
			w.Num = 1
		}
	case pcommon.ValueTypeInt:
		w = Value{Kind: ValueInt, Num: uint64(want.Int())}
	case pcommon.ValueTypeDouble:
		w = Value{Kind: ValueDouble, Num: math.Float64bits(want.Double())}
	case pcommon.ValueTypeSlice:
		w.Kind = ValueArray
	case pcommon.ValueTypeMap:
		w.Kind = ValueMap
	case pcommon.ValueTypeBytes:
		w = Value{Kind: ValueBytes, Bytes: want.Bytes().AsRaw()}
	}
	return got.Kind == w.Kind && got.Num == w.Num && string(got.Bytes) == string(w.Bytes)
}

// checkOneSpan checks everything there is to say about the bytes of one span.
func checkOneSpan(t *testing.T, raw []byte) {
	t.Helper()
	err := Validate(raw)
	checkVerdict(t, raw, shapeSpan, err)
	var s Span
	everything := NewKeySet(generatedKeys)
	shallow := ScanSpan(raw, everything, &s)
	_, _, idErr := ScanIDs(raw)
	if err != nil {
		return
	}
	var format *FormatError
	if errors.As(shallow, &format) || errors.As(idErr, &format) {
		t.Errorf("Validate accepts %q, but ScanSpan says %v, ScanIDs %v", raw, shallow, idErr)
	}
	td, err := decode(asRequest(raw, shapeSpan))
	if err != nil {
		t.Fatal(err)
	}
	checkSpan(t, raw, td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0))
}

// checkWholeRequest checks Walk and the headers it shows.
func checkWholeRequest(t *testing.T, req []byte) {
	t.Helper()
	var seen recorder
	err := Walk(req, &Scratch{}, &seen)
	if err != nil {
		if seen.resources != nil {
			t.Errorf("Walk shows something of a damaged request")
		}
		checkVerdict(t, req, shapeTracesData, err)
		return
	}
	for _, b := range seen.resources {
		err = errors.Join(err, ValidateResource(b))
	}
	for _, b := range seen.scopes {
		err = errors.Join(err, ValidateScope(b))
	}
	for _, b := range seen.spans {
		err = errors.Join(err, Validate(b))
	}
	checkVerdict(t, req, shapeTracesData, err)
	if err != nil {
		return
	}
	td, err := decode(req)
	if err != nil {
		t.Fatal(err)
	}
	var r, s, n int
	for _, rs := range td.ResourceSpans().All() {
		var names []string
		for k := range rs.Resource().Attributes().All() {
			names = append(names, k)
		}
		keys := NewKeySet(names)
		attrs, err := ScanResource(seen.resources[r], keys, nil)
		if err != nil {
			t.Errorf("ScanResource(%q): %v", seen.resources[r], err)
		}
		checkAttrs(t, seen.resources[r], attrs, keys, rs.Resource().Attributes())
		again, err := decode(asRequest(seen.resources[r], shapeResourceSpans))
		if err != nil || again.ResourceSpans().At(0).SchemaUrl() != rs.SchemaUrl() {
			t.Errorf("the resource header %q lacks the schema URL %q", seen.resources[r], rs.SchemaUrl())
		}
		for _, ss := range rs.ScopeSpans().All() {
			checkScopeHeader(t, seen.scopes[s], ss)
			for _, span := range ss.Spans().All() {
				if seen.spanScope[n] != s || seen.scopeResource[s] != r {
					t.Fatalf("span %d is in scope %d of resource %d, want %d of %d", n, seen.spanScope[n],
						seen.scopeResource[s], s, r)
				}
				checkSpan(t, seen.spans[n], span)
				n++
			}
			s++
		}
		r++
	}
	if r != len(seen.resources) || s != len(seen.scopes) || n != len(seen.spans) {
		t.Errorf("Walk shows %d resources, %d scopes, %d spans, want %d, %d, %d", len(seen.resources), len(seen.scopes),
			len(seen.spans), r, s, n)
	}
}

func checkScopeHeader(t *testing.T, header []byte, want ptrace.ScopeSpans) {
	t.Helper()
	td, err := decode(asRequest(header, shapeScopeSpans))
	if err != nil {
		t.Errorf("the scope header %q cannot be decoded: %v", header, err)
		return
	}
	got := td.ResourceSpans().At(0).ScopeSpans().At(0)
	if got.Scope().Name() != want.Scope().Name() || got.SchemaUrl() != want.SchemaUrl() || got.Spans().Len() != 0 ||
		got.Scope().Attributes().Len() != want.Scope().Attributes().Len() {
		t.Errorf("scope header %q is of another scope", header)
	}
}
