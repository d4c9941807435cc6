package config

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"
)

// place is where a message belongs: a key of a section, the value below it, and the type that it is decoded into.
type place struct {
	at    *yaml.Node // for line and column
	value *yaml.Node // nil if the key is not in the file
	t     reflect.Type
	path  string
}

// decode reads a section over the defaults in into, and reports everything that is wrong with it. It returns the walker
// for those who have more to check.
func decode[T any](d *document, key, n *yaml.Node, path string, into *T) *walker {
	w := &walker{d: d, wrong: map[string]bool{}}
	section := place{at: key, value: n, t: reflect.TypeFor[T](), path: path}
	v, ok := w.value(n, section.t, path)
	if !ok {
		return w
	}
	settings, _ := v.(map[string]any)
	if err := confmap.NewFromStringMap(settings).Unmarshal(into); err != nil {
		w.spread(err, section)
		return w
	}
	w.spread(confmap.Validate(into), section)
	return w
}

// spread reports the errors of decoding and validation, each at the key that it is about.
func (w *walker) spread(err error, section place) {
	for _, text := range flatten("", err) {
		p, msg := section.locate(text)
		if w.known(p.path, section.path, msg) {
			continue
		}
		w.d.add(p.at, p.path, "%s", msg)
	}
}

// known says whether a message about a path is only a consequence of what was already reported: the value was wrong, so
// it was left out, so now it is missing.
func (w *walker) known(path, section, msg string) bool {
	if w.wrong[path] {
		return true
	}
	for wrong := range w.wrong {
		if path != section && (strings.HasPrefix(wrong, path+".") || strings.HasPrefix(wrong, path+"[")) {
			return true
		}
		if path == section && strings.HasPrefix(wrong, section) {
			last := wrong[strings.LastIndexAny(wrong, ".]")+1:]
			if last != "" && regexp.MustCompile(`\b`+regexp.QuoteMeta(last)+`\b`).MatchString(msg) {
				return true
			}
		}
	}
	return false
}

// flatten takes joined errors apart and keeps what was put in front of them.
func flatten(prefix string, err error) []string {
	if err == nil {
		return nil
	}
	text := err.Error()
	if many, ok := any(err).(interface{ Unwrap() []error }); ok && errors.Join(many.Unwrap()...).Error() == text {
		var texts []string
		for _, one := range many.Unwrap() {
			texts = append(texts, flatten(prefix, one)...)
		}
		return texts
	}
	if inner := errors.Unwrap(err); inner != nil && strings.HasSuffix(text, inner.Error()) {
		return flatten(prefix+strings.TrimSuffix(text, inner.Error()), inner)
	}
	var texts []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "decoding failed due to") {
			texts = append(texts, prefix+strings.TrimPrefix(line, "* "))
		}
	}
	return texts
}

var quotedPath = regexp.MustCompile(`^'([^' ]*)' `)

// locate follows the keys that a message begins with, as in "tls::ca_file: no such file" or "spans.topic: is empty", as
// far as the type has such keys.
func (p place) locate(text string) (place, string) {
	for {
		head, rest, ok := strings.Cut(text, ": ")
		if m := quotedPath.FindStringSubmatch(text); m != nil {
			head, rest, ok = m[1], text[len(m[0]):], true
		}
		if !ok || head == "" || strings.ContainsAny(head, " \"'") {
			return p.mentioned(text)
		}
		below := p
		for element := range strings.FieldsFuncSeq(head, func(r rune) bool { return strings.ContainsRune(":.[]", r) }) {
			if below, ok = below.below(element); !ok {
				return p.mentioned(text)
			}
		}
		p, text = below, rest
	}
}

var (
	subject = regexp.MustCompile(`^([a-z0-9_]+) ((?:is|has|must|cannot|should) .*)$`)
	keyword = regexp.MustCompile(`[a-z0-9]+_[a-z0-9_]+`)
)

// mentioned goes to the key that a message is about when the message has it as a word: "max_in_flight is 0, want 1".
func (p place) mentioned(text string) (place, string) {
	if m := subject.FindStringSubmatch(text); m != nil {
		if below, ok := p.below(m[1]); ok {
			return below, m[2]
		}
	}
	var found []string
	for _, word := range keyword.FindAllString(text, -1) {
		if has(p.value, word) && !slices.Contains(found, word) {
			found = append(found, word)
		}
	}
	if len(found) == 1 {
		if below, ok := p.below(found[0]); ok {
			return below, text
		}
	}
	return p, text
}

func (p place) below(element string) (place, bool) {
	t, inYAML := step(p.t, element)
	if t == nil {
		return p, false
	}
	if !inYAML {
		p.t = t
		return p, true
	}
	at, value, path := descend(p.at, p.value, p.path, element)
	return place{at: at, value: value, t: t, path: path}, true
}

// descend goes to one key or item below a value. Where there is none, it stays at the last place that is in the file.
func descend(at, n *yaml.Node, path, element string) (*yaml.Node, *yaml.Node, string) {
	if n != nil && n.Kind == yaml.SequenceNode {
		path += "[" + element + "]"
		if i, err := strconv.Atoi(element); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i], path
		}
		return at, nil, path
	}
	path = sub(path, element)
	key, value := get(n, element)
	switch {
	case key == nil:
		return at, nil, path
	case value.Kind == yaml.ScalarNode && value.Line == key.Line:
		return value, value, path
	}
	// A block begins a line below its key, at whatever comes first in it; the key is what people look for.
	return key, value, path
}
