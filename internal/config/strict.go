package config

import (
	"math"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// With compat: strict a block that the Collector's processor runs with must be read, and mean the same. So what is a mistake
// elsewhere, and the Collector takes no notice of, is a warning here.

// isStrict says whether a block asks for the Collector's answers. It is asked before the block is decoded.
func isStrict(n *yaml.Node) bool {
	_, value := get(n, "compat")
	return value != nil && value.Value == compatStrict
}

// asCollector returns the block with values as the Collector's decoder takes them: keys without a value are not there, numbers for
// durations are nanoseconds, and fractions are cut off. n is left as it is.
func (r *reader) asCollector(n *yaml.Node, path string) *yaml.Node {
	copied := *n
	copied.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		full, typed := sub(path, key.Value), value
		if retyped := r.d.retyped[value]; retyped != nil {
			typed = retyped
		}
		number := typed.Kind == yaml.ScalarNode && slices.Contains([]string{"!!int", "!!float"}, typed.ShortTag())
		switch key.Value {
		case "decision_wait", "decision_wait_after_root_received":
			if number {
				r.d.warn(value, full, "is a number without a unit, which the Collector takes for nanoseconds; write such as %ss", value.Value)
				value = scalarLike(value, "!!str", whole(typed)+"ns")
			}
		case "num_traces", "expected_new_traces_per_sec", "num_shards", "maximum_trace_size_bytes":
			if number && typed.ShortTag() == "!!float" {
				r.d.warn(value, full, "is %s, but a whole number is wanted; the Collector takes it for %s", value.Value, whole(typed))
				value = scalarLike(value, "!!int", whole(typed))
			}
		}
		if known, _ := fields(blockType); known[key.Value] != nil && key.Value != "policies" && isNull(value) && r.d.text[value] == "" {
			r.d.warn(key, full, "has no value, so it is as if it were not there; write one, or remove the line")
			continue
		}
		copied.Content = append(copied.Content, key, value)
	}
	return &copied
}

func scalarLike(n *yaml.Node, tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value, Line: n.Line, Column: n.Column}
}

// whole writes a number without its fraction. One that no integer holds stays as it is, and is a mistake.
func whole(n *yaml.Node) string {
	var f float64
	if n.ShortTag() != "!!float" || n.Decode(&f) != nil || math.Abs(f) >= 1<<63 || math.IsNaN(f) {
		return n.Value
	}
	return strconv.FormatInt(int64(f), 10)
}

// strictWaits gives waits that the Collector accepts the meaning that they have there: it decides once a second, so it waits a
// second at least, and no time below 0.
func (r *reader) strictWaits(w *walker, block *samplingBlock, key, n *yaml.Node, path string) {
	take := func(name string, of *time.Duration, instead time.Duration, why string) {
		at, _, full := descend(key, n, path, name)
		if *of != instead && !w.wrong[full] {
			r.d.warn(at, full, "%v %s, so it is taken for %v", *of, why, instead)
			*of = instead
		}
	}
	const wait, root = "decision_wait", "decision_wait_after_root_received"
	switch v := block.DecisionWait; {
	case v < time.Second:
		take(wait, &block.DecisionWait, time.Second, "is less than a second, and the Collector decides once a second")
	case v > longestWait:
		take(wait, &block.DecisionWait, longestWait, "is more than 24h")
	default:
		take(wait, &block.DecisionWait, wholeMillis(v), notWholeMillis)
	}
	if v := block.DecisionWaitAfterRoot; v < 0 {
		take(root, &block.DecisionWaitAfterRoot, 0, "is negative")
	} else {
		take(root, &block.DecisionWaitAfterRoot, wholeMillis(v), notWholeMillis)
	}
}

// wholeMillis returns the duration, or the next that is a whole number of milliseconds.
func wholeMillis(d time.Duration) time.Duration {
	if rest := d % time.Millisecond; rest > 0 {
		return d - rest + time.Millisecond
	}
	return d
}
