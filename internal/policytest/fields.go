package policytest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"thresher/internal/config"
	"thresher/internal/suggest"
)

// A block gives out the fields of a mapping, and reports those that have the wrong type.
type block struct {
	doc    *config.Document
	at     *yaml.Node // where what is missing is reported
	path   string
	values map[string]*yaml.Node
}

// read takes n for a block with the known keys. ok is false if it is none, which is reported, or cannot be resolved.
func read(doc *config.Document, at, n *yaml.Node, path string, known ...string) (b block, ok bool) {
	b = block{doc: doc, at: at, path: path, values: map[string]*yaml.Node{}}
	if doc.Broken(n) {
		return b, false
	}
	if n.Kind != yaml.MappingNode {
		doc.Report(n, path, "is %s, but a block with the keys %s is wanted", config.Describe(n), strings.Join(known, ", "))
		return b, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := key.Value
		if !slices.Contains(known, name) {
			meant := suggest.Nearest(name, known)
			if meant == "" {
				doc.Report(key, join(path, name), "unknown key; known here: %s", strings.Join(known, ", "))
				continue
			}
			doc.Report(key, join(path, name), "unknown key; did you mean %q?", meant)
			if b.values[meant] != nil {
				continue
			}
			name = meant // to go on as if it were written right, for what else is wrong
		}
		if !isNull(value) { // a key without a value is as good as absent
			b.values[name] = value
		}
	}
	return b, true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (b *block) sub(key string) string { return join(b.path, key) }

func (b *block) has(key string) bool { return b.values[key] != nil }

func (b *block) report(key, format string, args ...any) {
	at := b.values[key]
	if at == nil {
		at = b.at
	}
	b.doc.Report(at, b.sub(key), format, args...)
}

// scalar returns the value of a field if it is a scalar of one of the tags.
func (b *block) scalar(key, want string, tags ...string) (*yaml.Node, bool) {
	n := b.values[key]
	if n == nil || b.doc.Broken(n) {
		return nil, false
	}
	if n.Kind == yaml.ScalarNode && slices.Contains(tags, n.ShortTag()) {
		return n, true
	}
	b.report(key, "is %s, but %s is wanted", config.Describe(n), want)
	return nil, false
}

func (b *block) text(key string) (string, bool) {
	n, ok := b.scalar(key, "text (in quotes if it looks like something else)", "!!str")
	if !ok {
		return "", false
	}
	return n.Value, true
}

func (b *block) flag(key string, fallback bool) bool {
	n, ok := b.scalar(key, "true or false", "!!bool")
	v := fallback
	if ok && n.Decode(&v) != nil {
		return fallback
	}
	return v
}

func (b *block) number(key string) (float64, bool) {
	n, ok := b.scalar(key, "a number", "!!int", "!!float")
	var v float64
	if !ok || n.Decode(&v) != nil {
		return 0, false
	}
	return v, true
}

// whole returns a whole number from least to most.
func (b *block) whole(key string, least, most, fallback int64) int64 {
	n, ok := b.scalar(key, "a whole number", "!!int")
	if !ok {
		return fallback
	}
	var v int64
	if n.Decode(&v) != nil || v < least || v > most {
		b.report(key, "is %s; write %d to %d", n.Value, least, most)
		return fallback
	}
	return v
}

// longest bounds durations: sums of them must not overflow.
const longest = 30 * 24 * time.Hour

// duration returns a duration, 0 if it is absent or wrong.
func (b *block) duration(key string) time.Duration {
	n, ok := b.scalar(key, "a duration such as 120ms", "!!str", "!!int", "!!float")
	if !ok || n.Value == "0" {
		return 0
	}
	d, err := time.ParseDuration(n.Value)
	switch {
	case n.ShortTag() != "!!str":
		b.report(key, "is the number %s without a unit; write %sms for milliseconds, or use us, s, m or h", n.Value, n.Value)
	case err != nil:
		b.report(key, "%s is not a duration; write a number with a unit, such as 120ms, 1.5s or 2m", strconv.Quote(n.Value))
	case d < 0 || d > longest:
		b.report(key, "is %v; write 0s to %v", d, longest)
	default:
		return d
	}
	return 0
}

// choice returns the number of a word among some.
func (b *block) choice(key string, words ...string) (int, bool) {
	text, ok := b.text(key)
	if !ok {
		return 0, false
	}
	i := slices.Index(words, text)
	if i < 0 {
		hint := suggest.DidYouMean(text, words)
		if hint == "" {
			hint = "; write " + strings.Join(words, ", ")
		}
		b.report(key, "%s is not known%s", strconv.Quote(text), hint)
	}
	return i, i >= 0
}

// list returns the items of a list with their paths.
func (b *block) list(key, want string) (items []*yaml.Node, paths []string) {
	n := b.values[key]
	switch {
	case n == nil || b.doc.Broken(n):
		return nil, nil
	case n.Kind != yaml.SequenceNode:
		b.report(key, "is %s, but a list of %s is wanted", config.Describe(n), want)
		return nil, nil
	}
	for i := range n.Content {
		paths = append(paths, fmt.Sprintf("%s[%d]", b.sub(key), i))
	}
	return n.Content, paths
}
