package conformance

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	accepts = ""
	crashes = "crash"
	gambles = "gamble" // accepted, but the answer is another each time, which no log can repeat
)

// A mistake is a policy that something is wrong with, and what becomes of it: accepted, or refused with an error that
// contains the text. Of the peer's errors only the part is told that says where it noticed. With compat: strict Thresher accepts
// what the peer accepts, and the text is in a warning.
type mistake struct {
	about    string
	policy   string // one policy of the list, or the whole list if it begins with [
	peer     string
	thresher string
}

func mistakes() []mistake {
	return []mistake{
		{"no policies", `[]`, accepts, "is empty, so nothing would be kept"},
		{"misspelt block", `{name: a, type: latency, latencyy: {threshold_ms: 5000}}`, accepts, "did you mean \"latency\""},
		{"misspelt key in a block", `{name: a, type: latency, latency: {treshold_ms: 5000}}`, "unmarshal", "did you mean \"threshold_ms\""},
		{"key in other case", `{name: a, type: latency, latency: {Threshold_MS: 5000}}`, "unmarshal", "did you mean \"threshold_ms\""},
		{"unknown type", `{name: a, type: latensy, latency: {threshold_ms: 5000}}`, "start", "did you mean \"latency\""},
		{"no name", `{type: always_sample}`, "start", "name"},
		{"name twice", `[{name: a, type: always_sample}, {name: a, type: trace_flags}]`, "start", "already the name"},

		{"latency without bounds", `{name: a, type: latency, latency: {}}`, accepts, "threshold_ms"},
		{"latency below 0", `{name: a, type: latency, latency: {threshold_ms: -1}}`, accepts, "must not be negative"},
		{"latency that nothing has", `{name: a, type: latency, latency: {threshold_ms: 9, upper_threshold_ms: 5}}`, accepts, "no duration is"},

		{"no bounds", `{name: a, type: numeric_attribute, numeric_attribute: {key: code}}`, crashes, "neither min_value nor max_value"},
		{"bounds that exclude each other", `{name: a, type: numeric_attribute, numeric_attribute: {key: code, min_value: 9, max_value: 5}}`,
			accepts, "exchange them"},
		{"no values", `{name: a, type: string_attribute, string_attribute: {key: tier, values: []}}`, accepts, "empty list"},
		{"empty value", `{name: a, type: string_attribute, string_attribute: {key: tier, values: [""]}}`, accepts, "is empty"},
		{"values that are numbers", `{name: a, type: string_attribute, string_attribute: {key: tier, values: [500]}}`, "unmarshal", "must be text"},
		{"bad pattern", `{name: a, type: string_attribute, string_attribute: {key: tier, values: ["(gold"], enabled_regex_matching: true}}`,
			"start", "missing closing )"},
		{"no key", `{name: a, type: string_attribute, string_attribute: {values: [gold]}}`, accepts, "key: is missing"},
		{"no truth", `{name: a, type: boolean_attribute, boolean_attribute: {key: hit}}`, accepts, "value: is missing"},
		{"status in small letters", `{name: a, type: status_code, status_code: {status_codes: [error]}}`, "start", "did you mean \"ERROR\""},
		{"no status", `{name: a, type: status_code, status_code: {status_codes: []}}`, "start", "empty list"},
		{"500 per cent", `{name: a, type: probabilistic, probabilistic: {sampling_percentage: 500}}`, accepts, "between 0 and 100"},
		{"no per cent", `{name: a, type: probabilistic, probabilistic: {}}`, accepts, "sampling_percentage: is missing"},
		{"no numbers of spans", `{name: a, type: span_count, span_count: {}}`, accepts, "neither min_spans nor max_spans"},
		{"key that no tracestate has", `{name: a, type: trace_state, trace_state: {key: Vendor, values: [debug]}}`, accepts, "cannot be a tracestate key"},

		{"rate that is missing", `{name: a, type: rate_limiting, rate_limiting: {}}`, accepts, "spans_per_second: is missing"},
		{"rate below 0", `{name: a, type: bytes_limiting, bytes_limiting: {bytes_per_second: -1}}`, accepts, "bytes_per_second"},

		{"no OTTL", `{name: a, type: ottl_condition, ottl_condition: {error_mode: ignore}}`, "start", "has no expression"},
		{"OTTL that does not parse", `{name: a, type: ottl_condition, ottl_condition: {span: ["name =="]}}`, "start", "span[0]"},
		{"OTTL that is unknown", `{name: a, type: ottl_condition, ottl_condition: {span: ['duration == "a"']}}`, "start", "duration"},
		{"OTTL that edits", `{name: a, type: ottl_condition, ottl_condition: {span: ['set(name, "a")']}}`, "start", "span[0]"},
		{"OTTL that depends on chance", `{name: a, type: ottl_condition, ottl_condition: {span: ['UUID() == "a"']}}`, gambles, "UUID"},
		{"unknown error mode", `{name: a, type: ottl_condition, ottl_condition: {error_mode: ignored, span: ['name == "a"']}}`,
			"unmarshal", "did you mean \"ignore\""},

		{"empty and", `{name: a, type: and, and: {and_sub_policy: []}}`, accepts, "empty list"},
		{"empty drop", `{name: a, type: drop, drop: {drop_sub_policy: []}}`, accepts, "empty list"},
		{"not without a policy", `{name: a, type: not, not: {}}`, "start", "not_sub_policy: is missing"},
		{"drop within and", `{name: a, type: and, and: {and_sub_policy: [{name: b, type: drop, drop: {drop_sub_policy: [{name: c, type: always_sample}]}}]}}`,
			"start", "drop works only in the list itself"},

		{"order of unknown policies", composite(`policy_order: [b, x], composite_sub_policy: [{name: b, type: always_sample}]`),
			accepts, `"x" is not the name of a policy in composite_sub_policy`},
		{"allocation for an unknown policy", composite(`composite_sub_policy: [{name: b, type: always_sample}], rate_allocation: [{policy: x, percent: 50}]`),
			accepts, `"x" is not the name of a policy in composite_sub_policy`},
		{"allocation above 100", composite(`composite_sub_policy: [{name: b, type: always_sample}], rate_allocation: [{policy: b, percent: 150}]`),
			accepts, "between 0 and 100"},
		{"allocations of more than there is", composite(`composite_sub_policy: [{name: b, type: always_sample}, {name: c, type: trace_flags}],` +
			` rate_allocation: [{policy: b, percent: 80}, {policy: c, percent: 30}]`), accepts, "add up to 100 or less"},
		{"composite without a rate", `{name: a, type: composite, composite: {composite_sub_policy: [{name: b, type: always_sample}]}}`,
			accepts, "max_total_spans_per_second: is missing"},

		{"values in one text", `{name: a, type: string_attribute, string_attribute: {key: tier, values: "gold,silver"}}`, accepts, "must be a list"},
		{"status in one text", `{name: a, type: status_code, status_code: {status_codes: ERROR}}`, accepts, "must be a list"},
		{"most below least", `{name: a, type: span_count, span_count: {min_spans: 9, max_spans: 5}}`, accepts, "exchange them"},
		{"more than 32 bits", `{name: a, type: span_count, span_count: {min_spans: 3000000000}}`, accepts, ""},
		{"block without keys", `{name: a, type: latency, latency: }`, accepts, "latency"},
		{"block of another type", `{name: a, type: always_sample, latency: {threshold_ms: 5}}`, accepts, "this block is not used"},
		{"part of a span", `{name: a, type: span_count, span_count: {min_spans: 2.5}}`, accepts, "must be a whole number"},

		// What is wrong in the Collector only: it has no such nesting.
		{"and within and", `{name: a, type: and, and: {and_sub_policy: [{name: b, type: and, and: {and_sub_policy: [{name: c, type: always_sample}]}}]}}`,
			"start", accepts},
		{"not within not", `{name: a, type: not, not: {not_sub_policy: {name: b, type: not, not: {not_sub_policy: {name: c, type: always_sample}}}}}`,
			"start", accepts},
		{"bound with a fraction", `{name: a, type: numeric_attribute, numeric_attribute: {key: code, min_value: 5.5}}`, accepts, accepts},
		{"bounds of 0", `{name: a, type: numeric_attribute, numeric_attribute: {key: code, min_value: 0, max_value: 0}}`, crashes, accepts},
	}
}

func composite(fields string) string {
	rate := "max_total_spans_per_second: 10, "
	return "{name: a, type: composite, composite: {" + rate + fields + "}}"
}

// TestMistakes shows what the peer lets pass, or does not survive, and that Thresher says what is wrong.
func TestMistakes(t *testing.T) {
	g := newGenerator(1, 0)
	request := batches([]*trace{g.trace()})
	for _, m := range mistakes() {
		t.Run(m.about, func(t *testing.T) {
			config := "policies: [" + m.policy + "]\n"
			if strings.HasPrefix(m.policy, "[") {
				config = "policies: " + m.policy + "\n"
			}
			_, err := startPeer(t).decide(config, request...)
			switch {
			case (m.peer == accepts || m.peer == gambles) && err != nil:
				t.Errorf("the peer refuses: %v", err)
			case m.peer == crashes && !errors.Is(err, errCrash):
				t.Errorf("the peer does not crash: %v", err)
			case m.peer != accepts && m.peer != gambles && m.peer != crashes && (err == nil || !strings.HasPrefix(err.Error(), m.peer+":")):
				t.Errorf("the peer does not refuse at %s: %v", m.peer, err)
			}
			for _, strict := range []bool{false, true} {
				e, err := newEngine(config, strict)
				switch {
				case strict && m.peer == accepts:
					if err != nil {
						t.Errorf("Thresher refuses with compat: strict what the peer accepts: %v", err)
					} else if said := fmt.Sprint(e.plan.Slips()); !strings.Contains(said, m.thresher) {
						t.Errorf("Thresher does not warn of %q: %s", m.thresher, said)
					}
				case strict && m.peer == crashes && err == nil:
					t.Error("Thresher accepts with compat: strict what crashes the peer")
				case m.thresher == accepts && err != nil && (!strict || m.peer != crashes):
					t.Errorf("Thresher refuses (strict: %v): %v", strict, err)
				case m.thresher != accepts && (err == nil || !strings.Contains(err.Error(), m.thresher)):
					t.Errorf("Thresher does not say %q (strict: %v): %v", m.thresher, strict, err)
				}
			}
		})
	}
}
