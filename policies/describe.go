package policies

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// describe says what a node is, for "must be X, not Y".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!str":
		return "the text " + quote(n.Value)
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	}
	return quote(n.Value) + " (" + n.ShortTag() + ")"
}

// quote quotes text for a message and cuts it if it is long.
func quote(s string) string {
	const longest = 60
	if len(s) > longest {
		return strconv.Quote(s[:longest]) + "..."
	}
	return strconv.Quote(s)
}

// joined lists words for a message: a, b and c.
func joined(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// counted writes a number of something.
func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return inPlural(n, what)
}

// inPlural does so whatever the number is.
func inPlural(n int64, what string) string { return fmt.Sprintf("%d %ss", n, what) }
