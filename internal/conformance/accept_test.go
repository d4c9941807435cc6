package conformance

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"thresher/internal/config"
)

var oddities = flag.Int("oddities", 1500, "how many configurations with mistakes TestStrictAcceptsWhatThePeerAccepts makes")

// TestStrictAcceptsWhatThePeerAccepts makes mistakes in configurations. What the peer takes no notice of must load with
// compat: strict, and decide the same; what it refuses, or crashes on, may be refused.
func TestStrictAcceptsWhatThePeerAccepts(t *testing.T) {
	p := startPeer(t)
	refused, crashed, accepted, warned := 0, 0, 0, 0
	for no := range *oddities {
		g := newGenerator(*seed, 1<<32+uint64(no))
		l, _ := g.list(allTypes())
		block := g.spoil(l)
		again := fmt.Sprintf("Again: number %d of seed %d\n%s", no, *seed, block)
		e, warnings, refusal := strictly(block)
		if refusal != nil && strings.Contains(refusal.Error(), "crashes") {
			crashed++ // with the first trace, see TestMistakes; it takes ten seconds to be sure of one
			continue
		}
		wrong := 0
		for range 4 {
			tr := g.trace()
			theirs, err := p.decide(block, batches([]*trace{tr})...)
			if errors.Is(err, errCrash) {
				t.Fatalf("the peer crashes, Thresher says: %v\n%s", refusal, again)
			}
			if err != nil {
				refused++
				wrong = -1
				break
			}
			if refusal != nil {
				t.Fatalf("Thresher refuses what the peer accepts: %v\n%s", refusal, again)
			}
			ours, err := e.decide(batches([]*trace{tr})...)
			if err != nil {
				t.Fatalf("%v\n%s", err, again)
			}
			if ours[tr.id] != theirs[tr.id] {
				t.Fatalf("Thresher says %v, the peer %v\n%s%s", ours[tr.id], theirs[tr.id], again, tr)
			}
		}
		if wrong == 0 {
			accepted++
			warned += min(warnings, 1)
		}
	}
	t.Logf("%d configurations with mistakes: the peer refuses %d, crashes on %d, accepts %d; Thresher warns of %d of these",
		*oddities, refused, crashed, accepted, warned)
	if accepted < *oddities/4 || warned < accepted/2 {
		t.Error("too few of the mistakes are such that the peer accepts them and Thresher warns of them")
	}
}

// strictly loads a tail_sampling block as users do.
func strictly(block string) (e *engine, warnings int, err error) {
	text := "processors:\n  tail_sampling:\n    " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n    ") + "\n"
	p, err := config.ParsePolicies("otel.yaml", []byte(text), config.PoliciesFrom{
		Compat: "strict", Getenv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		return nil, 0, err
	}
	return &engine{p.Plan, uint64(p.Sampling.MaxTraceBytes)}, len(p.Warnings), nil
}

// spoil writes a configuration with a few mistakes.
func (g *generator) spoil(l *list) string {
	var all []map[string]any // the mappings that mistakes can be made in
	var gather func(v any)
	gather = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			all = append(all, v)
			for _, k := range slices.Sorted(maps.Keys(v)) {
				gather(v[k])
			}
		case []any:
			for _, item := range v {
				gather(item)
			}
		}
	}
	top := map[string]any{"decision_wait": "30s", "sample_on_first_match": l.firstMatch, "policies": plain(blocks(l.policies))}
	for _, p := range top["policies"].([]any) {
		gather(p)
	}
	for range 1 + g.IntN(2) {
		g.mistake(all[g.IntN(len(all))])
	}
	if g.chance(6) {
		key := pick(g, "decision_wait", "decision_wait_after_root_received", "num_traces", "maximum_trace_size_bytes", "policies",
			"expected_new_traces_per_sec", "decision_cache", "num_shards", "sample_on_first_match")
		top[key] = pick[any](g, nil, 0, 30, 1.5, "0s", "-5s", "1500us", "30h", []any{}, "", map[string]any{})
		if key == "maximum_trace_size_bytes" && top[key] == 30 {
			top[key] = 1e6
		}
		if key == "num_shards" && top[key] != nil {
			top[key] = 1 // more of them divide limits
		}
	}
	return yamlOf(top)
}

// mistake makes one in a mapping.
func (g *generator) mistake(m map[string]any) {
	keys := slices.Sorted(maps.Keys(m))
	if len(keys) == 0 || g.chance(8) {
		m[pick(g, "latency", "probabilistic", "vendor_policy", "always_sample", "min_value")] = pick[any](g, nil, map[string]any{}, map[string]any{"x": 1})
		return
	}
	key := keys[g.IntN(len(keys))]
	switch v := m[key].(type) {
	case float64:
		m[key] = pick[any](g, nil, 0, -1, -v, 0, -1, v/3, v+0.5, 1e7, -2.5, 3000000000.0, pick[any](g, 7, "5", true))
	case string:
		m[key] = pick[any](g, nil, "", v+"x", v, v, pick[any](g, 5, []any{v}, strings.ToUpper(v)))
	case bool:
		m[key] = pick[any](g, nil, !v, !v, pick[any](g, "true", 1))
	case []any:
		switch g.IntN(7) {
		case 0:
			m[key] = []any{}
		case 1:
			m[key] = nil
		case 2:
			m[key] = append(slices.Clone(v), pick[any](g, "", nil, "a,b", pick[any](g, 5, map[string]any{})))
		case 3:
			m[key] = pick[any](g, "", "ERROR", "debug,trace", "gold, silver,/healthz", "name == \"a\"")
		case 4:
			m[key] = append(slices.Clone(v), v...)
		default:
			m[key] = append([]any{""}, v...)
		}
	case map[string]any:
		m[key] = pick[any](g, nil, map[string]any{}, nil, pick[any](g, []any{}, "", map[string]any{"x": 1}))
	default:
		delete(m, key)
	}
	if g.chance(4) {
		delete(m, key)
	}
}

// plain makes values of JSON out of blocks, so that all numbers are of one type.
func plain(v any) (out any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

// yamlOf writes a block a key a line. JSON is YAML.
func yamlOf(block map[string]any) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(block)) {
		v, err := json.Marshal(block[key])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", key, v)
	}
	return b.String()
}
