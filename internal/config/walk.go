package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/suggest"
)

// walker holds YAML against a Go type. It reports every unknown key and every value of the wrong type, and returns the
// rest as confmap takes it: what is wrong is left out, so that decoding and validation can go on and find more.
type walker struct {
	d *document
	// accept, if set, says of a key that the type does not have whether it is to be passed on all the same.
	accept func(path, key string) bool
	// wrong are the paths of what was reported, so that the same thing is not reported again as missing.
	wrong map[string]bool
}

func (w *walker) report(n *yaml.Node, path, format string, args ...any) {
	w.wrong[path] = true
	msg := fmt.Sprintf(format, args...)
	if ref, ok := w.d.text[n]; ok {
		msg += " (the value comes from " + ref + ")"
	}
	w.d.add(n, path, "%s", msg)
}

// value returns what n says for a t; ok is false if it says nothing that can be used.
func (w *walker) value(n *yaml.Node, t reflect.Type, path string) (v any, ok bool) {
	if w.d.broken[n] {
		w.wrong[path] = true
		return nil, false
	}
	_, isOptional := optional(t)
	mayBeNull := isOptional || t.Kind() == reflect.Pointer
	section := t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && t != nodeType
	t = bare(t)
	switch {
	case t == nodeType:
		return nil, false
	case section && isNull(n):
		// A section that is there is on, even if it is empty. To confmap null would be a section that is not there: of
		// all things, `tls:` would mean plain text.
		return map[string]any{}, true
	case t == mapListType && n.Kind == yaml.MappingNode:
		return w.dict(n, reflect.MapOf(reflect.TypeFor[string](), opaqueType), path)
	}
	if isNull(n) {
		switch t.Kind() {
		case reflect.Struct, reflect.Map, reflect.Slice, reflect.Interface:
			return nil, true
		case reflect.String:
			if _, fromEnvironment := w.d.text[n]; fromEnvironment {
				return n.Value, true
			}
		}
		if mayBeNull {
			return nil, true
		}
		w.report(n, path, "has no value; write %s after the colon, or remove the line for the default", wanted(t))
		return nil, false
	}
	switch {
	case t == durationType:
		return w.duration(n, path)
	case readsText(t) && n.Kind == yaml.ScalarNode && (!isInteger(t) || w.typed(n).ShortTag() != "!!int"):
		if t.Kind() == reflect.String && n.ShortTag() != "!!str" && w.d.text[n] == "" {
			break // the number or boolean is reported below
		}
		if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
			w.report(n, path, "%v", err)
			return nil, false
		}
		return n.Value, true
	}
	switch t.Kind() {
	case reflect.Struct:
		return w.block(n, t, path, isOptional)
	case reflect.Map:
		return w.dict(n, t, path)
	case reflect.Slice:
		return w.list(n, t, path)
	case reflect.Interface:
		return plain(w.d, n), true
	}
	return w.scalar(n, t, path)
}

func (w *walker) block(n *yaml.Node, t reflect.Type, path string, switchable bool) (any, bool) {
	keys, open := fields(t)
	known := slices.Collect(maps.Keys(keys))
	if switchable && keys["enabled"] == nil {
		keys["enabled"] = reflect.TypeFor[bool]()
	}
	if n.Kind != yaml.MappingNode {
		w.report(n, path, "is %s, but a block of keys is wanted; write the keys below it: %s", describe(n), list(known))
		return nil, false
	}
	block := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name, at := key.Value, sub(path, key.Value)
		keyType := keys[name]
		if keyType == nil && (open || w.accept != nil && w.accept(path, name)) {
			block[name] = plain(w.d, value)
			continue
		}
		if keyType == nil {
			meant := suggest.Nearest(name, known)
			if meant == "" {
				w.report(key, at, "unknown key; %s", elsewhere(name, known))
				continue
			}
			w.report(key, at, "unknown key; did you mean %q?", meant)
			if has(n, meant) {
				continue
			}
			// Go on as if it were written right, for what else is wrong below it.
			renamed := *key
			renamed.Value = meant
			n.Content[i] = &renamed
			name, keyType, at = meant, keys[meant], sub(path, meant)
		}
		if needsExtension(keyType) && !isNull(value) {
			w.report(key, at, "refers to an extension, and extensions are not supported in this version; remove it, and use tls with "+
				"client certificates, or headers, instead")
			continue
		}
		if v, ok := w.value(value, keyType, at); ok {
			block[name] = v
		}
	}
	return block, true
}

func (w *walker) dict(n *yaml.Node, t reflect.Type, path string) (any, bool) {
	if n.Kind != yaml.MappingNode {
		w.report(n, path, "is %s, but a block of keys and values is wanted; write one `key: value` a line below it", describe(n))
		return nil, false
	}
	dict := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v, ok := w.value(n.Content[i+1], t.Elem(), sub(path, n.Content[i].Value)); ok {
			dict[n.Content[i].Value] = v
		}
	}
	return dict, true
}

// list also takes one text with commas, as confmap does: that is how a list comes from one environment variable.
func (w *walker) list(n *yaml.Node, t reflect.Type, path string) (any, bool) {
	items := n.Content
	if n.Kind != yaml.SequenceNode {
		if n.Kind != yaml.ScalarNode || bare(t.Elem()).Kind() != reflect.String {
			w.report(n, path, "is %s, but a list is wanted; write [a, b], or one item a line after a dash", describe(n))
			return nil, false
		}
		if strings.HasPrefix(n.Value, "[") {
			w.report(n, path, "is the text %s, not a list; write the items with commas between them and no brackets", quote(n.Value))
			return nil, false
		}
		items = nil
		for item := range strings.SplitSeq(n.Value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: item, Line: n.Line, Column: n.Column})
			}
		}
	}
	result := []any{}
	for i, item := range items {
		if v, ok := w.value(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); ok {
			result = append(result, v)
		}
	}
	return result, true
}

// plain returns the value of a resolved tree without a type to go by.
func plain(d *document, n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		block := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !d.broken[n.Content[i+1]] {
				block[n.Content[i].Value] = plain(d, n.Content[i+1])
			}
		}
		return block
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			if !d.broken[item] {
				list = append(list, plain(d, item))
			}
		}
		return list
	}
	var v any
	if n.Decode(&v) != nil {
		return n.Value
	}
	return v
}
