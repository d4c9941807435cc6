package policies

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"thresher/internal/wire"
)

// The values that the Collector's own policy computes.
func TestHashesAndThresholdsAreTheCollectors(t *testing.T) {
	for percent, want := range map[float64]uint64{
		0: 0, 0.1: 18446744073709551, 1: 184467440737095519, 10: 1844674407370955263, 33: 6087425544324152319,
		50: 9223372036854775807, 100: 18446744073709551615,
	} {
		if got := hashThreshold(percent / 100); got != want {
			t.Errorf("threshold of %v %%: %d, want %d", percent, got, want)
		}
	}
	salt := newSalt("default-hash-seed")
	for id, want := range map[string]uint64{
		"0102030405060708090a0b0c0d0e0f10": 0xdbcf64d5420f4cad,
		"4bf92f3577b34da6a3ce929d0e0e4736": 0xa54533ba2e4970b5,
		"00000000000000000000000000000001": 0xe19535eed1bbaa8a,
		"ffffffffffffffffffffffffffffffff": 0x17bec3739634fe2d,
		"5b8aa5a2d2c872e8321cf37308d69df2": 0xa5bea68bf4217aba,
	} {
		b, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		if got := salt.hash(wire.TraceID(b)); got != want {
			t.Errorf("hash of %s: %x, want %x", id, got, want)
		}
	}
}

// The probability of a verdict must be the share of IDs that are kept, or counts made from kept traces are biased.
func TestProbabilityIsTheShareKept(t *testing.T) {
	const n = 100_000
	for _, text := range []string{
		"- {name: a, type: probabilistic, probabilistic: {sampling_percentage: 10}}",
		`
- {name: a, type: probabilistic, probabilistic: {sampling_percentage: 30}}
- {name: b, type: probabilistic, probabilistic: {sampling_percentage: 20, hash_salt: s}}
- name: c
  type: drop
  drop: {drop_sub_policy: [{type: probabilistic, probabilistic: {sampling_percentage: 10}}]}`,
		`
- name: a
  type: and
  and:
    and_sub_policy:
    - {type: probabilistic, probabilistic: {sampling_percentage: 60}}
    - {type: not, not: {not_sub_policy: {type: probabilistic, probabilistic: {sampling_percentage: 25}}}}
    - {type: probabilistic, probabilistic: {sampling_percentage: 50, hash_salt: s}}`,
	} {
		m := mustParse(t, text).NewMatcher()
		r := rand.New(rand.NewPCG(2, 1))
		var v Verdict
		kept, probability := 0, 0.0
		for range n {
			var trace Trace
			for i := range trace.ID {
				trace.ID[i] = byte(r.Uint32())
			}
			if m.Decide(&trace, &v); v.Keep {
				kept++
				probability = v.Probability
			}
		}
		if share := float64(kept) / n; share < probability-0.005 || share > probability+0.005 {
			t.Errorf("%s\nkept %v, but the probability is said to be %v", text, share, probability)
		}
	}
}

func mustParse(t testing.TB, text string) *Plan {
	t.Helper()
	plan, err := parseText(text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return plan
}

func TestFingerprint(t *testing.T) {
	const text = `
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
- {name: routes, type: string_attribute, string_attribute: {key: http.route, values: [/a, /b]}}
- {name: fast, type: not, not: {not_sub_policy: {type: latency, latency: {threshold_ms: 50}}}}`
	want := mustParse(t, text).Fingerprint()
	// A checkpoint of an older version holds it, so it must never change.
	if want != 0x71bdcd798e408da1 {
		t.Errorf("fingerprint %#x", want)
	}
	for _, same := range []string{
		"# comment\n" + text,
		`
- type: status_code
  name: "errors"   # quotes, spacing, order of keys
  status_code:
    status_codes: [ERROR, 'ERROR']
- name: routes
  type: string_attribute
  string_attribute:
    values:
    - /b
    - /a
    key: http.route
    invert_match: false
    cache_max_size: 100
- name: fast
  type: not
  not:
    not_sub_policy: {type: latency, latency: {threshold_ms: 0x32, upper_threshold_ms: 0}}`,
	} {
		if got := mustParse(t, same).Fingerprint(); got != want {
			t.Errorf("%s\nfingerprint %#x, want %#x", same, got, want)
		}
	}
	for _, change := range [][2]string{
		{"name: errors", "name: error"},
		{"[ERROR]", "[ERROR, OK]"},
		{"50", "51"},
		{"http.route", "http.target"},
		{"[/a, /b]", "[/a]"},
		{"[/a, /b]", `['/a" or "/b']`},
		{"values: [/a, /b]", "values: [/a, /b], invert_match: true"},
		{"values: [/a, /b]", "values: [/a, /b], enabled_regex_matching: true"},
		{"type: status_code, status_code: {status_codes: [ERROR]}", "type: always_sample"},
	} {
		other := strings.Replace(text, change[0], change[1], 1)
		if other == text || mustParse(t, other).Fingerprint() == want {
			t.Errorf("%s\nhas the fingerprint of the list without the change", other)
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Reverse(lines)
	if mustParse(t, strings.Join(lines, "\n")).Fingerprint() == want {
		t.Error("another order has the same fingerprint")
	}
}

// A key with more conditions than a word has bits, next to keys that share words, one policy for each condition.
func TestManyConditions(t *testing.T) {
	var b strings.Builder
	var traces strings.Builder
	const n = 150
	for i := range n {
		fmt.Fprintf(&b, "- {name: p%d, type: string_attribute, string_attribute: {key: k, values: [v%d, all]}}\n", i, i)
		fmt.Fprintf(&b, "- {name: r%d, type: string_attribute, string_attribute: {key: k%d, values: [v, '%d$'],"+
			" enabled_regex_matching: true}}\n", i, i%7, i)
		fmt.Fprintf(&traces, "trace t%d\nspan k=v%d\nspan k%d=%dx k%d=\"%d\"\n", i, i, i%7, i, i%7, i)
	}
	traces.WriteString("trace all\nresource k=all\n")
	plan := mustParse(t, b.String())
	if plan.Words() < 2*n/64 || plan.Words() > 2*n/64+8 {
		t.Errorf("%d words for %d bits", plan.Words(), 2*n)
	}
	m, v := plan.NewMatcher(), &Verdict{}
	for _, tt := range parseTraces(t, traces.String()) {
		tt.run(m, v)
		checkNaive(t, b.String(), Options{}, tt, v)
	}
}

// The conditions on one key are in one word if they can be: then one test turns an attribute away.
func TestKeysDoNotStraddleWords(t *testing.T) {
	var b strings.Builder
	for key, conditions := range []int{50, 20, 64, 1} {
		for i := range conditions {
			fmt.Fprintf(&b, "- {name: k%d-%d, type: numeric_attribute, numeric_attribute: {key: k%d, min_value: %d}}\n", key, i, key, i)
		}
	}
	for i, columns := range mustParse(t, b.String()).scan.columns {
		if len(columns) != 1 {
			t.Errorf("key %d has %d columns", i, len(columns))
		}
	}
}

// More values than the cache has slots, each twice: what a slot holds for one value must not answer for another.
func TestPatternCache(t *testing.T) {
	text := "- {name: a, type: string_attribute, string_attribute: {key: k, values: ['[02468]5+$', 'x.*y'], enabled_regex_matching: true}}\n" +
		"- {name: b, type: string_attribute, string_attribute: {key: k, values: ['^1+2'], enabled_regex_matching: true}}\n"
	m, v := mustParse(t, text).NewMatcher(), &Verdict{}
	if len(m.caches) != 1 {
		t.Fatalf("%d caches, want 1", len(m.caches))
	}
	for i := range 6000 {
		value := fmt.Sprint(i / 2 % 1500)
		if i%50 == 0 {
			value = strings.Repeat("long", 200) + value
		}
		tt := &testTrace{lines: []testLine{{attrs: []testAttr{{"k", testValue(fmt.Sprintf("%q", value))}}}}}
		tt.run(m, v)
		checkNaive(t, text, Options{}, tt, v)
	}
	if size := len(m.caches[0].slots); size != 256 {
		t.Errorf("the cache has %d slots, want 256", size)
	}
}

// Nothing is left of one trace when the next is decided with the same matcher and verdict.
func TestDecideResets(t *testing.T) {
	m := mustParse(t, `
- {name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}
- {name: drop, type: drop, drop: {drop_sub_policy: [{type: span_count, span_count: {min_spans: 2}}]}}`).NewMatcher()
	var v, fresh Verdict
	r := rand.New(rand.NewPCG(3, 3))
	for range 1000 {
		trace := Trace{Spans: uint64(r.IntN(4)), HasRoot: r.IntN(2) == 0}
		trace.ID[r.IntN(16)] = byte(r.Uint32())
		m.Decide(&trace, &v)
		m.plan.NewMatcher().Decide(&trace, &fresh)
		if fmt.Sprint(v) != fmt.Sprint(fresh) {
			t.Fatalf("%+v: %+v, with a new matcher %+v", trace, v, fresh)
		}
		fresh = Verdict{}
	}
}

func TestParseSubtree(t *testing.T) {
	var doc yaml.Node
	text := "sampling:\n  policies:\n  - {name: a, type: latency, latency: {threshold_ms: no}}\n"
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	_, err := Parse(doc.Content[0].Content[1].Content[1], Options{})
	const want = `3:54: policies[0].latency.threshold_ms: must be a number, not the text "no"`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := Parse(nil, Options{}); err == nil {
		t.Error("no node, no mistake")
	}
}
