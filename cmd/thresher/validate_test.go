package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"thresher/internal/config"
)

// moot has policies that make no difference, one that has ended, and one of each shape of the table.
const moot = `kafka: {brokers: [k:9092], spans: {partitions: 1}}
exporters: {debug: }
sampling:
  num_traces: 5
  compat: strict
  reasons: off
  thresholds: false
  rescue_on: [{name: late-errors, type: status_code, status_code: {status_codes: [ERROR]}}]
  policies:
    - {name: probes, type: drop, drop: {drop_sub_policy: [{type: trace_flags}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - name: incident
      type: force
      force: {until: "2026-03-29T14:00:00Z", force_sub_policy: [{name: acme, type: string_attribute, string_attribute: {key: customer, values: [acme]}}]}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
    - {name: very-slow, type: latency, latency: {threshold_ms: 2000}}
    - {name: salted, type: probabilistic, probabilistic: {sampling_percentage: 10, hash_salt: a}}
    - name: a-policy-with-a-rather-long-name
      type: ottl_condition
      ottl_condition: {error_mode: ignore, span: ['attributes["http.route"] == "/pay" and attributes["amount"] > 1000', 'name == "a name without any space that does not fit into a line of the table, however long it may be, and whatever it says"']}
`

func TestValidateShowsPolicies(t *testing.T) {
	r := thresher(t, parts{now: clock("2026-03-29T13:59:59Z")}, moot, "validate", "-")
	require.Equal(t, 0, r.status, r.stderr)
	assert.Equal(t, `<stdin>: ok
  receives  nothing itself; others write the topic
  log       k:9092, topic thresher.spans, 1 partition
  sampling  decides 30s after the first span; late spans follow the decision for 30s
            answers as the Collector does, also where Thresher has better ones (compat: strict)
  policies  probes                    drop              drop if all of these
              trace_flags                               a span with the sampled flag
            errors                    status_code       a span with status ERROR
            incident                  force             all of these, until 2026-03-29T14:00:00Z
              acme                    string_attribute  "customer" is "acme"
            slow                      latency           duration > 1000 ms
            very-slow                 latency           duration > 2000 ms
            salted                    probabilistic     10 % of trace IDs hashed with "a"
            a-policy-with-a-rather-…  ottl_condition    span: attributes["http.route"] == "/pay" and
                                                        attributes["amount"] > 1000 or span: name == "a name without
                                                        any space that does not fit into a line of the table, …
  rescues   dropped traces for late spans that match: late-errors
  writes    nothing: kept spans go out as they came
  kept      to debug
  node      health, metrics and status on http://127.0.0.1:8080
`, r.stdout)
	for line := range strings.Lines(r.stdout) {
		assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSpace(line)), 116, line)
	}
	assert.NotContains(t, r.stderr, "incident", "it has not ended")
}

func TestValidateWarnsInTheOrderOfLines(t *testing.T) {
	r := thresher(t, parts{now: clock("2026-03-29T14:00:00Z")}, moot, "validate", "-")
	require.Equal(t, 0, r.status, "warnings are no mistakes")
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	require.Len(t, lines, 3, r.stderr)
	assert.Contains(t, lines[0], "<stdin>:4: warning: sampling.num_traces: has no effect")
	assert.Equal(t, `<stdin>:12: warning: sampling.policies[2]: "incident" ended at 2026-03-29T14:00:00Z, so it keeps nothing any more; `+
		`remove it, or write a later until`, lines[1])
	assert.Contains(t, lines[2], `<stdin>:16: warning: sampling.policies[4]: "very-slow" makes no difference`)
}

func TestRunLogsWarningsOnce(t *testing.T) {
	do := parts{now: clock("2027-01-01T00:00:00Z"), run: func(context.Context, *config.Config, *slog.Logger) error { return nil }}
	r := thresher(t, do, moot, "run", "-c", "-")
	require.Equal(t, 0, r.status, r.stderr)
	for _, once := range []string{`key=sampling.policies[2] line=12`, `key=sampling.policies[4] line=16`, "sampling.num_traces"} {
		assert.Equal(t, 1, strings.Count(r.stderr, once), "%s in\n%s", once, r.stderr)
	}
	assert.Equal(t, 3, strings.Count(r.stderr, "\n"), r.stderr)
}

func clock(at string) func() time.Time {
	return func() time.Time {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			panic(err) // it is written in this file
		}
		return now
	}
}

// A file with nothing but policies is checked as far as it goes, whoever's it is, and is told what it lacks.
func TestValidatePoliciesOnly(t *testing.T) {
	const all = "{num_traces: 5, policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]}"
	table := func(root string) string {
		return `  sampling  decides 30s after the first span` + root + `; late spans follow the decision for 30s
  policies  errors  status_code  a span with status ERROR
  writes    thresher.policy and thresher.probability on root spans, the probability (ot=th) into tracestates
Nothing but `
	}
	const needs = ` was checked. "thresher evaluate" and "thresher test" can use the file as it is; "thresher run" needs:` + "\n"
	for about, c := range map[string]struct {
		text, out string
		errs      []string
	}{
		"only the section": {"sampling: " + all + "\n", "<stdin>: the policies are ok\n" + table("") + "sampling (line 1)" + needs +
			"  <stdin>:1:1: exporters: this section is missing; write exporters: {otlp_grpc: {endpoint: backend:4317}}\n" +
			"  <stdin>:1:1: kafka: this section is missing; write kafka: {brokers: [kafka:9092]}\n",
			[]string{"<stdin>:1: warning: sampling.num_traces: has no effect"}},
		"a Collector's": {"processors: {batch: {}, tail_sampling: " + all + "}\nexporters: {otlp: {endpoint: \"${env:ABSENT}\"}}\n",
			"<stdin>: the policies are ok\n" + table("") + "processors.tail_sampling (line 1)" + needs +
				"  <stdin>:1:1: kafka: this section is missing; write kafka: {brokers: [kafka:9092]}\n" +
				"  <stdin>:1:1: processors: this is a section of an OpenTelemetry Collector; move what is below tail_sampling (line 1) to a section `sampling:` " +
				"at the left margin, as it is, and remove `processors:`; batch: not here, leave such work to a Collector in front (batching and memory limits are built in)\n" +
				"  <stdin>:2:30: exporters.otlp.endpoint: the environment variable ABSENT is not set; set it, or give a default: ${env:ABSENT:-value}\n",
			[]string{"<stdin>:1: warning: processors.tail_sampling.num_traces: has no effect"}},
		"a ConfigMap, rendered": {"kind: ServiceAccount\n---\nkind: ConfigMap\ndata:\n  relay: |\n    processors:\n      tail_sampling: " + all + "\n",
			"<stdin>: the policies are ok\n" + table("") + "data.relay.processors.tail_sampling (line 7)" + needs +
				"  <stdin>:7: write a configuration with the sections kafka, exporters and sampling, and put what is below data.relay.processors.tail_sampling " +
				"into the last, as it is; deploy/thresher.yaml is one\n",
			[]string{"<stdin>:7: warning: data.relay.processors.tail_sampling.num_traces: has no effect"}},
	} {
		r := thresher(t, parts{now: time.Now}, c.text, "validate", "-")
		assert.Equal(t, 0, r.status, "%s: %s", about, r.stderr)
		assert.Equal(t, c.out, r.stdout, about)
		for _, want := range c.errs {
			assert.Contains(t, r.stderr, want, about)
		}
		assert.NotContains(t, thresher(t, parts{now: time.Now}, c.text, "run", "-c", "-").stdout, "ok")
		assert.Equal(t, 1, thresher(t, parts{now: time.Now}, c.text, "run", "-c", "-").status, "what is incomplete does not run")
	}

	for text, want := range map[string]string{
		// What is wrong with the policies is all that is told.
		"config:\n  processors:\n    tail_sampling:\n      policies: [{name: a, type: latncy}]\n": "<stdin>:4:34: config.processors.tail_sampling.policies[0].type: unknown policy type \"latncy\"",
		// What has more of Thresher's sections is meant to be run.
		"sampling: " + all + "\nkafka: {brokers: [k:9092]}\n":                                  "exporters: this section is missing",
		"sampling: " + all + "\nexporters: {debug: }\n":                                        "kafka: this section is missing",
		"config: {processors: {tail_sampling/a: " + all + ", tail_sampling/b: " + all + "}}\n": "choose one by its name or line, as in --processor 1",
	} {
		r := thresher(t, parts{now: time.Now}, text, "validate", "-")
		assert.Equal(t, 1, r.status, text)
		assert.Empty(t, r.stdout)
		assert.Contains(t, r.stderr, want)
	}
	two := "processors:\n  tail_sampling/a: " + all + "\n  tail_sampling/b: {policies: [{name: b, type: always_sample}]}\n"
	r := thresher(t, parts{now: time.Now}, two, "validate", "--processor", "b", "-")
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Contains(t, r.stdout, "processors.tail_sampling/b (line 3)")
}
