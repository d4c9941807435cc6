package policies

import (
	"hash/fnv"
	"math"
	"math/big"
	"regexp"
	"slices"

	oteltrace "go.opentelemetry.io/otel/trace"

	"thresher/internal/wire"
)

// naive decides a trace by a policy list as YAML decodes it, in the most obvious way.
func naive(list []any, t *testTrace) (keep, dropped bool, policy int, matched []bool) {
	for _, item := range list {
		matched = append(matched, naivePasses(item.(map[string]any), t))
	}
	for i, item := range list {
		if matched[i] && item.(map[string]any)["type"] == "drop" {
			return false, true, i, matched
		}
	}
	for i := range list {
		if matched[i] {
			return true, false, i, matched
		}
	}
	return false, false, -1, matched
}

func naivePasses(p map[string]any, t *testTrace) bool {
	kind := p["type"].(string)
	block, _ := p[kind].(map[string]any)
	switch kind {
	case "always_sample":
		return true
	case "status_code":
		return t.anySpan(func(s *wire.Span) bool {
			name := map[int32]any{0: "UNSET", 1: "OK", 2: "ERROR"}[s.Status]
			return name != nil && slices.Contains(block["status_codes"].([]any), name)
		})
	case "trace_flags":
		return t.anySpan(func(s *wire.Span) bool { return s.Flags&1 == 1 })
	case "trace_state":
		return t.anySpan(func(s *wire.Span) bool {
			state, err := oteltrace.ParseTraceState(string(s.TraceState))
			return err == nil && slices.Contains(block["values"].([]any), any(state.Get(block["key"].(string))))
		})
	case "latency":
		var start, end uint64
		for _, l := range t.lines {
			if s := l.span.Start; !l.resource && s > 0 && (start == 0 || s < start) {
				start = s
			}
			if !l.resource {
				end = max(end, l.span.End)
			}
		}
		ms := 0
		if start > 0 && end > start {
			ms = int((end - start) / 1e6)
		}
		upper := naiveInt(block["upper_threshold_ms"])
		return ms > naiveInt(block["threshold_ms"]) && (upper == 0 || ms <= upper)
	case "span_count":
		n := 0
		for _, l := range t.lines {
			if !l.resource {
				n++
			}
		}
		most := naiveInt(block["max_spans"])
		return n >= naiveInt(block["min_spans"]) && (most == 0 || n <= most)
	case "probabilistic":
		salt, _ := block["hash_salt"].(string)
		if salt == "" {
			salt = "default-hash-seed"
		}
		h := fnv.New64a()
		h.Write([]byte(salt))
		h.Write(t.id[:])
		part := big.NewFloat(naiveFloat(block["sampling_percentage"]) / 100)
		all := new(big.Float).SetInt(new(big.Int).SetUint64(math.MaxUint64))
		threshold, _ := all.Mul(all, part).Uint64()
		return h.Sum64() <= threshold
	case "and", "drop":
		for _, sub := range block[kind+"_sub_policy"].([]any) {
			if !naivePasses(sub.(map[string]any), t) {
				return false
			}
		}
		return true
	case "not":
		return !naivePasses(block["not_sub_policy"].(map[string]any), t)
	}
	invert, _ := block["invert_match"].(bool)
	return invert != t.anyAttr(block["key"].(string), func(v wire.Value) bool {
		switch {
		case kind == "string_attribute" && v.Kind == wire.ValueString && len(v.Bytes) > 0:
			for _, want := range block["values"].([]any) {
				if block["enabled_regex_matching"] == true && regexp.MustCompile(want.(string)).Match(v.Bytes) ||
					block["enabled_regex_matching"] != true && string(v.Bytes) == want {
					return true
				}
			}
		case kind == "boolean_attribute" && v.Kind == wire.ValueBool:
			return (v.Num == 1) == block["value"].(bool)
		case kind == "numeric_attribute" && v.Kind == wire.ValueInt:
			return naiveBetween(block, new(big.Float).SetInt64(int64(v.Num)))
		case kind == "numeric_attribute" && v.Kind == wire.ValueDouble && !math.IsNaN(math.Float64frombits(v.Num)):
			return naiveBetween(block, big.NewFloat(math.Float64frombits(v.Num)))
		}
		return false
	})
}

func naiveBetween(block map[string]any, v *big.Float) bool {
	low, high := block["min_value"], block["max_value"]
	return (low == nil || v.Cmp(naiveBig(low)) >= 0) && (high == nil || v.Cmp(naiveBig(high)) <= 0)
}

func naiveBig(v any) *big.Float {
	if i, ok := v.(int); ok {
		return new(big.Float).SetInt64(int64(i))
	}
	return big.NewFloat(v.(float64))
}

func naiveInt(v any) int {
	if v == nil {
		return 0
	}
	return v.(int)
}

func naiveFloat(v any) float64 {
	if i, ok := v.(int); ok {
		return float64(i)
	}
	return v.(float64)
}

func (tt *testTrace) anySpan(is func(*wire.Span) bool) bool {
	return slices.ContainsFunc(tt.lines, func(l testLine) bool { return !l.resource && is(&l.span) })
}

func (tt *testTrace) anyAttr(key string, is func(wire.Value) bool) bool {
	return slices.ContainsFunc(tt.lines, func(l testLine) bool {
		return slices.ContainsFunc(l.attrs, func(a testAttr) bool { return a.key == key && is(a.value) })
	})
}
