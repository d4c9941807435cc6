package policies

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"thresher/internal/tracestate"
	"thresher/internal/wire"
)

// TestRandom compares the compiled circuit with the naive interpreter, for random lists and random traces.
func TestRandom(t *testing.T) {
	for seed := range uint64(1200) {
		checkRandom(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzCircuit does the same for the seeds that the fuzzer finds.
func FuzzCircuit(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkRandom(t, seed) })
}

func checkRandom(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	o := Options{Strict: r.IntN(3) == 0, FirstMatch: r.IntN(3) == 0, Conditions: statusConditions{}}
	var b strings.Builder
	for i := range 1 + r.IntN(6) {
		fmt.Fprintf(&b, "- %s\n", randomPolicy(r, fmt.Sprintf("name: p%d, ", i), 0))
	}
	text := b.String()
	plan, err := parseOptions(text, o)
	if err != nil {
		if o.Strict && strings.Contains(err.Error(), "has no bound") {
			return // 0 is none there
		}
		t.Fatalf("%s\n%v", text, err)
	}
	m := plan.NewMatcher()
	v := &Verdict{}
	for range 8 {
		tt := randomTrace(r)
		if tt.explicit = r.IntN(3) == 0; tt.explicit {
			tt.rv = r.Uint64N(Never)
		}
		trace := tt.run(m, v)
		checkNaive(t, text, o, tt, v)
		if !(v.Probability > 0 && v.Probability <= 1) || v.Probability != 1 && !strings.Contains(text, "probabilistic") {
			t.Errorf("%s\nprobability %v", text, v.Probability)
		}
		if v.Keep && tt.explicit && !o.Strict {
			checkThreshold(t, text, o, tt, v.Probability)
		}
		checkMisses(t, text, m, tt, v)
		for i, w := range m.Explain(trace, nil) {
			skipped := o.FirstMatch && v.Policy >= 0 // and so perhaps not asked
			if w.Passed != v.Matches(i) && !skipped {
				t.Errorf("%s\n%+v\nexplained otherwise than decided: %+v", text, tt, w)
			}
		}
	}
}

// checkMisses: a policy is said to have missed a trace for a late span only if it matches the whole of the trace.
func checkMisses(t *testing.T, text string, m *Matcher, tt *testTrace, v *Verdict) {
	t.Helper()
	tt.each(m, func(s *wire.Span, c *Context) {
		c.Now = tt.due
		i := m.Misses(s, c, testSpanBytes)
		if i < 0 || v.Dropped {
			return
		}
		if matched := v.Keep && (v.Matches(i) || m.plan.firstMatch); !matched {
			t.Errorf("%s\n%+v\nverdict %+v, but policy %d would have kept it for %+v", text, tt, v, i, s)
		}
	})
}

// checkThreshold: a trace that gives its randomness is kept from the threshold of its probability on, and only then, but for what a
// float64 does not tell apart.
func checkThreshold(t *testing.T, text string, o Options, tt *testTrace, p float64) {
	t.Helper()
	at, other := tracestate.Threshold(p), *tt
	const least = 8
	for rv, want := range map[uint64]bool{0: at < least, at - min(at, least): at < least, min(at+least, Never-1): true, Never - 1: true} {
		other.rv = rv
		if keep := (naive{firstMatch: o.FirstMatch, t: &other}).decide(naiveList(t, text)).keep; keep != want {
			t.Errorf("%s\n%+v\nprobability %v, so threshold %#x, but with randomness %#x: kept %v", text, tt, p, at, rv, keep)
		}
	}
}

// randomPolicy writes a policy. Few keys and values make for many matches, and for conditions that occur twice.
func randomPolicy(r *rand.Rand, name string, depth int) string {
	block := func(kind, format string, args ...any) string {
		return fmt.Sprintf("{%stype: %s, %s: {%s}}", name, kind, kind, fmt.Sprintf(format, args...))
	}
	subs := func() string {
		var list []string
		for range 1 + r.IntN(3) {
			list = append(list, randomPolicy(r, "", depth+1))
		}
		return strings.Join(list, ", ")
	}
	invert := [...]string{"", ", invert_match: true", ", invert_match: false"}[r.IntN(3)]
	key := randomKey(r)
	choices := 12
	if depth < 3 {
		choices += 3
	}
	if depth == 0 {
		choices += 2
	}
	switch r.IntN(choices) {
	case 0:
		return "{" + name + "type: always_sample}"
	case 1:
		return block("status_code", "status_codes: [%s]", pick(r, "ERROR", "OK", "UNSET", "OK, ERROR", "UNSET, OK, ERROR"))
	case 2:
		low := r.IntN(5) * 100
		return block("latency", "%s", pick(r, fmt.Sprintf("threshold_ms: %d", low),
			fmt.Sprintf("threshold_ms: %d, upper_threshold_ms: %d", low, low+1+r.IntN(300)), "upper_threshold_ms: 150"))
	case 3, 4:
		var values []string
		for range 1 + r.IntN(7) {
			values = append(values, randomWord(r))
		}
		return block("string_attribute", "key: %s, values: [%s]%s", key, strings.Join(values, ", "), invert)
	case 5:
		var values []string
		for range 1 + r.IntN(4) {
			values = append(values, pick(r, "a", "^a", "b$", "^ab$", "'a|c'", "'[bc]+$'", "'(?i)AB'", "'.'", "'^'", "'a.b'",
				"'a\\.b'", "'^(ab)*$'", "'(?m)^b$'", "'\\x{fffd}'", "'^$'"))
		}
		return block("string_attribute", "key: %s, values: [%s], enabled_regex_matching: true, cache_max_size: %d%s", key,
			strings.Join(values, ", "), r.IntN(4), invert)
	case 6:
		low := r.IntN(9) - 4
		return block("numeric_attribute", "key: %s, %s%s", key, pick(r, fmt.Sprintf("min_value: %d", low),
			fmt.Sprintf("max_value: %d", low), fmt.Sprintf("min_value: %d, max_value: %d", low, low+r.IntN(4)),
			fmt.Sprintf("min_value: %d.5", low), "min_value: 9007199254740993", "max_value: -9007199254740993"), invert)
	case 7:
		return block("boolean_attribute", "key: %s, value: %v%s", key, r.IntN(2) == 0, invert)
	case 8:
		return block("probabilistic", "sampling_percentage: %s%s", pick(r, "0", "1", "10", "33.3", "50", "100"),
			pick(r, "", "", ", hash_salt: s", ", hash_salt: ''"))
	case 9:
		low := r.IntN(4)
		return block("span_count", "%s", pick(r, fmt.Sprintf("min_spans: %d", low),
			fmt.Sprintf("min_spans: %d, max_spans: %d", low, low+r.IntN(3)), "max_spans: 2", "max_spans: 0"))
	case 10:
		if r.IntN(2) == 0 {
			return "{" + name + "type: trace_flags}"
		}
		return block("trace_state", "key: %s, values: [%s]", pick(r, "a", "b", "t@s"), pick(r, "x", "y", "x, y", "'x z'"))
	case 11:
		return block("ottl_condition", "span: [%s]%s", pick(r, "'1'", "'2'", "'0', '2'", "fail 2, '1'", "'1', fail 1", "fail 2", "fail 0, '2'"),
			pick(r, "", ", error_mode: ignore", ", error_mode: propagate", ", error_mode: Propagate"))
	case 12:
		return block("not", "not_sub_policy: %s", randomPolicy(r, "", depth+1))
	case 13:
		return block("and", "and_sub_policy: [%s]", subs())
	case 14:
		return block("or", "or_sub_policy: [%s]", subs())
	case 15:
		return block("force", "%suntil: %s, force_sub_policy: [%s]", pick(r, "", "from: 2026-03-29T13:00:00Z, "),
			pick(r, "2026-03-29T13:30:00Z", "2026-03-29T14:00:00Z"), subs())
	}
	return block("drop", "drop_sub_policy: [%s]", subs())
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func randomKey(r *rand.Rand) string { return pick(r, "k", "k", "key", "http.route") }

func randomWord(r *rand.Rand) string {
	return pick(r, "a", "b", "ab", "abc", "aab", "cab", "bb", "a.b", strings.Repeat("ab", 40), strings.Repeat("ab", 40)+"c")
}

func randomTrace(r *rand.Rand) *testTrace {
	tt := &testTrace{}
	for i := range tt.id {
		tt.id[i] = byte(r.Uint32())
	}
	tt.due = time.Date(2026, 3, 29, 12, 59, 59, 999e6, time.UTC).UnixMilli() + int64(r.IntN(3))*1_800_000 + r.Int64N(2)
	for range r.IntN(6) {
		l := testLine{resource: r.IntN(4) == 0}
		for range r.IntN(4) {
			l.attrs = append(l.attrs, testAttr{randomKey(r), randomValue(r)})
		}
		if !l.resource {
			l.span.Status = int32(r.IntN(5) - 1)
			l.span.Flags = uint32(r.IntN(4)) * 128
			if r.IntN(5) == 0 {
				l.span.Flags |= 1
			}
			l.span.TraceState = []byte(randomState(r))
			if r.IntN(8) > 0 {
				l.span.Start = testEpoch + uint64(r.IntN(400))*1e6 + uint64(r.IntN(2))*uint64(r.IntN(1e6))
			}
			if r.IntN(8) > 0 {
				l.span.End = l.span.Start + uint64(r.IntN(5))*1e8
			}
			if r.IntN(3) > 0 {
				l.span.ParentID[0] = 1
			}
		}
		tt.lines = append(tt.lines, l)
	}
	return tt
}

func randomState(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString(pick(r, "a=x,", "b=y,", "a=y,", "t@s=x,", ",", " a=x z ,", "b=x", "B=x,", "=", "a", " ", "\t", "9@s=1,", "9=1,"))
	}
	return b.String()
}

func randomValue(r *rand.Rand) wire.Value {
	switch r.IntN(8) {
	case 0:
		return wire.Value{Kind: wire.ValueBool, Num: uint64(r.IntN(2))}
	case 1:
		return wire.Value{Kind: wire.ValueInt, Num: uint64(r.IntN(12) - 6)}
	case 2:
		return wire.Value{Kind: wire.ValueDouble, Num: math.Float64bits(float64(r.IntN(24)-12) / 2)}
	case 3:
		f := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1 << 53, 1<<53 + 2, -1 << 53, -1<<53 - 2}[r.IntN(7)]
		return wire.Value{Kind: wire.ValueDouble, Num: math.Float64bits(f)}
	case 4:
		kinds := []wire.ValueKind{wire.ValueEmpty, wire.ValueArray, wire.ValueMap, wire.ValueBytes}
		return wire.Value{Kind: kinds[r.IntN(4)], Bytes: []byte("a")}
	case 5:
		return wire.Value{Kind: wire.ValueString, Bytes: []byte(pick(r, "", "\xff", "a\xffb", "\nb\n", strings.Repeat("ab", 400)))}
	}
	return wire.Value{Kind: wire.ValueString, Bytes: []byte(randomWord(r))}
}

// FuzzParse feeds any text: Parse never panics, reports mistakes with their place, and what it accepts decides.
func FuzzParse(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		f.Add("- " + randomPolicy(r, "name: a, ", 0) + "\n- " + randomPolicy(r, "name: b, ", 0))
	}
	f.Add("- &a {<<: [*a, *a], name: a, type: and, and: {and_sub_policy: [*a, *a]}}")
	f.Fuzz(func(t *testing.T, text string) {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(text), &doc) != nil {
			return
		}
		plan, err := Parse(&doc, Options{})
		if err != nil {
			errs, ok := errors.AsType[Errors](err)
			if !ok || len(errs) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			for i, e := range errs {
				if e.Path == "" || e.Msg == "" || i > 0 && e.Line < errs[i-1].Line {
					t.Fatalf("%+v after %+v", e, errs[max(i-1, 0)])
				}
			}
			return
		}
		again, err := Parse(&doc, Options{})
		if err != nil || again.Fingerprint() != plan.Fingerprint() {
			t.Fatal("the same text, another fingerprint")
		}
		m, v := plan.NewMatcher(), &Verdict{}
		tt := randomTrace(rand.New(rand.NewPCG(1, 2)))
		m.Explain(tt.run(m, v), nil)
		if !(v.Probability > 0 && v.Probability <= 1) {
			t.Fatalf("probability %v", v.Probability)
		}
	})
}
