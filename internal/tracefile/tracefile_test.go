package tracefile

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/internal/wire"
)

// kept is a sink that keeps all.
type kept struct {
	all      ptrace.Traces
	names    []string
	problems []string
	refuse   error
}

func (k *kept) Traces(otlp []byte) error {
	if k.refuse != nil {
		return k.refuse
	}
	traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(otlp)
	if err != nil {
		return err
	}
	for _, r := range traces.ResourceSpans().All() {
		for _, s := range r.ScopeSpans().All() {
			for _, span := range s.Spans().All() {
				k.names = append(k.names, span.Name())
			}
		}
	}
	traces.ResourceSpans().MoveAndAppendTo(k.all.ResourceSpans())
	return nil
}

func (k *kept) Problem(p Problem) { k.problems = append(k.problems, p.Error()) }

func read(t *testing.T, content string) *kept {
	t.Helper()
	k := &kept{all: ptrace.NewTraces()}
	Read(t.Context(), "t", strings.NewReader(content), k)
	return k
}

// line is a TracesData object with a ResourceSpans for each name.
func line(names ...string) string {
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf(`{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},`+
			`"scopeSpans":[{"scope":{},"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":%q}]}]}`, name))
	}
	return `{"resourceSpans":[` + strings.Join(parts, ",") + `]}`
}

func pretty(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, []byte(text), "", "  "))
	return b.String()
}

func message(t *testing.T, names ...string) string {
	t.Helper()
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(line(names...)))
	require.NoError(t, err)
	b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	require.NoError(t, err)
	return string(b)
}

func framed(messages ...string) string {
	var b []byte
	for _, m := range messages {
		b = binary.BigEndian.AppendUint32(b, uint32(len(m)))
		b = append(b, m...)
	}
	return string(b)
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, errors.Join(err, w.Close()))
	return b.String()
}

func zstandard(t *testing.T, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return string(w.EncodeAll([]byte(text), nil))
}

// A protobuf file whose ResourceSpans has 123 bytes begins like a blank line and a brace.
func TestProtobufThatBeginsLikeJSON(t *testing.T) {
	for n := range 200 {
		m := message(t, strings.Repeat("x", n))
		k := read(t, m)
		require.Empty(t, k.problems, "%q", m)
		require.Len(t, k.names, 1)
	}
}

func TestFormats(t *testing.T) {
	both := line("a") + "\n" + line("b", "c") + "\n"
	for name, content := range map[string]string{
		"lines":                    both,
		"lines, blank lines, CRLF": "\n \r\n" + strings.ReplaceAll(both, "\n", "\r\n\r\n"),
		"lines, no end":            strings.TrimSuffix(both, "\n"),
		"lines, byte order mark":   byteOrder + both,
		"on one line":              line("a") + line("b", "c"),
		"a document":               pretty(t, line("a", "b", "c")),
		"two documents":            pretty(t, line("a")) + "\n" + pretty(t, line("b", "c")),
		"snake case":               strings.ReplaceAll(both, "resourceSpans", "resource_spans"),
		"Jaeger v3":                `{"result":` + line("a", "b", "c") + `}`,
		"protobuf":                 message(t, "a", "b", "c"),
		"protobuf, two together":   message(t, "a") + message(t, "b", "c"),
		"protobuf with lengths":    framed(message(t, "a"), "", message(t, "b", "c")),
		"JSON with lengths":        framed(line("a"), line("b", "c")),
		"the file exporter's zstd": framed(zstandard(t, line("a")), zstandard(t, message(t, "b", "c"))),
	} {
		for packing, packed := range map[string]string{"": content, " gzip": gzipped(t, content), " zstd": zstandard(t, content)} {
			k := read(t, packed)
			assert.Empty(t, k.problems, name+packing)
			assert.Equal(t, []string{"a", "b", "c"}, k.names, name+packing)
		}
	}
	for _, content := range []string{"", "\n\n", "{}", "{}\n{}", `{"resourceSpans":[]}`, `{"resourceSpans":null}`, `{"data":[],"errors":null}`, `{"result":null}`} {
		k := read(t, content)
		assert.Empty(t, k.problems, content)
		assert.Empty(t, k.names, content)
	}
}

func TestWhatIsDamagedIsReportedAndTheRestRead(t *testing.T) {
	good := line("good")
	cut := pretty(t, line("good", "good")) + pretty(t, good)[:300]
	lines := 1 + strings.Count(strings.TrimSuffix(cut, "\n"), "\n")
	for _, c := range []struct{ content, problem string }{
		{good + "\n" + good[:50] + "\n" + good, "t:2: this line ends in the middle of a value, so it was cut off; what it holds behind the mistake is not counted"},
		{good[50:] + "\n" + good + "\n" + good, "t:1: is neither OTLP"},
		{good[:50] + "\n" + good + "\n" + good, "t:1: this line ends in the middle of a value"},
		{"\n\n" + good[:50] + "\n\n" + good + "\n" + good, "t:3: this line ends in the middle of a value"},
		{good[:50] + "\n" + good[:60] + "\n" + good + "\n" + good, "t:1: this line ends in the middle of a value"},
		{good + "\n\nnonsense\n" + good, "t:3: is not JSON: invalid character 'o' in literal null"},
		{good + "\n[1]\n" + good, `t:2: is not JSON: [ where an object such as {"resourceSpans": [...]} is wanted`},
		{good + "\n5\n" + good, "t:2: is not JSON: 5 where an object"},
		{good + "\n" + strings.ReplaceAll(good, "0102030405060708", "xyz") + "\n" + good, "t:2: is not OTLP: "},
		{good + "\n" + `{"resourceSpans":{}}` + "\n" + good, `t:2: is not JSON: "resourceSpans" is an object, but an array is wanted`},
		{good + "\n" + `{"resourceSpans":5}` + "\n" + good, `t:2: is not JSON: "resourceSpans" is 5, but an array is wanted`},
		{good + "\n" + `{"resourceLogs":[]}` + "\n" + good, "t:2: holds resourceLogs, and only traces (resourceSpans) are read"},
		{good + "\n" + `{"spans":[]}` + "\n" + good, "t:2: looks like a Jaeger trace without"},
		{good + "\n" + `{"batches":[]}` + "\n" + good, "t:2: is an answer of Tempo's API in JSON"},
		{good + "\n" + `{"a":1}` + "\n" + good, `t:2: is an object with neither "resourceSpans" (OTLP) nor "data" (Jaeger)`},
		{good + "\n" + `{"resourceSpans":[` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + "]}\n" + good, "t:2: values are nested more than 416 levels deep"},
		{cut, fmt.Sprintf("t:%d: the file ends in the middle of a value, so it was cut off; the rest of the file is not read", lines)},
		{framed(message(t, "good"), "\x0a\x7fnonsense", message(t, "good")), "t: byte 76: unexpected EOF"},
		{framed(message(t, "good"), zstdMagic+"nonsense", message(t, "good")), "t: byte 76: the zstd of this message is damaged"},
		{framed(message(t, "good"), `{"resourceSpans`, message(t, "good")), "t: byte 76: this message ends in the middle"},
		{framed(message(t, "good"), message(t, "good"), message(t, "lost"))[:200], "t: byte 152: the file ends in the middle of a message, so it was cut off"},
		{framed(message(t, "good"), message(t, "good")) + "\x00", "t: byte 152: the file ends in the middle of a length"},
		{framed(message(t, "good"), message(t, "good")) + "\xff\xff\xff\xff", "t: byte 152: claims 4294967295 bytes"},
		{message(t, "good", "good", "lost")[:200], "t: byte 144: the file ends in the middle of a ResourceSpans"},
		{message(t, "good", "good") + "\x12\x00", "t: byte 144: a ResourceSpans of OTLP is expected here, but there is the byte 0x12"},
		{message(t, "good", "good") + "\x0a\xff", "t: byte 144: the file ends in the middle of a length"},
		{message(t, "good", "good") + "\x0a\xff\xff\xff\xff\xff\x01", "t: byte 144: claims 68719476735 bytes"},
	} {
		k := read(t, c.content)
		want := []string{"good", "good"}
		if strings.Contains(c.problem, "t:1: is neither") {
			want = nil
		}
		assert.Equal(t, want, k.names, "%.300q", c.content)
		if assert.NotEmpty(t, k.problems, "%.300q", c.content) {
			assert.True(t, strings.HasPrefix(k.problems[0], c.problem), "%s\nwant %s", k.problems[0], c.problem)
			assert.Len(t, k.problems, max(1, strings.Count(c.content, "\n"+good[:60]+"\n")+1), "%.300q", c.content)
		}
	}
}

func TestWhatIsNotReadAtAll(t *testing.T) {
	for content, want := range map[string]string{
		"[" + line("a") + "]":             "t:1: is a JSON array; one object a line is wanted",
		"trace_id,span_id\n1,2\n":         `t:1: is neither OTLP (JSON lines or protobuf) nor Jaeger JSON: it begins with "trace_id,span_id"`,
		"\x7fELF\x01\x01\x01\x00abc":      "t: byte 0: the file ends in the middle of a message",
		"\xff\xfe\x00\x01":                "t: is neither OTLP (JSON lines or protobuf) nor Jaeger JSON: it begins with the bytes ff fe 00 01",
		gzipMagic + "nonsense":            "t: is not the gzip that it begins like",
		zstdMagic + "nonsense":            "t: the zstd stream is damaged or cut off here",
		gzipped(t, line("a"))[:60]:        "t:1: the gzip stream is damaged or cut off here",
		zstandard(t, line("a"))[:60]:      "t: the zstd stream is damaged or cut off here",
		"{\n  \"resourceSpans\": [\n":     "t:2: the file ends in the middle of a value",
		"{\n  \"resourceSpans\": [\n  {]": "t:3: is not JSON: invalid character ']'",
	} {
		k := read(t, content)
		assert.Empty(t, k.names, "%q", content)
		if assert.Len(t, k.problems, 1, "%q", content) {
			assert.True(t, strings.HasPrefix(k.problems[0], want), "%s\nwant %s", k.problems[0], want)
		}
	}
}

func TestLinesOfADocument(t *testing.T) {
	text := "\n\n" + pretty(t, line("a", "b"))
	k := &kept{all: ptrace.NewTraces(), refuse: errors.New("no")}
	Read(t.Context(), "t", strings.NewReader(text), k)
	second := 2 + strings.Count(text[:strings.LastIndex(text, "\"resource\"")], "\n") - 2
	assert.Equal(t, []string{"t:5: no", fmt.Sprintf("t:%d: no", second)}, k.problems, "where each ResourceSpans begins")
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(line("a")), 0o600))
	k := &kept{all: ptrace.NewTraces()}
	ReadFile(t.Context(), path, nil, k)
	ReadFile(t.Context(), Stdin, strings.NewReader(line("b")+"\n5"), k)
	assert.Equal(t, []string{"a", "b"}, k.names)
	ReadFile(t.Context(), dir, nil, k)
	ReadFile(t.Context(), filepath.Join(dir, "absent"), nil, k)
	require.Len(t, k.problems, 3)
	assert.Contains(t, k.problems[0], "<stdin>:2: ")
	assert.Equal(t, []string{dir + ": is a directory; name the files in it", filepath.Join(dir, "absent") + ": there is no such file"}, k.problems[1:])
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	k := &kept{all: ptrace.NewTraces()}
	n := 0
	endless := readerFunc(func(b []byte) (int, error) {
		if n++; n == 3 {
			cancel()
		}
		return copy(b, line("a")+"\n"), nil
	})
	Read(ctx, "t", endless, k)
	assert.Empty(t, k.problems)
	assert.Less(t, len(k.names), 10)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func FuzzRead(f *testing.F) {
	good := line("a", "b")
	f.Add([]byte(good + "\n" + good))
	f.Add([]byte(good[:100] + "\n" + good))
	f.Add([]byte(jaeger))
	f.Add([]byte(framed(good, zstdMagic)))
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces([]byte(good))
	if err != nil {
		f.Fatal(err)
	}
	proto, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proto)
	f.Add([]byte(framed(string(proto), string(proto))))
	f.Fuzz(func(t *testing.T, content []byte) {
		s := &counting{t: t}
		Read(context.Background(), "t", bytes.NewReader(content), s)
		if len(bytes.TrimSpace(content)) > 0 && s.messages == 0 && s.problems == 0 && json.Valid(content) && bytes.Contains(content, []byte(`"spanId"`)) &&
			bytes.HasPrefix(content, []byte(`{"resourceSpans":[{`)) {
			t.Fatalf("neither read nor reported: %q", content)
		}
	})
}

type counting struct {
	t                  *testing.T
	messages, problems int
}

func (c *counting) Traces(otlp []byte) error {
	c.messages++
	return wire.Walk(otlp, &wire.Scratch{}, nothing{})
}

func (c *counting) Problem(p Problem) {
	if p.Msg == "" || p.File != "t" {
		c.t.Fatalf("%+v", p)
	}
	c.problems++
}

type nothing struct{}

func (nothing) Resource([]byte) error { return nil }
func (nothing) Scope([]byte) error    { return nil }
func (nothing) Span([]byte) error     { return nil }
