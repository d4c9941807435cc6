package otlpjson

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// Whatever the body is, transcoding it takes the output and a little more.
func TestMemoryIsTheOutput(t *testing.T) {
	const size = 1 << 20
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
			for _, reader := range []func() io.Reader{
				func() io.Reader { return bytes.NewBuffer(body) },
				func() io.Reader { return io.MultiReader(bytes.NewReader(body)) },
			} {
				from, counted := reader(), &counter{}
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got, err := Append(nil, from, counted)
				runtime.ReadMemStats(&after)
				require.Equal(t, strings.HasSuffix(name, "(error)"), err != nil, "%v", err)
				// A buffer that doubles was at all its sizes together twice what it is.
				require.Less(t, int(after.TotalAlloc-before.TotalAlloc), counted.grown+2*counted.taken+256<<10, "beyond what it has asked for")
				require.LessOrEqual(t, len(got.Bytes), 3*len(body))
				require.LessOrEqual(t, cap(got.Bytes), 4*len(body))
				if !strings.HasPrefix(name, "one ") && !strings.HasPrefix(name, "deep name") && !strings.HasPrefix(name, "string") && name != "space" {
					require.Less(t, counted.taken, 256<<10, "a body of short tokens is not held")
				}
			}
			runtime.KeepAlive(body)
		})
	}
}

// counter is memory that counts.
type counter struct{ grown, taken int }

func (c *counter) Grow(b []byte, n int) ([]byte, error) {
	// Not slices.Grow, which takes twice as much when the race detector is on.
	out := append(make([]byte, 0, max(len(b)+n, len(b)+len(b)/4)), b...)
	c.grown += cap(out)
	return out, nil
}

func (c *counter) Take(n int) error {
	c.taken += n
	return nil
}

// little is memory for an output of some bytes and a buffer of some others.
type little struct{ out, buffer int }

var errLittle = errors.New("full")

func (l *little) Grow(b []byte, n int) ([]byte, error) {
	if len(b)+n > l.out {
		return b, errLittle
	}
	return append(make([]byte, 0, len(b)+n), b...), nil
}

func (l *little) Take(n int) error {
	if l.buffer -= n; l.buffer < 0 {
		return errLittle
	}
	return nil
}

func TestNoRoomEndsIt(t *testing.T) {
	body := []byte(inSpan(ids))
	whole, err := appendBytes(nil, body)
	require.NoError(t, err)
	for limit := range len(whole.Bytes) {
		_, err := Append(nil, bytes.NewBuffer(body), &little{out: limit})
		require.ErrorIs(t, err, errLittle)
	}
	long := inSpan(`"name":"` + strings.Repeat("n", 1<<20) + `"`)
	_, err = Append(nil, strings.NewReader(long), &little{out: 4 << 20, buffer: 1 << 20})
	require.ErrorIs(t, err, errLittle)
	_, err = Append(nil, strings.NewReader(long), &little{out: 4 << 20, buffer: 8 << 20})
	require.NoError(t, err)
}

func TestErrorsOfTheReaderComeBack(t *testing.T) {
	broken := errors.New("broken")
	_, err := Append(nil, io.MultiReader(strings.NewReader(`{"resourceSpans":[`), iotest.ErrReader(broken)), unbounded{})
	require.Equal(t, broken, err)
	_, err = Append(nil, io.MultiReader(strings.NewReader(inSpan(ids)), iotest.ErrReader(broken)), unbounded{})
	require.Equal(t, broken, err)
}
