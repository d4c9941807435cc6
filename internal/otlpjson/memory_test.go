package otlpjson

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the body is, transcoding it takes the output and a little more.
func TestMemoryIsTheOutput(t *testing.T) {
	const size = 4 << 20
	for name, c := range map[string]struct{ head, unit, tail string }{
		"empty resources":     {`{"resourceSpans":[`, `{},`, `{}]}`},
		"empty scopes":        {`{"resourceSpans":[{"scopeSpans":[`, `{},`, `{}]}]}`},
		"empty spans":         {`{"resourceSpans":[{"scopeSpans":[{"spans":[`, `{},`, `{}]}]}]}`},
		"null spans":          {`{"resourceSpans":[{"scopeSpans":[{"spans":[`, `null,`, `{}]}]}]}`},
		"empty attributes":    {`{"resourceSpans":[{"resource":{"attributes":[`, `{},`, `{}]}}]}`},
		"empty links":         {`{"resourceSpans":[{"scopeSpans":[{"spans":[{"links":[`, `{},`, `{}]}]}]}]}`},
		"empty values":        {`{"resourceSpans":[{"resource":{"attributes":[{"value":{"arrayValue":{"values":[`, `{},`, `{}]}}}]}}]}`},
		"empty keys":          {`{"resourceSpans":[{"resource":{"entityRefs":[{"idKeys":[`, `"",`, `""]}]}}]}`},
		"oneof again":         {`{"resourceSpans":[{"resource":{"attributes":[{"value":{`, `"doubleValue":1,`, `"intValue":1}}]}}]}`},
		"unknown names":       {`{`, `"a":0,`, `"b":0}`},
		"unknown, long names": {`{`, `"` + strings.Repeat("n", 12<<10) + `":0,`, `"b":0}`},
		"unknown elements":    {`{"x":[`, `{},`, `{}]}`},
		"one name (error)":    {`{"`, "n", `":0}`},
		"deep name (error)":   {`{"a":{"b":{"`, "n", `":@}}}`},
		"wrong (error)":       {`{"a":{"` + strings.Repeat("n", 12<<10) + `":{"b":[`, "{},", `@}}}`},
		"string (error)":      {`{"a":"`, "ÿ", `"@`},
		"one string":          {`{"resourceSpans":[{"schemaUrl":"`, "s", `"}]}`},
		"one escaped string":  {`{"resourceSpans":[{"schemaUrl":"`, `\n`, `"}]}`},
		"one broken string":   {`{"resourceSpans":[{"schemaUrl":"`, "\xff", `"}]}`},
		"one base64":          {`{"resourceSpans":[{"resource":{"attributes":[{"value":{"bytesValue":"`, "AAAA", `"}}]}}]}`},
		"one number (error)":  {`{"resourceSpans":[{"resource":{"droppedAttributesCount":`, "9", `}}]}`},
		"one ID (error)":      {`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"`, "f", `"}]}]}]}`},
		"unfinished (error)":  {`{"resourceSpans":[`, `{"scopeSpans":[`, ``},
		"space":               {`{"resourceSpans":[`, "\n", `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(c.head + strings.Repeat(c.unit, size/len(c.unit)) + c.tail)
			grown := 0
			grow := func(b []byte, n int) ([]byte, error) {
				out := slices.Grow(b, n)
				grown += cap(out)
				return out, nil
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := Append(nil, body, grow)
			runtime.ReadMemStats(&after)
			require.Equal(t, strings.HasSuffix(name, "(error)"), err != nil, "%v", err)
			require.Less(t, int(after.TotalAlloc-before.TotalAlloc)-grown, 256<<10, "beyond what it has asked for")
			require.LessOrEqual(t, len(got.Bytes), 3*len(body))
			require.LessOrEqual(t, cap(got.Bytes), 4*len(body))
			runtime.KeepAlive(body)
		})
	}
}

func TestNoRoomEndsIt(t *testing.T) {
	full := errors.New("full")
	body, err := Append(nil, bytes.Clone([]byte(inSpan(ids))), nil)
	require.NoError(t, err)
	for limit := range len(body.Bytes) {
		_, err := Append(nil, []byte(inSpan(ids)), func(b []byte, n int) ([]byte, error) {
			if len(b)+n > limit {
				return b, full
			}
			return append(make([]byte, 0, len(b)+n), b...), nil
		})
		require.ErrorIs(t, err, full)
	}
}
