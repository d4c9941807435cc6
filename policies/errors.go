package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a policy list. Line and Column are those of the YAML node, from 1.
type Error struct {
	Line, Column int
	Path         string // such as policies[2].latency.threshold_ms
	Msg          string // what is wrong and what to write instead
}

// Error formats the mistake as line:column: path: message. The caller puts the file name in front.
func (e Error) Error() string {
	return fmt.Sprintf("%d:%d: %s: %s", e.Line, e.Column, e.Path, e.Msg)
}

// Errors holds every mistake in a policy list, in the order of the text.
type Errors []Error

// Error lists the mistakes, one a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func (es Errors) sort() {
	slices.SortStableFunc(es, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
