package ottl

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"thresher/internal/wire"
	"thresher/policies"
)

func field(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

// withInsides is the sample span and behind it a field with the given content.
func withInsides(t testing.TB, number protowire.Number, content []byte) parts {
	t.Helper()
	p := cut(t, sample())
	p.span = append(p.span, field(number, content)...)
	return p
}

// nested is an attribute that is a list of a list of a list.
func nested(depth int) []byte {
	var value []byte
	for range depth {
		value = field(5, field(1, value))
	}
	return append(field(1, []byte("deep")), field(2, value)...)
}

// Spans that the scan of the hot path accepts, because it looks at the framing only, and whose insides cannot be decoded.
func TestDamagedSpans(t *testing.T) {
	c := compiled(t, policies.Expressions{Span: []string{`true`}, SpanEvent: []string{`true`}})
	good := cut(t, sample())
	v := New().NewView()
	tests := map[string]parts{
		"attribute that is no message":   withInsides(t, 9, []byte{0xff}),
		"value of the wrong wire type":   withInsides(t, 9, append(field(1, []byte("k")), field(2, []byte{0x0d, 1, 2, 3, 4})...)),
		"event cut off":                  withInsides(t, 11, []byte{0x12, 0x05, 'a'}),
		"link with an ID of three bytes": withInsides(t, 13, field(1, []byte{1, 2, 3})),
		"values nested too deep":         withInsides(t, 9, nested(2*wire.MaxDepth)),
		"resource that is no message":    {resource: field(1, []byte{0xff}), scope: good.scope, span: good.span},
		"scope cut off":                  {resource: good.resource, scope: field(1, []byte{0x0a, 0x7f}), span: good.span},
	}
	for name, p := range tests {
		t.Run(name, func(t *testing.T) {
			var s wire.Span
			require.NoError(t, wire.ScanSpan(p.span, nil, &s))
			for range 2 {
				v.Set(p.resource, p.scope, p.span, 0)
				for range 2 {
					matched, err := c.Match(v)
					require.False(t, matched)
					require.Error(t, err)
				}
				v.Set(good.resource, good.scope, good.span, 0)
				matched, err := c.Match(v)
				require.NoError(t, err)
				require.True(t, matched)
			}
		})
	}
}

// Neither the wire package nor pdata asks texts to be UTF-8, so OTTL sees the bytes.
func TestInvalidUTF8(t *testing.T) {
	v := viewOf(t, sample(func(s ptrace.Span) {
		s.SetName("GET \xff/pay")
		s.Attributes().PutStr("bad", "\xc0\x80")
	}), 0)
	matched, err := compiled(t, about(`IsMatch(name, "^GET .*pay$") and Len(attributes["bad"]) == 2`)).Match(v)
	require.NoError(t, err)
	require.True(t, matched)
}

func TestPanicIsAnError(t *testing.T) {
	const panics = `Split(attributes["csv"], ",") == Split(attributes["csv"], ",")`
	v := viewOf(t, sample(), 0)
	matched, err := compiled(t, about(panics)).Match(v)
	require.False(t, matched)
	require.ErrorContains(t, err, "OTTL panics")

	matched, err = compiled(t, about(panics, `name == "GET /pay"`)).Match(v)
	require.True(t, matched)
	require.ErrorContains(t, err, "OTTL panics")
}

// Texts on which the library would use up the stack, or hours.
func TestDeepAndLongTexts(t *testing.T) {
	deep := func(s ptrace.Span) { s.SetName(strings.Repeat("<a>", 20_000) + strings.Repeat("</a>", 20_000)) }
	for _, text := range []string{
		`GetXML(name, "/a") == ""`, `RemoveXML(name, "/a") == ""`, `InsertXML(name, "/a", "<b/>") == ""`, `ConvertAttributesToElementsXML(name) == ""`,
		`ConvertTextToElementsXML(name) == ""`, `ParseXML(name) == nil`, `ParseSimplifiedXML(name) == nil`,
	} {
		_, err := compiled(t, about(text)).Match(viewOf(t, sample(deep), 0))
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "panics")
	}
	for text, edit := range map[string]func(ptrace.Span){
		`UserAgent(name) == nil`: func(s ptrace.Span) { s.SetName(strings.Repeat("a", maxUserAgent+1)) },
		`ParseJSON(name) == nil`: func(s ptrace.Span) { s.SetName(strings.Repeat("[", 1<<20)) },
	} {
		_, err := compiled(t, about(text)).Match(viewOf(t, sample(edit), 0))
		require.Error(t, err)
		require.Less(t, len(err.Error()), 500)
	}
}

// What an expression looks at stays as it is, also where the library hands out the very maps of the span.
func TestNothingIsChanged(t *testing.T) {
	p := cut(t, sample())
	v := New().NewView().(*view)
	v.Set(p.resource, p.scope, p.span, 0)
	require.NoError(t, v.decode())
	require.Panics(t, func() { v.span.SetName("x") })
	require.Panics(t, func() { v.span.Attributes().PutStr("x", "y") })
	require.Panics(t, func() { v.resourceSpans.Resource().Attributes().Clear() })
	require.Panics(t, func() { v.scopeSpans.Scope().SetName("x") })

	for _, text := range append(alike(), `Sort(attributes["tags"]) != nil`, `SliceToMap(attributes["tags"]) != nil`) {
		_, err := compiled(t, about(text)).Match(v)
		require.NoError(t, err, text)
	}
	back := ptrace.NewTraces()
	rs := back.ResourceSpans().AppendEmpty()
	v.resourceSpans.CopyTo(rs)
	ss := rs.ScopeSpans().AppendEmpty()
	v.scopeSpans.CopyTo(ss)
	v.span.CopyTo(ss.Spans().AppendEmpty())
	require.Equal(t, p, cut(t, back))
}

func FuzzMatch(f *testing.F) {
	p := cut(f, sample())
	f.Add(p.resource, p.scope, p.span)
	f.Add([]byte{}, []byte{}, withInsides(f, 9, nested(10)).span)
	f.Add(p.scope, p.span, p.resource)
	c := compiled(f, policies.Expressions{
		Span:      []string{`attributes["a"] == 1`, `resource.attributes["b"]["c"] == scope.name`, `String(attributes) == ""`, `Len(links) == 77`},
		SpanEvent: []string{`attributes["a"] == span.status.message`, `Concat(Keys(attributes), "") == "zz"`},
	})
	v := New().NewView()
	f.Fuzz(func(t *testing.T, resource, scope, span []byte) {
		v.Set(resource, scope, span, 0)
		matched, err := c.Match(v)
		v.Set(resource, scope, span, 0)
		again, errAgain := c.Match(v)
		if matched != again || (err == nil) != (errAgain == nil) {
			t.Fatal("another answer the second time")
		}
		if err == nil && wire.Validate(span) != nil {
			t.Fatal("a damaged span has an answer")
		}
	})
}
