package policies

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.yaml.in/yaml/v3"
)

// TestLint runs the scenarios: `lint` shows what is said of a list, understood as the arguments say.
func TestLint(t *testing.T) {
	datadriven.Walk(t, "testdata/lint", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			o := Options{Strict: d.HasArg("strict"), FirstMatch: d.HasArg("first-match"), Conditions: noConditions{}}
			if d.HasArg("partitions") {
				d.ScanArgs(t, "partitions", &o.Partitions)
			}
			plan := parseWith(t, d.Input, o, nil)
			var b strings.Builder
			for _, w := range plan.Lint() {
				fmt.Fprintln(&b, w)
			}
			return b.String()
		})
	})
}

// TestLintIsSound removes what is said to make no difference, one by one and all together, and compares the verdicts.
func TestLintIsSound(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 2))
		text := randomList(r, 1+r.IntN(6))
		plan, err := parseText(text)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		var traces []*testTrace
		for range 30 {
			traces = append(traces, randomTraceWithSpan(r))
		}
		var moot []*Policy
		for _, f := range plan.lint() {
			kinds[kindOf(f.Msg)]++
			moot = append(moot, f.moot...)
			for _, p := range f.moot {
				checkWithout(t, text, plan, []*Policy{p}, traces)
			}
		}
		checkWithout(t, text, plan, moot, traces)
		if t.Failed() {
			t.Fatalf("seed %d: %v", seed, plan.Lint())
		}
	}
	for _, kind := range []string{"keeps the same", "keeps all its", "drops all its", "no trace passes", "drops every trace",
		"only drop policies", "keeps every trace", "what passes it", "passes it", "tests the same", "every trace passes"} {
		if kinds[kind] < 3 {
			t.Errorf("%q was said %d times only: %v", kind, kinds[kind], kinds)
		}
	}
	t.Log(kinds)
}

// kindOf tells warnings apart.
func kindOf(msg string) string {
	return regexp.MustCompile("(keep|drop)s (the same|all its)|no trace passes|drops every trace|only drop policies|" +
		"keeps every trace|every trace passes|what passes it|passes it|tests the same").FindString(msg)
}

// checkWithout checks that traces get the same verdicts without some policies.
func checkWithout(t *testing.T, text string, plan *Plan, moot []*Policy, traces []*testTrace) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	remove(&doc, moot)
	rest, err := yaml.Marshal(&doc)
	if err != nil {
		t.Fatal(err)
	}
	m, v := plan.NewMatcher(), &Verdict{}
	var without *Matcher
	if len(doc.Content[0].Content) > 0 {
		other, err := parseText(string(rest))
		if err != nil {
			t.Fatalf("%s\n%v", rest, err)
		}
		without = other.NewMatcher()
	}
	for _, tt := range traces {
		tt.run(m, v)
		other := &Verdict{}
		if without != nil {
			tt.run(without, other)
		}
		if v.Keep != other.Keep || v.Dropped != other.Dropped {
			t.Errorf("%s\nkeep %v, dropped %v, but without some\n%s\nkeep %v, dropped %v:\n%+v", text, v.Keep, v.Dropped, rest, other.Keep,
				other.Dropped, tt)
			return
		}
	}
}

// remove removes policies from the lists that they stand in.
func remove(n *yaml.Node, policies []*Policy) {
	if n.Kind == yaml.SequenceNode {
		n.Content = slices.DeleteFunc(n.Content, func(item *yaml.Node) bool {
			return item.Kind == yaml.MappingNode && slices.ContainsFunc(policies, func(p *Policy) bool {
				return p.Line == item.Line && p.Column == item.Column
			})
		})
	}
	for _, within := range n.Content {
		remove(within, policies)
	}
}

// TestImpliesIsSound checks that what is said of pairs of policies holds for traces.
func TestImpliesIsSound(t *testing.T) {
	claims := map[string]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		text := randomList(r, 4)
		plan, err := parseText(text)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		var passed [][4]bool
		m, v := plan.NewMatcher(), &Verdict{}
		for range 30 {
			randomTraceWithSpan(r).run(m, v)
			passed = append(passed, [4]bool{v.Matches(0), v.Matches(1), v.Matches(2), v.Matches(3)})
		}
		// claim checks that a claim holds for all traces.
		claim := func(what string, i, j int, holds func(a, b bool) bool) {
			claims[what]++
			for _, passes := range passed {
				if !holds(passes[i], passes[j]) {
					t.Fatalf("seed %d\n%s\n%s: %d, %d, but a trace passes %v", seed, text, what, i, j, passes)
				}
			}
		}
		p := newProver(false)
		f := p.formulasOf(plan.policies)
		for i := range f {
			if always(f[i]) {
				claim("always", i, i, func(a, _ bool) bool { return a })
			}
			if never(f[i]) {
				claim("never", i, i, func(a, _ bool) bool { return !a })
			}
			for j := range f {
				if p.implies(f[i], f[j]) {
					claim("implies", i, j, func(a, b bool) bool { return !a || b })
				}
				if p.exclude(f[i], f[j]) {
					claim("exclude", i, j, func(a, b bool) bool { return !a || !b })
				}
				if p.exhaust(f[i], f[j]) {
					claim("exhaust", i, j, func(a, b bool) bool { return a || b })
				}
			}
		}
	}
	for _, what := range []string{"always", "never", "implies", "exclude", "exhaust"} {
		if claims[what] < 100 {
			t.Errorf("%q was claimed %d times only", what, claims[what])
		}
	}
	t.Log(claims)
}

// TestSetsAreSound checks what is said of sets of values with every value that could tell them apart.
func TestSetsAreSound(t *testing.T) {
	var texts []string
	for _, last := range []string{"", "a", "b", "c", "\n", "\xff"} {
		for i := range 256 {
			text := strings.TrimRight(fmt.Sprintf("%c%c%c%c", "abc "[i%4], "abc "[i/4%4], "abc "[i/16%4], "abc "[i/64]), " ") + last
			if text != "" {
				texts = append(texts, text)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 4))
	p := newProver(false)
	claims := map[string]int{}
	for range 20000 {
		a, b := randomTexts(r), randomTexts(r)
		if p.steps = 1000; !p.texts(a).within(p.texts(b), &p) {
			continue
		}
		claims[fmt.Sprint(a.patterns, b.patterns)]++
		inA, inB := naiveText(a), naiveText(b)
		for _, text := range texts {
			if inA(text) && !inB(text) {
				t.Fatalf("%s within %s, but %q", a.text(), b.text(), text)
			}
		}
	}
	for range 20000 {
		a, b := randomBounds(r), randomBounds(r)
		if !numberSet(a.condition()).within(numberSet(b.condition()), &p) {
			continue
		}
		claims["numbers"]++
		in := func(n numberRange, v float64) bool { return n.lowDouble <= v && v <= n.highDouble }
		for i := range 97 {
			v := float64(i-48) / 4
			whole := []int64{int64(i - 48), 1<<53 + int64(i-48)}
			for _, w := range whole {
				if v := float64(w); in(a.condition(), v) && !in(b.condition(), v) {
					t.Fatalf("%s within %s, but %v", a.text(), b.text(), v)
				}
				if a, b := a.condition(), b.condition(); a.low <= w && w <= a.high && (w < b.low || w > b.high) {
					t.Fatalf("%v within %v, but %d", a, b, w)
				}
			}
			if in(a.condition(), v) && !in(b.condition(), v) {
				t.Fatalf("%s within %s, but %v", a.text(), b.text(), v)
			}
		}
	}
	for _, kind := range []string{"false false", "false true", "true false", "true true", "numbers"} {
		if claims[kind] < 15 {
			t.Errorf("%s: %d claims only", kind, claims[kind])
		}
	}
	t.Log(claims)
}

func randomTexts(r *rand.Rand) *stringAttribute {
	s := &stringAttribute{key: "k", patterns: r.IntN(3) > 0}
	for range 1 + r.IntN(3) {
		text := ""
		for range 1 + r.IntN(3) {
			text += pick(r, "a", "b", "c")
		}
		if s.patterns {
			text = pick(r, "^", "") + text + pick(r, "$", "")
			if r.IntN(8) == 0 {
				text = pick(r, ".*", "^.*", ".+", "^.*$", "[ab]", "(?i)A", "(?m)^a$", "a|b", "a?")
			}
		}
		s.values = append(s.values, text)
	}
	slices.Sort(s.values)
	s.values = slices.Compact(s.values)
	return s
}

func naiveText(r *stringAttribute) func(text string) bool {
	if !r.patterns {
		return func(text string) bool { return slices.Contains(r.values, text) }
	}
	any := regexp.MustCompile("(" + strings.Join(r.values, ")|(") + ")")
	return any.MatchString
}

func randomBounds(r *rand.Rand) *numericAttribute {
	near := int64(0)
	if r.IntN(4) == 0 {
		near = 1 << 53 // where doubles cannot tell integers apart any more
	}
	one := func() *bound {
		if v := r.Int64N(40) - 20; v%4 == 0 || near > 0 {
			return &bound{isWhole: true, whole: near + v/4}
		} else {
			return &bound{fraction: float64(v) / 4}
		}
	}
	n := &numericAttribute{key: "k", min: one(), max: one()}
	if n.max.less(n.min) {
		n.min, n.max = n.max, n.min
	}
	switch r.IntN(4) {
	case 0:
		n.min = nil
	case 1:
		n.max = nil
	}
	return n
}

func randomTraceWithSpan(r *rand.Rand) *testTrace {
	for {
		tt := randomTrace(r)
		if slices.ContainsFunc(tt.lines, func(l testLine) bool { return !l.resource }) {
			return tt
		}
	}
}

// randomList writes a list of policies, some of them combined so that policies within each other have much in common. In half
// of the lists nothing passes everything by itself: there is more to find then.
func randomList(r *rand.Rand, n int) string {
	var b strings.Builder
	trivial := r.IntN(2) == 0
	one := func(name string, depth int) string {
		for {
			text := randomPolicy(r, name, depth)
			if trivial || !strings.Contains(text, "always_sample") && !strings.Contains(text, "percentage: 100") {
				return text
			}
		}
	}
	for i := range n {
		name := fmt.Sprintf("name: p%d, ", i)
		kind := pick(r, "", "", "", "and", "or", "not", "drop")
		switch kind {
		case "":
			fmt.Fprintf(&b, "- %s\n", one(name, 0))
		case "not":
			fmt.Fprintf(&b, "- {%stype: not, not: {not_sub_policy: %s}}\n", name, one("", 1))
		default:
			var list []string
			for range 1 + r.IntN(3) {
				list = append(list, one("", 1+r.IntN(3)))
			}
			fmt.Fprintf(&b, "- {%stype: %s, %s: {%s_sub_policy: [%s]}}\n", name, kind, kind, kind, strings.Join(list, ", "))
		}
	}
	return b.String()
}

// TestLintGivesUp checks that a list with more comparisons than anyone waits for is left alone in good time, and that a long
// one is not.
func TestLintGivesUp(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "- {name: p%d, type: and, and: {and_sub_policy: [{type: trace_flags},"+
			" {type: latency, latency: {threshold_ms: %d}}]}}\n", i, i)
	}
	plan, err := parseText(b.String())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(plan.Lint()); n != 299 {
		t.Errorf("%d warnings on 300 policies", n)
	}
	text := "&x0 {type: and, and: {and_sub_policy: [{type: trace_flags}, {type: latency, latency: {threshold_ms: 1}}]}}"
	for i := range 11 {
		kind := [...]string{"or", "and"}[i%2]
		text = fmt.Sprintf("&x%d {type: %s, %s: {%s_sub_policy: [%s, *x%d]}}", i+1, kind, kind, kind, text, i)
	}
	other := strings.NewReplacer("&x", "&y", "*x", "*y", "threshold_ms: 1", "threshold_ms: 2")
	list := strings.Replace(text, "{", "{name: a, ", 1) + ", " + other.Replace(strings.Replace(text, "{", "{name: b, ", 1))
	if plan, err = parseText("[" + list + "]"); err != nil {
		t.Fatal(err)
	}
	p := newProver(false)
	if p.implies(p.formula(&plan.policies[0]), p.formula(&plan.policies[1])) || !p.spent() {
		t.Errorf("%d steps left", p.steps)
	}
	plan.Lint()
}

// TestLintOnExamples checks that nothing is said of the lists that users are shown.
func TestLintOnExamples(t *testing.T) {
	lists := 0
	for path, blocks := range map[string]string{
		"../docs/policies.md":          "(?s)```yaml\n(.*?)\n```",
		"../README.md":                 "(?s)```yaml\n(.*?)\n```",
		"../deploy/thresher.yaml":      "(?s)^(.*)$",
		"../internal/demo/policies.go": "(?s)`\n(.*?)`",
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, block := range regexp.MustCompile(blocks).FindAllStringSubmatch(string(data), -1) {
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(block[1]), &doc); err != nil || strings.Contains(block[1], "ottl_condition") {
				continue
			}
			list := listOfPolicies(&doc)
			if list == nil {
				continue
			}
			text, err := yaml.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := parseText(string(text))
			if err != nil {
				t.Fatalf("%s: %v\n%s", path, err, text)
			}
			for _, w := range plan.Lint() {
				t.Errorf("%s: %v\n%s", path, w, text)
			}
			found++
		}
		if found == 0 {
			t.Errorf("%s: no list of policies", path)
		}
		lists += found
	}
	if lists < 15 {
		t.Errorf("%d lists only", lists)
	}
}

// listOfPolicies returns a document that is a list, or the first list that stands below `policies`.
func listOfPolicies(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.DocumentNode && n.Content[0].Kind == yaml.SequenceNode {
		return n.Content[0]
	}
	for i, within := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "policies" {
			return within
		}
		if list := listOfPolicies(within); list != nil {
			return list
		}
	}
	return nil
}
