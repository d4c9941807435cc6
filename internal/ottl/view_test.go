package ottl

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A span is decoded when the first condition asks, and once for all of them.
func TestDecodesOnce(t *testing.T) {
	p := cut(t, sample())
	v := newView()
	v.Set(p.resource, p.scope, p.span, 0)
	require.False(t, v.decoded)
	first, second := compiled(t, about(`name == "x"`)), compiled(t, about(`name == "GET /pay"`))
	_, err := first.Match(v)
	require.NoError(t, err)
	require.True(t, v.decoded)
	v.raw = nil // it is not read again
	matched, err := second.Match(v)
	require.NoError(t, err)
	require.True(t, matched)
}

// A view without span is one of an empty span.
func TestEmptyView(t *testing.T) {
	matched, err := compiled(t, about(`name == "" and resource.attributes["service.name"] == nil`)).Match(New().NewView())
	require.NoError(t, err)
	require.True(t, matched)
}

// The bytes given to Set may be overwritten after the next Set; what is kept of headers must not alias them.
func TestHeadersAreCopied(t *testing.T) {
	c := compiled(t, about(`resource.attributes["service.name"] == "checkout" and scope.name == "my-scope"`))
	p := cut(t, sample())
	v := New().NewView()
	resource, scope := bytes.Clone(p.resource), bytes.Clone(p.scope)
	match := func() bool {
		t.Helper()
		v.Set(resource, scope, p.span, 0)
		matched, err := c.Match(v)
		require.NoError(t, err)
		return matched
	}
	require.True(t, match())
	overwrite(t, resource, "checkout", "payments")
	require.False(t, match())
	copy(resource, p.resource)
	require.True(t, match())
	overwrite(t, scope, "my-scope", "no-scope")
	require.False(t, match())
}

// overwrite puts one text in the place of another of the same length.
func overwrite(t *testing.T, b []byte, was, is string) {
	t.Helper()
	at := bytes.Index(b, []byte(was))
	require.GreaterOrEqual(t, at, 0)
	require.Equal(t, len(is), copy(b[at:at+len(was)], is))
}

func TestHeaders(t *testing.T) {
	reads := 0
	errOdd := errors.New("odd")
	h := headers[string]{read: func(b []byte) (string, error) {
		reads++
		if len(b)%2 == 1 {
			return "", errOdd
		}
		return string(b), nil
	}}
	get := func(s string) {
		t.Helper()
		got, err := h.get([]byte(s))
		if len(s)%2 == 1 {
			require.ErrorIs(t, err, errOdd)
			return
		}
		require.NoError(t, err)
		require.Equal(t, s, got)
		require.Equal(t, s, string(h.kept[0].raw))
	}
	for range 3 {
		for i := range maxHeaders {
			get(fmt.Sprintf("%02d", i))
		}
	}
	require.Equal(t, maxHeaders, reads)
	get("odd")
	get("odd")
	require.Equal(t, maxHeaders+1, reads)
	require.Len(t, h.kept, maxHeaders)
	get("01") // kept
	require.Equal(t, maxHeaders+1, reads)
	get("00") // was used the longest ago
	require.Equal(t, maxHeaders+2, reads)

	large := string(make([]byte, maxHeaderBytes-100))
	get(large)
	require.LessOrEqual(t, h.bytes, maxHeaderBytes)
	huge := string(make([]byte, 2*maxHeaderBytes))
	get(huge)
	require.Len(t, h.kept, 1)
	before := reads
	get(huge)
	require.Equal(t, before, reads)
	get("zz")
	require.Len(t, h.kept, 1)
	require.Equal(t, 2, h.bytes)
}
