package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// span is a line of OTLP JSON: one span of one trace. Milliseconds count from a moment in 2023.
func span(trace string, name string, ms int, status int) string {
	const base = 1_700_000_000_000
	return fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[`+
		`{"traceId":%q,"spanId":"00000000000000a1","name":%q,"startTimeUnixNano":"%d000000","endTimeUnixNano":"%d000000","status":{"code":%d}}]}]}]}`+"\n",
		trace, name, base, base+ms, status)
}

const (
	fine   = "5b8efff798038103d269b633813fc60c"
	failed = "5b9efff798038103d269b633813fc60c"
	slow   = "0000000000000000d269b633813fc60c"
)

func traces() string {
	return span(fine, "GET /", 20, 0) + span(failed, "POST /pay", 30, 2) + span(slow, "GET /report", 2000, 1)
}

const judged = `sampling:
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
`

func TestEvaluate(t *testing.T) {
	input := filepath.Join(t.TempDir(), "x.jsonl")
	require.NoError(t, os.WriteFile(input, []byte(traces()), 0o600))
	config := write(t, judged)
	r := thresher(t, parts{}, "", "evaluate", "-c", config, input)
	assert.Equal(t, result{0, `TRACE ID                          VERDICT  POLICY   PROB   SPANS  DURATION  ROOT
5b8efff798038103d269b633813fc60c  dropped  -           -       1      20ms  shop  GET /
5b9efff798038103d269b633813fc60c  kept     errors      1       1      30ms  shop  POST /pay
0000000000000000d269b633813fc60c  kept     slow        1       1        2s  shop  GET /report

POLICY       DECIDES     TRACES               SPANS               BYTES    MATCHES  ALONE
errors       keep             1  33.3 %           1  33.3 %        63 B          1  1 trace, 63 B
slow         keep             1  33.3 %           1  33.3 %        65 B          1  1 trace, 65 B
(no policy)  drop             1  33.3 %           1  33.3 %        57 B

kept 2 of 3 traces (66.7 %), 2 of 3 spans (66.7 %), 128 B of 185 B (69.2 %)
`, ""}, r)

	r = thresher(t, parts{}, traces(), "evaluate", "--config", config, "--output", "totals", "-")
	assert.Equal(t, 0, r.status)
	assert.True(t, strings.HasPrefix(r.stdout, "POLICY "), r.stdout)

	r = thresher(t, parts{}, judged, "evaluate", "-c", "-", "--output", "json", input)
	assert.Equal(t, result{0, `{"trace_id":"5b8efff798038103d269b633813fc60c","decision":"dropped","policy":"","matched":[],"probability":0,"spans":1,"complete":true,"service":"shop","operation":"GET /","start":"2023-11-14T22:13:20Z","duration_ms":20,"bytes":57}
{"trace_id":"5b9efff798038103d269b633813fc60c","decision":"kept","policy":"errors","matched":["errors"],"probability":1,"spans":1,"complete":true,"service":"shop","operation":"POST /pay","start":"2023-11-14T22:13:20Z","duration_ms":30,"bytes":63}
{"trace_id":"0000000000000000d269b633813fc60c","decision":"kept","policy":"slow","matched":["slow"],"probability":1,"spans":1,"complete":true,"service":"shop","operation":"GET /report","start":"2023-11-14T22:13:20Z","duration_ms":2000,"bytes":65}
`, ""}, r)
}

// The same traces, whoever's configuration it is.
func TestEvaluateCollector(t *testing.T) {
	collector := write(t, `receivers: {otlp: {protocols: {grpc: {endpoint: "${env:ABSENT}"}}}}
processors:
  tail_sampling/a:
    num_traces: 100
    policies:
      - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  tail_sampling/b:
    policies: [{name: all, type: always_sample}]
`)
	r := thresher(t, parts{}, traces(), "evaluate", "-c", collector, "--output", "json", "-")
	assert.Equal(t, result{1, "", collector + ":3:3: there are 2 places with policies; choose one by its name or line, as in --processor 3: " +
		"processors.tail_sampling/a (line 3), processors.tail_sampling/b (line 7)\n"}, r)
	for processor, kept := range map[string]int{"tail_sampling/a": 1, "a": 1, "b": 3, "3": 1, "7": 3} {
		r = thresher(t, parts{}, traces(), "evaluate", "-c", collector, "--processor", processor, "--compat", "strict", "--output", "json", "-")
		assert.Equal(t, 0, r.status, r.stderr)
		assert.Equal(t, kept, strings.Count(r.stdout, `"kept"`), processor)
		assert.Empty(t, r.stderr, "nothing but problems, so that lines can be piped")
	}
	r = thresher(t, parts{}, traces(), "evaluate", "-c", collector, "--processor", "a", "-")
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.stderr, ":4: warning: processors.tail_sampling/a.num_traces: has no effect")
}

// compat: strict answers as the Collector does: a text is 0 to it.
func TestEvaluateStrict(t *testing.T) {
	config := write(t, "sampling: {policies: [{name: n, type: numeric_attribute, numeric_attribute: {key: size, max_value: 10}}]}\n")
	input := strings.Replace(span(fine, "x", 5, 0), `"name":"x"`, `"name":"x","attributes":[{"key":"size","value":{"stringValue":"large"}}]`, 1)
	r := thresher(t, parts{}, input, "evaluate", "-c", config, "--output", "json", "-")
	assert.Contains(t, r.stdout, `"dropped"`)
	r = thresher(t, parts{}, input, "evaluate", "-c", config, "--compat", "strict", "--output", "json", "-")
	assert.Contains(t, r.stdout, `"kept"`)
}

func TestEvaluateExplains(t *testing.T) {
	config := write(t, judged)
	explain := func(args ...string) result {
		return thresher(t, parts{}, traces(), append([]string{"evaluate", "-c", config, "-"}, args...)...)
	}
	r := explain("--explain", "5B9")
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Contains(t, r.stdout, failed+"  kept by errors\nshop  POST /pay, 1 span, 30ms\n\nYES  errors (status_code): a span with status ERROR\n")
	assert.Contains(t, r.stdout, "no   slow (latency): duration > 1000 ms\n       saw 30 ms\n")

	r = explain("--explain", "d269b633813fc60c")
	assert.Contains(t, r.stdout, slow+"  kept by slow\n", "an ID of 64 bits, as Jaeger shows it")

	r = explain("--explain", "5b8", "--output", "json")
	var line struct {
		Decision string `json:"decision"`
		Why      []struct {
			Policy string `json:"policy"`
			Passed bool   `json:"passed"`
			Saw    string `json:"saw"`
		} `json:"why"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &line))
	require.Len(t, line.Why, 2)
	assert.Equal(t, "dropped", line.Decision)
	assert.Equal(t, "20 ms", line.Why[1].Saw)

	r = explain("--explain", "5b")
	assert.Equal(t, result{1, "", "thresher: 2 traces have an ID that begins with 5b; write more of it: " + fine + ", " + failed + "\n"}, r)
	r = explain("--explain", "77")
	assert.Equal(t, result{1, "", "thresher: no trace has an ID that begins with 77; the input has 3 traces\n"}, r)
}

// Who looks for an ID in the list must see that it is not the whole list.
func TestEvaluateExplainsOneOfMany(t *testing.T) {
	var many strings.Builder
	var ids []string
	for i := range 8 {
		ids = append(ids, fmt.Sprintf("7%031x", i))
		many.WriteString(span(ids[i], "GET /", 20, 0))
	}
	r := thresher(t, parts{}, many.String(), "evaluate", "-c", write(t, judged), "-", "--explain", "7")
	assert.Equal(t, result{1, "", "thresher: 8 traces have an ID that begins with 7; write more of it: " + strings.Join(ids[:6], ", ") + " and 2 more\n"}, r)
}

// What is damaged is said, does not lose the others, and is no success.
func TestEvaluateDamagedInput(t *testing.T) {
	config := write(t, judged)
	dir := t.TempDir()
	damaged := filepath.Join(dir, "damaged.jsonl")
	require.NoError(t, os.WriteFile(damaged, []byte(span(fine, "a", 1, 0)+"{\"resourceSpans\": [\n"+strings.ReplaceAll(span(fine, "a", 1, 0), fine, "")), 0o600))
	absent := filepath.Join(dir, "absent.jsonl")
	r := thresher(t, parts{}, traces(), "evaluate", "-c", config, "--output", "json", damaged, absent, "-")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, 3, strings.Count(r.stdout, "\n"))
	assert.Equal(t, damaged+":2: this line ends in the middle of a value, so it was cut off; what it holds behind the mistake is not counted\n"+
		damaged+":3: a span is left out: span has no trace ID (absent or all zero)\n"+
		absent+": there is no such file\n", r.stderr)

	r = thresher(t, parts{}, strings.Repeat("{\n{\"data\":5}\n", 30), "evaluate", "-c", config, "-")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, 21, strings.Count(r.stderr, "\n"), "not a message for each line: %s", r.stderr)
	assert.Contains(t, r.stderr, "and 40 more problems\n")

	r = thresher(t, parts{}, "", "evaluate", "-c", config, "-")
	assert.Equal(t, result{1, "", "thresher: there are no traces in the input\n"}, r)
}

func TestEvaluateUsage(t *testing.T) {
	for line, want := range map[string]string{
		"evaluate":                           "evaluate needs files with traces: thresher evaluate -c FILE INPUT...",
		"evaluate x.jsonl":                   "evaluate needs a configuration: thresher evaluate -c FILE x.jsonl",
		"evaluate -c a b --output xml":       `--output is "xml"; write table, totals or json`,
		"evaluate -c a b --compat loose":     `--compat is "loose"; write strict, or leave it out`,
		"evaluate -c - -":                    "standard input (-) can be read only once",
		"evaluate -c a b --explain 12x":      `--explain is "12x"; write a trace ID`,
		"evaluate -c a b --explain 1" + fine: "--explain is \"1" + fine + "\"; write a trace ID",
		"test":                               "test needs files with tests: thresher test FILE...",
		"test - -":                           "standard input (-) can be read only once",
		"test x --output xml":                `--output is "xml"; write text or junit`,
		"test x --run (":                     "--run is no regular expression: ",
	} {
		r := thresher(t, parts{}, "", strings.Fields(line)...)
		assert.Equal(t, 2, r.status, line)
		assert.Empty(t, r.stdout, line)
		assert.True(t, strings.HasPrefix(r.stderr, "thresher: "+want), "%s: %s", line, r.stderr)
	}
	for _, line := range []string{"evaluate --help", "test --help"} {
		r := thresher(t, parts{}, "", strings.Fields(line)...)
		assert.Equal(t, 0, r.status)
		assert.Contains(t, r.stdout, "Exit status")
		assert.Contains(t, r.stdout, "Examples:")
		for text := range strings.Lines(r.stdout) {
			assert.LessOrEqual(t, len(strings.TrimRight(text, "\n")), 116, "%s: %s", line, text)
		}
	}
}

// Nobody should have to wonder why a force policy forces nothing.
func TestEvaluateTellsOfForcesOutOfTerm(t *testing.T) {
	const forced = `sampling:
  decision_wait: 10s
  policies:
    - {name: never, type: status_code, status_code: {status_codes: [OK]}}
    - {name: incident, type: force, force: {%s, force_sub_policy: [{type: always_sample}]}}
`
	// The traces end within 2 s from 2023-11-14T22:13:20Z on.
	for term, want := range map[string]string{
		`until: 2023-11-14T22:13:30Z`:                             `ended at 2023-11-14T22:13:30Z, and these traces are decided from 2023-11-14T22:13:30Z on, so it keeps none of them`,
		`until: 2023-11-14T22:13:31Z`:                             `ended at 2023-11-14T22:13:31Z: it keeps traces of before that here, and none that comes now`,
		`until: 2029-01-01T00:00:00Z`:                             `ended at 2029-01-01T00:00:00Z: it keeps traces of before that here, and none that comes now`,
		`until: 2031-01-01T00:00:00Z`:                             ``,
		`from: 2030-01-01T00:00:00Z, until: 2031-01-01T00:00:00Z`: `begins at 2030-01-01T00:00:00Z, and these traces are decided until 2023-11-14T22:13:33Z, so it keeps none of them`,
	} {
		path := write(t, fmt.Sprintf(forced, term))
		r := thresher(t, parts{now: clock("2030-01-01T00:00:00Z")}, traces(), "evaluate", "-c", path, "--output", "totals", "-")
		require.Equal(t, 0, r.status, r.stderr)
		if want != "" {
			want = path + `:5: warning: sampling.policies[1]: "incident" ` + want + "\n"
		}
		assert.Equal(t, want, r.stderr, term)
		r = thresher(t, parts{now: clock("2030-01-01T00:00:00Z")}, traces(), "evaluate", "-c", path, "--output", "json", "-")
		assert.Empty(t, r.stderr)
		assert.Equal(t, want != "", strings.HasPrefix(r.stdout, `{"warnings":[{"line":5,"path":"sampling.policies[1]","message":"\"incident\" `), r.stdout)
	}
}

// A condition that fails on everything is told of wherever somebody looks at what policies do.
func TestConditionsThatCannotBeEvaluated(t *testing.T) {
	const conditions = `sampling:
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: bad, type: ottl_condition, ottl_condition: {error_mode: %s, span: ['Substring(name, 4, 3) == "pay"']}}
`
	const why = "the span expression `Substring(name, 4, 3) == \"pay\"` has no answer: invalid range for substring function, start(4)+length(3) cannot be greater than " +
		"the length of target string(5)"
	for _, mode := range []string{"ignore", "silent", "propagate"} {
		path := write(t, fmt.Sprintf(conditions, mode))
		r := thresher(t, parts{}, traces(), "evaluate", "-c", path, "--output", "totals", "-")
		assert.Equal(t, 0, r.status, r.stderr)
		assert.Contains(t, r.stdout, "bad: a condition could not be evaluated for 1 trace: "+why+"\n")
		assert.NotContains(t, r.stdout, "errors: a condition")
		r = thresher(t, parts{}, traces(), "evaluate", "-c", path, "--output", "json", "-")
		assert.Contains(t, r.stdout, `"spans":1,"complete":true,"errors":["bad"],`)
		assert.Equal(t, 1, strings.Count(r.stdout, `"errors":[`))
		r = thresher(t, parts{}, traces(), "evaluate", "-c", path, "--explain", fine, "-")
		assert.Contains(t, r.stdout, fine+"  dropped, no policy matched, errors in bad\n")
		assert.Contains(t, r.stdout, "       saw an error for 1 of 1 span: "+why+"\n")

		tests := write(t, "config: "+path+"\ntests: [{name: dropped, trace: [{name: GET /}], expect: {decision: dropped}}]\n")
		r = thresher(t, parts{}, "", "test", tests)
		assert.Equal(t, result{0, "1 passed, 0 failed\n", tests + ":2: warning: dropped: a condition in bad could not be evaluated: " + why + "\n"}, r)
	}
}
