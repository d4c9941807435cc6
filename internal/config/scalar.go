package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"thresher/internal/receive"
)

func (w *walker) duration(n *yaml.Node, path string) (any, bool) {
	typed := w.typed(n)
	switch {
	case n.Kind != yaml.ScalarNode || typed.ShortTag() != "!!str" && typed.ShortTag() != "!!int" && typed.ShortTag() != "!!float":
		w.report(n, path, "is %s, but a duration is wanted; write a number with a unit, such as 500ms, 30s, 5m or 1h30m", describe(n))
		return nil, false
	case n.Value == "0":
		return "0s", true
	case typed.ShortTag() != "!!str":
		w.report(n, path, "is %s without a unit; write %ss for seconds, or use ms, m or h", describe(typed), n.Value)
		return nil, false
	}
	if _, err := time.ParseDuration(n.Value); err != nil {
		hint := "write a number with a unit, such as 500ms, 30s, 5m or 1h30m"
		if days, found := strings.CutSuffix(n.Value, "d"); found {
			if count, err := strconv.ParseFloat(days, 64); err == nil {
				hint = fmt.Sprintf("days have no unit, so write %gh", count*24)
			}
		}
		w.report(n, path, "%s is not a duration; %s", quote(n.Value), hint)
		return nil, false
	}
	return n.Value, true
}

func (w *walker) scalar(n *yaml.Node, t reflect.Type, path string) (any, bool) {
	typed := w.typed(n)
	tag := typed.ShortTag()
	bad := func() (any, bool) {
		if t == opaqueType {
			w.report(n, path, "is not text; put it in quotes")
			return nil, false
		}
		hint := ""
		switch {
		case n.Kind != yaml.ScalarNode:
		case t.Kind() == reflect.String:
			hint = "; put it in quotes"
		case isInteger(t) && sizeHint(path, n.Value) != "":
			hint = "; write " + sizeHint(path, n.Value)
		case t.Kind() == reflect.Bool && slices.Contains([]string{"yes", "on", "1"}, strings.ToLower(n.Value)):
			hint = "; write true"
		case t.Kind() == reflect.Bool && slices.Contains([]string{"no", "off", "0"}, strings.ToLower(n.Value)):
			hint = "; write false"
		case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && t.Kind() != reflect.String && w.d.text[n] == "":
			hint = "; remove the quotes if it is one"
		}
		w.report(n, path, "is %s, but %s is wanted%s", describe(n), wanted(t), hint)
		return nil, false
	}
	if n.Kind != yaml.ScalarNode {
		return bad()
	}
	switch t.Kind() {
	case reflect.String:
		_, fromEnvironment := w.d.text[n]
		if tag != "!!str" && n.ShortTag() != "!!str" && !fromEnvironment {
			return bad()
		}
		return n.Value, true
	case reflect.Bool:
		var v bool
		if tag != "!!bool" || typed.Decode(&v) != nil {
			return bad()
		}
		return v, true
	case reflect.Float32, reflect.Float64:
		var v float64
		if tag != "!!int" && tag != "!!float" || typed.Decode(&v) != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return bad()
		}
		return v, true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var v int64
		if tag != "!!int" || typed.Decode(&v) != nil {
			return bad()
		}
		if reflect.Zero(t).OverflowInt(v) {
			w.report(n, path, "%d is too large", v)
			return nil, false
		}
		return v, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var v uint64
		if tag != "!!int" || typed.Decode(&v) != nil {
			return bad()
		}
		if reflect.Zero(t).OverflowUint(v) {
			w.report(n, path, "%d is too large", v)
			return nil, false
		}
		return v, true
	}
	return plain(w.d, n), true
}

// typed returns the value with the type that its text has in YAML if it came from the environment, else as written.
func (w *walker) typed(n *yaml.Node) *yaml.Node {
	if retyped := w.d.retyped[n]; retyped != nil {
		return retyped
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func isInteger(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

// sizeHint returns the number for a size with a unit where only a number is taken.
func sizeHint(path, text string) string {
	var size receive.ByteSize
	if size.UnmarshalText([]byte(text)) != nil {
		return ""
	}
	switch key := path[strings.LastIndexByte(path, '.')+1:]; {
	case strings.HasSuffix(key, "_mib"):
		size /= 1 << 20
	case strings.HasSuffix(key, "megabytes"):
		size /= 1e6
	case !strings.Contains(key, "bytes") && !strings.Contains(key, "size"):
		return ""
	}
	return strconv.FormatInt(int64(size), 10)
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative,"
	}
	if t == durationType {
		return "a duration such as 30s"
	}
	return "a whole number"
}
