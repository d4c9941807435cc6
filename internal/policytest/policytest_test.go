package policytest

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/internal/wire"
)

func getenv(name string) (string, bool) { return "ERROR", name == "STATUS" }

// run runs all tests of a file and returns what a person reads.
func run(t testing.TB, f *File) string {
	t.Helper()
	var b bytes.Buffer
	for i := range f.Tests {
		outcome, err := f.Run(t.Context(), &f.Tests[i])
		require.NoError(t, err)
		if outcome.Passed() {
			fmt.Fprintf(&b, "ok    %s\n", outcome.Test.Name)
		} else {
			require.NoError(t, outcome.WriteText(&b, f.Name))
		}
	}
	return b.String()
}

// TestScenarios runs the files in testdata/scenarios: `test` runs a file of tests, or lists its mistakes; `traces` shows the
// spans that the tests of a file give.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, cmd *datadriven.TestData) string {
			file := filepath.Join("testdata", "t.yaml") // paths begin here
			f, err := loadText(t, file, cmd.Input)
			if err != nil {
				return strings.ReplaceAll(err.Error(), "testdata"+string(filepath.Separator), "")
			}
			switch cmd.Cmd {
			case "test":
				return run(t, f)
			case "traces":
				return show(t, f)
			}
			t.Fatalf("unknown command %q", cmd.Cmd)
			return ""
		})
	})
}

// loadText loads a text as if it were in a file.
func loadText(t testing.TB, path, text string) (*File, error) {
	t.Helper()
	f, err := load(path, []byte(text), Options{Getenv: getenv})
	if f != nil {
		f.Name = filepath.Base(f.Name)
	}
	return f, err
}

func show(t testing.TB, f *File) string {
	t.Helper()
	var b strings.Builder
	for i := range f.Tests {
		for _, m := range f.Tests[i].messages {
			traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(m)
			require.NoError(t, err)
			for _, rs := range traces.ResourceSpans().All() {
				for _, ss := range rs.ScopeSpans().All() {
					for _, s := range ss.Spans().All() {
						fmt.Fprintf(&b, "%v %v<%v %q kind=%v status=%v/%s %v..%v flags=%d state=%q scope=%q\n  resource %v\n  attributes %v\n",
							s.TraceID(), s.SpanID(), s.ParentSpanID(), s.Name(), s.Kind(), s.Status().Code(), s.Status().Message(),
							s.StartTimestamp().AsTime().Sub(epoch), s.EndTimestamp().AsTime().Sub(epoch), s.Flags(), s.TraceState().AsRaw(), ss.Scope().Name(),
							rs.Resource().Attributes().AsRaw(), s.Attributes().AsRaw())
						for _, e := range s.Events().All() {
							fmt.Fprintf(&b, "  event %q at %v %v\n", e.Name(), e.Timestamp().AsTime().Sub(epoch), e.Attributes().AsRaw())
						}
					}
				}
			}
		}
	}
	return b.String()
}

// What is in deploy must hold of what is in deploy.
func TestDeployedPolicies(t *testing.T) {
	files, err := filepath.Glob("../../deploy/*_test.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		f, err := Load(path, nil, Options{Getenv: func(string) (string, bool) { return "", false }})
		require.NoError(t, err)
		for line := range strings.Lines(run(t, f)) {
			assert.True(t, strings.HasPrefix(line, "ok    "), line)
		}
		covered := map[string]bool{}
		for _, test := range f.Tests {
			for _, e := range append(test.expected, expectation{}) {
				if e.policy != nil {
					covered[*e.policy] = true
				}
			}
			if test.rest != nil && test.rest.policy != nil {
				covered[*test.rest.policy] = true
			}
		}
		for _, name := range f.Policies.Plan.Names() {
			assert.True(t, covered[name], "no test of %s is about the policy %s", path, name)
		}
	}
}

// Tests that must fail: each expectation of the example, turned around.
func TestExpectationsCanFail(t *testing.T) {
	text, err := os.ReadFile("../../deploy/policies_test.yaml")
	require.NoError(t, err)
	turned := 0
	for _, change := range [][2]string{{"decision: dropped", "decision: kept"}, {"decision: kept", "decision: dropped"}, {"policy: errors", "policy: slow"},
		{"policy: slow", "policy: errors"}, {"matched: []", "matched: [slow]"}, {"matched: [errors]", "matched: [errors, slow]"},
		{"probability: 0.01", "probability: 0.011"}, {"complete: true", "complete: false"}, {"complete: false", "complete: true"}} {
		rest := string(text)
		for at := strings.Index(rest, change[0]); at >= 0; at = strings.Index(rest, change[0]) {
			changed := string(text[:len(text)-len(rest)]) + rest[:at] + change[1] + rest[at+len(change[0]):]
			rest = rest[at+len(change[0]):]
			if strings.Contains(changed, "dropped, policy: baseline, probability") || strings.Contains(changed, "dropped, policy: errors, matched: [errors], probability") {
				continue // which is refused
			}
			f, err := loadText(t, "../../deploy/x.yaml", changed)
			require.NoError(t, err)
			assert.Equal(t, 1, strings.Count(run(t, f), "FAIL"), "%s instead of %s", change[1], change[0])
			turned++
		}
	}
	assert.Greater(t, turned, 15)
}

func TestDrawn(t *testing.T) {
	seen := map[wire.TraceID]bool{}
	for i := range 100 {
		for _, win := range []bool{true, false} {
			id := drawn(i, win)
			assert.False(t, seen[id])
			seen[id] = true
		}
	}
	for share, want := range map[string]string{"0.1": "dropped", "99.9": "dropped", "100": "kept"} {
		f, err := loadText(t, "t.yaml", "policies: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: "+share+"}}]\n"+
			"tests: [{name: a, trace: [{name: x}], expect: {decision: "+want+"}}, {name: b, draw: win, trace: [{name: x}], expect: {decision: kept}}]")
		require.NoError(t, err)
		assert.Equal(t, "ok    a\nok    b\n", run(t, f), share)
	}
}

func TestJUnit(t *testing.T) {
	f, err := loadText(t, "t.yaml", "policies: [{name: p, type: always_sample}]\ntests:\n- {name: a <b>, trace: [{name: x}], expect: {decision: kept}}\n"+
		"- {name: b, trace: [{name: x}], expect: {decision: dropped}}\n")
	require.NoError(t, err)
	var outcomes []Outcome
	for i := range f.Tests {
		o, err := f.Run(t.Context(), &f.Tests[i])
		require.NoError(t, err)
		outcomes = append(outcomes, o)
	}
	var j JUnit
	j.Add("t.yaml", outcomes)
	j.AddMistakes("u.yaml", context.Canceled)
	var b bytes.Buffer
	require.NoError(t, j.Write(&b))
	var read JUnit
	require.NoError(t, xml.Unmarshal(b.Bytes(), &read))
	require.Len(t, read.Suites, 2)
	s := read.Suites[0]
	assert.Equal(t, [3]int{2, 1, 0}, [3]int{s.Tests, s.Failures, s.Errors})
	assert.Equal(t, "a <b>", s.Cases[0].Name)
	assert.Nil(t, s.Cases[0].Failure)
	assert.Equal(t, "decision: expected dropped, got kept", s.Cases[1].Failure.Message)
	assert.Contains(t, s.Cases[1].Failure.Text, "YES  p (always_sample)")
	assert.Equal(t, 1, read.Suites[1].Errors)
	assert.Contains(t, b.String(), xml.Header)
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p_test.yaml")
	require.NoError(t, os.WriteFile(path, []byte("config: c.yaml\ntests: [{name: a, trace: [{name: x}], expect: {policy: b}}, {nam: c}]\n"), 0o600))
	_, err := Load(path, nil, Options{Getenv: getenv})
	require.ErrorContains(t, err, filepath.Join(dir, "c.yaml")+": there is no such file")
	require.ErrorContains(t, err, path+`:2:62: tests[1].nam: unknown key; did you mean "name"?`, "the mistakes of both")

	other := filepath.Join(dir, "other.yaml")
	require.NoError(t, os.WriteFile(other, []byte("sampling: {policies: [{name: b, type: always_sample}]}\n"), 0o600))
	in := strings.NewReader("config: c.yaml\ntests: [{name: a, trace: [{name: x}], expect: {policy: b}}]\n")
	f, err := Load("-", in, Options{Getenv: getenv, Config: other})
	require.NoError(t, err)
	assert.Equal(t, "<stdin>", f.Name)
	assert.Equal(t, "ok    a\n", run(t, f))
}

func FuzzLoad(f *testing.F) {
	text, err := os.ReadFile("../../deploy/policies_test.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(strings.ReplaceAll(string(text), "config: thresher.yaml", "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]"))
	f.Add("policies: [{name: p, type: always_sample}]\ntests: [{name: a, otlp: '{\"resourceSpans\":[]}', traces: [{trace_id: 1, expect: {decision: kept}}]}]")
	f.Add("policies: [{name: p, type: always_sample}]\ntests: [{name: a, trace: &a [{count: 3, children: *a}], expect: {matched: [p]}}]")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "config") || strings.Contains(text, "count") && len(text) > 300 {
			return // files, and too many spans for a fuzzer
		}
		file, err := load("t.yaml", []byte(text), Options{Getenv: getenv})
		if (file == nil) != (err != nil) {
			t.Fatalf("%v and %v", file, err)
		}
		if file != nil {
			_ = run(t, file)
		}
	})
}
