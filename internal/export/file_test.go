package export

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

func fileTo(path string, more map[string]any) map[string]any {
	settings := map[string]any{"path": path, "batch_timeout": "1ms", "retry_on_failure": fast()}
	for k, v := range more {
		settings[k] = v
	}
	return map[string]any{"file/cold": settings}
}

// readLines decodes every line of a file and returns the names of the first spans.
func readLines(t testing.TB, path string) (names []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, len(data) == 0 || data[len(data)-1] == '\n')
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(lines.Bytes())
		require.NoError(t, err, lines.Text())
		if traces.SpanCount() == 0 {
			names = append(names, "")
			continue
		}
		names = append(names, traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name())
	}
	require.NoError(t, lines.Err())
	return names
}

// write runs items through a file exporter.
func write(t testing.TB, exporters map[string]any, list []Item) {
	t.Helper()
	l := newLedger()
	d := start(t, exporters, l, nil)
	d.Submit(list)
	l.waitAcks(t, len(list))
	require.NoError(t, d.Shutdown(context.Background()))
}

func TestFileWritesJSONLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "traces.jsonl")
	write(t, fileTo(path, map[string]any{"create_directory": true}), items(t, 0, 2))
	require.Equal(t, []string{"GET /0", "GET /1"}, readLines(t, path))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	golden := filepath.Join("testdata", "traces.jsonl")
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	write(t, fileTo(path, nil), items(t, 2, 1))
	require.Equal(t, []string{"GET /0", "GET /1", "GET /2"}, readLines(t, path), "appends")
}

func TestFileAfterACrash(t *testing.T) {
	for name, tail := range map[string]struct {
		text  string
		stays string
	}{
		"part of a line":            {`{"resourceSpans":[{"resource":{"attr`, ""},
		"first byte":                {`{`, ""},
		"line without its break":    {`{"resourceSpans":[]}`, ""},
		"hole after a power cut":    {"\x00\x00\x00\x00", ""},
		"somebody else's last line": {`{"other":1}`, `{"other":1}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "traces.jsonl")
			write(t, fileTo(path, nil), items(t, 0, 3))
			whole, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, append(whole, tail.text...), 0o600))
			write(t, fileTo(path, nil), items(t, 3, 1))
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			rest, ok := strings.CutPrefix(string(after), string(whole)+tail.stays)
			require.True(t, ok, "what was whole stays")
			require.True(t, strings.HasPrefix(rest, `{"resourceSpans":[{`))
			require.Equal(t, 1, strings.Count(rest, "\n"))
			if tail.stays == "" {
				require.Len(t, readLines(t, path), 4)
			}
		})
	}
}

func TestFileRotates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "traces.jsonl")
	unrelated := filepath.Join(dir, "traces-notes.jsonl")
	require.NoError(t, os.WriteFile(unrelated, nil, 0o600))
	old := filepath.Join(dir, "traces-2020-01-02T03-04-05.000.jsonl")
	require.NoError(t, os.WriteFile(old, nil, 0o600))
	list := make([]Item, 12)
	for i := range list {
		list[i] = Item{Partition: 7, Seq: uint64(i), TraceID: traceID(i), Payload: payload(t, i, 800), Spans: 800}
	}
	settings := fileTo(path, map[string]any{"rotation": map[string]any{"max_megabytes": 1, "max_backups": 3}, "max_batch_traces": 1})
	write(t, settings, list)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	total := 0
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.LessOrEqual(t, info.Size(), int64(1<<20))
		total += len(readLines(t, f))
	}
	require.Len(t, files, 1+3+1, "the file, three older, the unrelated: %v", files)
	require.NotContains(t, files, old)
	require.Contains(t, files, unrelated)
	require.Equal(t, 12, total, "three to a file, none lost")
}

func TestFileThatCannotBeWritten(t *testing.T) {
	cfg, err := ParseConfig(fileTo(t.TempDir(), nil))
	require.NoError(t, err)
	routes, err := ParseRoutes(nil, cfg)
	require.NoError(t, err)
	d, err := New(cfg, routes, Options{})
	require.NoError(t, err)
	require.ErrorContains(t, d.Start(context.Background()), "exporter file/cold: open")
	require.NoError(t, d.Shutdown(context.Background()))

	missing := filepath.Join(t.TempDir(), "data")
	cfg, err = ParseConfig(fileTo(filepath.Join(missing, "dropped.jsonl"), nil))
	require.NoError(t, err)
	d, err = New(cfg, routes, Options{})
	require.NoError(t, err)
	err = d.Start(context.Background())
	require.ErrorContains(t, err, "there is no directory "+missing)
	require.ErrorContains(t, err, "create_directory: true")
}

// A write that fails half way leaves whole lines behind, and the exporter recovers by itself.
func TestFileRecoversFromAFailedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.jsonl")
	s, err := openFile(&FileConfig{Path: path}, (&logBuffer{}).logger())
	require.NoError(t, err)
	send := func(n int) outcome {
		return s.send(context.Background(), newBatch([]*entry{{Item: items(t, n, 1)[0]}}))
	}
	require.Equal(t, accepted, send(0).verdict)
	require.NoError(t, s.file.Close()) // the disk goes away
	out := send(1)
	require.Equal(t, again, out.verdict)
	require.Equal(t, kindIO, out.kind)
	require.Equal(t, accepted, send(1).verdict)
	require.NoError(t, s.close())
	require.Equal(t, []string{"GET /0", "GET /1"}, readLines(t, path))
}

func TestFileRefusesGarbageAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traces.jsonl")
	l := newLedger()
	d := start(t, fileTo(path, map[string]any{"batch_timeout": "1s", "max_batch_traces": 4}), l, nil)
	list := items(t, 0, 4)
	list[2].Payload = []byte{0x0a, 0xff}
	d.Submit(list)
	l.waitAcks(t, 4)
	l.once(t, 4)
	require.Len(t, l.rejections(), 1)
	require.Equal(t, []string{"GET /0", "GET /1", "GET /3"}, readLines(t, path))
}

func TestPruneByAge(t *testing.T) {
	dir := t.TempDir()
	s := &fileSender{cfg: &FileConfig{Path: filepath.Join(dir, "a.jsonl"), Rotation: &FileRotation{MaxDays: 2}}}
	now := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	for _, name := range []string{"a-2026-03-09T00-00-00.000.jsonl", "a-2026-03-07T23-00-00.000.jsonl", "a-b.jsonl"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	require.NoError(t, s.prune(now))
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "a-2026-03-09T00-00-00.000.jsonl"), filepath.Join(dir, "a-b.jsonl")}, files)
}
