package wire

import (
	"errors"
	"slices"
	"testing"
)

// trail writes down what Walk shows, one word a call.
type trail struct {
	words []string
	stop  *string
}

var errStop = errors.New("stop")

func (v *trail) add(word string) error {
	v.words = append(v.words, word)
	if v.stop != nil && word == *v.stop {
		return errStop
	}
	return nil
}

func (v *trail) Resource(header []byte) error { return v.add("R" + string(header)) }
func (v *trail) Scope(header []byte) error    { return v.add("S" + string(header)) }
func (v *trail) Span(raw []byte) error        { return v.add(string(raw)) }

func TestWalk(t *testing.T) {
	resource, scope, url := text(1, "r"), text(1, "s"), text(3, "u")
	unknown, deprecated := text(9, "x"), "\xc2\x3e\x01d"
	a, b := text(2, "a"), text(2, "b")
	tests := []struct {
		name string
		req  string
		want []string
	}{
		{"nothing", "", nil},
		{"only unknown fields", text(2, "x") + "\x18\x01", nil},
		{"empty resource", text(1, ""), []string{"R"}},
		{"resource without scopes", text(1, resource), []string{"R" + resource}},
		{"empty scope", text(1, resource+text(2, "")), []string{"R" + resource, "S"}},
		{"forward", text(1, resource+text(2, scope+a+b+url)+url), []string{"R" + resource + url, "S" + scope + url, "a", "b"}},
		{"backward", text(1, url+text(2, url+a+b+scope)+resource), []string{"R" + url + resource, "S" + url + scope, "a", "b"}},
		{"scope behind", text(1, text(2, a+b+scope)+resource), []string{"R" + resource, "S" + scope, "a", "b"}},
		{"scope before", text(1, resource+text(2, scope+url+a+b)), []string{"R" + resource, "S" + scope + url, "a", "b"}},
		{"scope between", text(1, text(2, a+scope+b)), []string{"R", "S" + scope, "a", "b"}},
		{"all over", text(1, text(2, unknown+a+scope+b+url+a+unknown)), []string{"R", "S" + unknown + scope + url + unknown, "a", "b", "a"}},
		{
			"several, some without spans",
			text(1, resource+text(2, scope+a)+text(2, b)+text(2, url)) + text(1, url+text(2, b+scope)),
			[]string{"R" + resource, "S" + scope, "a", "S", "b", "S" + url, "R" + url, "S" + scope, "b"},
		},
		{
			"unknown and deprecated fields stay in the header",
			text(1, deprecated+text(2, a)+resource+unknown),
			[]string{"R" + deprecated + resource + unknown, "S", "a"},
		},
		{"tags in two bytes", "\x8a\x00\x06\x92\x00\x03\x92\x00\x00", []string{"R", "S", ""}},
		{"empty span", text(1, text(2, text(2, ""))), []string{"R", "S", ""}},
		{"damaged span", text(1, text(2, text(2, "\xff")+a)), []string{"R", "S", "\xff", "a"}},
	}
	var scratch Scratch
	for _, tt := range tests {
		var v trail
		if err := Walk([]byte(tt.req), &scratch, &v); err != nil || !slices.Equal(v.words, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, v.words, err, tt.want)
		}
		for i, word := range tt.want {
			v := trail{stop: &word}
			err := Walk([]byte(tt.req), &scratch, &v)
			if !errors.Is(err, errStop) || len(v.words) > i+1 {
				t.Errorf("%s: stopped at %q: got %q, %v", tt.name, word, v.words, err)
			}
		}
	}
}

// Every cut of a request is either refused before anything is shown, or ends between two fields of the top level.
func TestWalkOfTruncatedRequests(t *testing.T) {
	req := marshal(t, sampleTraces(5, 2, 2, 2))
	whole := 0
	for n := range req {
		var v trail
		err := Walk(req[:n], &Scratch{}, &v)
		if err != nil && (v.words != nil || !errors.Is(err, ErrTruncated)) {
			t.Errorf("cut at %d: %v, shown %d", n, err, len(v.words))
		}
		if err == nil {
			whole++
		}
	}
	if whole != 2 {
		t.Errorf("%d cuts are accepted, want 2", whole)
	}
}

func TestWalkErrors(t *testing.T) {
	good := text(1, text(2, text(2, "a")))
	tests := []struct {
		name, req string
		want      error
	}{
		{"resource_spans as varint", "\x08\x01", ErrWireType},
		{"scope_spans as varint", text(1, "\x10\x01"), ErrWireType},
		{"span as varint", text(1, text(2, "\x10\x01")), ErrWireType},
		{"span longer than its scope", text(1, text(2, "\x12\x02a")), ErrTruncated},
		{"scope longer than its resource", text(1, "\x12\x02a"), ErrTruncated},
		{"resource longer than the request", "\x0a\x02a", ErrTruncated},
		{"claim of 2^62 bytes", "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x40", ErrTruncated},
		{"header cut off", text(1, "\x0a\x02a"), ErrTruncated},
		{"group", text(1, "\x0b\x0c"), ErrGroup},
		{"field 0", "\x00\x00", ErrFieldNumber},
	}
	for _, tt := range tests {
		var v trail
		err := Walk([]byte(good+tt.req), &Scratch{}, &v)
		if !errors.Is(err, tt.want) || v.words != nil {
			t.Errorf("%s: %v, want %v; shown: %q", tt.name, err, tt.want, v.words)
		}
	}
}

// Headers that are not contiguous are copied; each must stay as it is until the end of the walk.
func TestWalkHeadersStay(t *testing.T) {
	req := forward(t, marshal(t, sampleTraces(200, 2, 10, 10)), shapeTracesData)
	var r recorder
	var scratch Scratch
	if err := Walk(req, &scratch, &r); err != nil {
		t.Fatal(err)
	}
	for i, h := range r.resources {
		td, err := decode(asRequest(h, shapeResourceSpans))
		if err != nil {
			t.Fatal(err)
		}
		rs := td.ResourceSpans().At(0)
		if pid, _ := rs.Resource().Attributes().Get("process.pid"); pid.Int() != int64(1000+i) || rs.SchemaUrl() == "" {
			t.Errorf("resource header %d is of process %d", i, pid.Int())
		}
	}
	if allocs := testing.AllocsPerRun(5, func() {
		if err := Walk(req, &scratch, &countVisitor{}); err != nil {
			t.Fatal(err)
		}
	}); allocs > 1 { // the visitor
		t.Errorf("%v allocations", allocs)
	}
}
