package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expandAll replaces the references in every value of the tree. Keys are left alone, as in the Collector. Aliases are not
// followed: what they point to is in the tree itself.
func (d *document) expandAll(n *yaml.Node, path string, getenv func(string) (string, bool)) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			d.expandAll(n.Content[i], sub(path, n.Content[i-1].Value), getenv)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			d.expandAll(item, path+"["+strconv.Itoa(i)+"]", getenv)
		}
	case yaml.ScalarNode:
		d.expandScalar(n, path, getenv)
	}
}

func (d *document) expandScalar(n *yaml.Node, path string, getenv func(string) (string, bool)) {
	if !strings.Contains(n.Value, "$") {
		return
	}
	value, whole, err := expand(n.Value, getenv)
	if err != nil {
		d.broken[n] = true
		d.add(n, path, "%v", err)
		return
	}
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if strings.Contains(n.Value, "${") && value != n.Value {
		d.text[n] = n.Value
	}
	n.Value, n.Tag, n.Style = value, "!!str", yaml.DoubleQuotedStyle
	if !whole || strings.ContainsAny(value, "\r\n") {
		// Text around a reference makes the whole a text, whatever it looks like.
		return
	}
	retyped := yaml.Node{Kind: yaml.ScalarNode, Value: value, Line: n.Line, Column: n.Column}
	switch tag := retyped.ShortTag(); tag {
	case "!!null", "!!bool", "!!int", "!!float":
		retyped.Tag = tag
		d.retyped[n] = &retyped
		if !quoted {
			n.Tag, n.Style = tag, 0
		}
	}
}

// expand replaces the references in s; whole says that s was one reference and nothing else.
func expand(s string, getenv func(string) (string, bool)) (value string, whole bool, err error) {
	var b strings.Builder
	for i := 0; i < len(s); {
		rest := s[i:]
		switch {
		case strings.HasPrefix(rest, "$$"):
			b.WriteByte('$')
			i += 2
		case strings.HasPrefix(rest, "${"):
			end := closing(rest)
			if end < 0 {
				return "", false, fmt.Errorf("%q starts a reference with ${ and does not end it; close it with }, or write $${ for the two characters", s)
			}
			v, err := resolve(rest[2:end], getenv)
			if err != nil {
				return "", false, err
			}
			whole = i == 0 && end == len(s)-1
			b.WriteString(v)
			i += end + 1
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String(), whole, nil
}

// closing returns the index of the brace that ends the reference at the start of s, or -1. A default may itself hold
// references.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "$$"):
			i++
		case strings.HasPrefix(s[i:], "${"):
			depth++
			i++
		case s[i] == '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// resolve returns what the inside of one ${...} stands for.
func resolve(ref string, getenv func(string) (string, bool)) (string, error) {
	name := ref
	if scheme, rest, ok := strings.Cut(ref, ":"); ok && !strings.HasPrefix(rest, "-") {
		if scheme != "env" {
			return "", fmt.Errorf("${%s} refers to %q, and only the environment can be referred to; write ${env:NAME}", ref, scheme)
		}
		name = rest
	}
	name, fallback, hasFallback := strings.Cut(name, ":-")
	if !variableName.MatchString(name) {
		return "", fmt.Errorf("${%s} names no environment variable (%q); write ${env:NAME} with letters, digits and underscores, or $${ for the two characters", ref, name)
	}
	if v, ok := getenv(name); ok {
		if strings.ContainsRune(v, 0) {
			return "", errors.New("the environment variable " + name + " holds a zero byte")
		}
		return v, nil
	}
	if hasFallback {
		v, _, err := expand(fallback, getenv)
		return v, err
	}
	return "", fmt.Errorf("the environment variable %s is not set; set it, or give a default: ${env:%s:-value}", name, name)
}
