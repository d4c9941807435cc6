package policies

import (
	"math"
	"math/big"
	"regexp"
	"slices"

	oteltrace "go.opentelemetry.io/otel/trace"

	"thresher/internal/wire"
)

func naiveState(text string, block map[string]any) bool {
	state, err := oteltrace.ParseTraceState(text)
	return err == nil && slices.Contains(block["values"].([]any), any(state.Get(block["key"].(string))))
}

// attribute asks about all attributes with a key.
func (n naive) attribute(kind string, block map[string]any) bool {
	return n.t.anyAttr(block["key"].(string), func(v wire.Value) bool {
		switch {
		case kind == "string_attribute" && v.Kind == wire.ValueString && len(v.Bytes) > 0:
			return naiveHas(block, string(v.Bytes))
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

func naiveHas(block map[string]any, text string) bool {
	return slices.ContainsFunc(block["values"].([]any), func(want any) bool {
		if block["enabled_regex_matching"] == true {
			return regexp.MustCompile(want.(string)).MatchString(text)
		}
		return want != "" && text == want
	})
}

// strictAttribute asks, as the Collector does, about the first attribute with a key of each resource and span. A value of another
// type is the zero value.
func (n naive) strictAttribute(kind string, block map[string]any) bool {
	for _, l := range n.t.lines {
		at := slices.IndexFunc(l.attrs, func(a testAttr) bool { return a.key == block["key"] })
		if at < 0 {
			continue
		}
		var text string
		var whole int64
		var truth bool
		switch v := l.attrs[at].value; v.Kind {
		case wire.ValueString:
			text = string(v.Bytes)
		case wire.ValueInt:
			whole = int64(v.Num)
		case wire.ValueBool:
			truth = v.Num == 1
		}
		hit := false
		switch kind {
		case "string_attribute":
			hit = (text != "" || l.resource) && naiveHas(block, text)
		case "boolean_attribute":
			hit = truth == block["value"].(bool)
		case "numeric_attribute":
			low, high := naiveWhole(block["min_value"]), naiveWhole(block["max_value"])
			hit = (low == 0 || whole >= low) && (high == 0 || whole <= high)
		}
		if hit {
			return true
		}
	}
	return false
}

// strictLatency asks about the duration of the trace after each span.
func (n naive) strictLatency(block map[string]any) bool {
	var start, end uint64
	for _, l := range n.t.lines {
		if l.resource {
			continue
		}
		if start == 0 || l.span.Start < start {
			start = l.span.Start
		}
		if end == 0 || l.span.End > end {
			end = l.span.End
		}
		d := new(big.Int).Sub(big.NewInt(int64(end)), big.NewInt(int64(start)))
		ms := d.Quo(d, big.NewInt(1e6)).Int64()
		above, upper := int64(naiveInt(block["threshold_ms"])), int64(naiveInt(block["upper_threshold_ms"]))
		if ms > above && (upper == 0 || ms <= upper) {
			return true
		}
	}
	return false
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

// naiveWhole cuts a bound to a whole number; 0 if there is none.
func naiveWhole(v any) int64 {
	if f, ok := v.(float64); ok {
		return int64(f)
	}
	return int64(naiveInt(v))
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

func (tt *testTrace) anyAttr(key string, is func(wire.Value) bool) bool {
	return slices.ContainsFunc(tt.lines, func(l testLine) bool {
		return slices.ContainsFunc(l.attrs, func(a testAttr) bool { return a.key == key && is(a.value) })
	})
}
