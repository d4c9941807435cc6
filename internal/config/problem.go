package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one mistake in a configuration.
type Problem struct {
	// Line and Column count from 1; Line is 0 when the mistake has no place, such as an unreadable file.
	Line, Column int
	// Path names the key from the top, such as exporters.otlp_grpc/tempo.tls.insecure. Empty for the whole file.
	Path string
	// Msg says what is wrong and what to write instead.
	Msg string
}

// Problems is everything that is wrong with one file, in the order of its lines. It is the error of Load and Parse.
type Problems struct {
	File string
	List []Problem
}

// Error lists the problems, one a line, each as file:line:column: path: message.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, problem := range p.List {
		lines[i] = p.line(problem)
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) line(problem Problem) string {
	var b strings.Builder
	b.WriteString(p.File)
	if problem.Line > 0 {
		fmt.Fprintf(&b, ":%d", problem.Line)
		if problem.Column > 0 {
			fmt.Fprintf(&b, ":%d", problem.Column)
		}
	}
	b.WriteString(": ")
	if problem.Path != "" {
		b.WriteString(problem.Path + ": ")
	}
	b.WriteString(problem.Msg)
	return b.String()
}

// Warning is something that is accepted but probably does not do what its author thinks.
type Warning struct {
	Line int
	Path string
	Msg  string
}

// String formats the warning as line: path: message.
func (w Warning) String() string { return fmt.Sprintf("line %d: %s: %s", w.Line, w.Path, w.Msg) }

// document is one file while it is being read.
type document struct {
	name     string
	problems []Problem
	warnings []Warning

	// text holds, for values that came from the environment, the reference as it is written in the file.
	text map[*yaml.Node]string
	// retyped holds, for values that are one reference and nothing else, the number, boolean or null that their text is in
	// YAML. The type of the key says whether that or the text is wanted.
	retyped map[*yaml.Node]*yaml.Node
	// broken are values whose reference could not be resolved. That has been reported, so nothing more is said of them.
	broken map[*yaml.Node]bool
}

func (d *document) add(n *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, Problem{Line: n.Line, Column: n.Column, Path: path, Msg: fmt.Sprintf(format, args...)})
}

func (d *document) warn(n *yaml.Node, path, format string, args ...any) {
	d.warnings = append(d.warnings, Warning{Line: n.Line, Path: path, Msg: fmt.Sprintf(format, args...)})
}

// err returns the problems in the order of the file, each once: an anchor that is used twice is wrong only once.
func (d *document) err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	type place struct {
		line, column int
		msg          string
	}
	seen := map[place]bool{}
	list := slices.DeleteFunc(d.problems, func(p Problem) bool {
		at := place{p.Line, p.Column, p.Msg}
		if p.Line > 0 && seen[at] {
			return true
		}
		seen[at] = true
		return false
	})
	return &Problems{File: d.name, List: list}
}

// fatal returns the single problem that keeps the rest of the file from being read.
func fatal(name string, line, column int, format string, args ...any) *Problems {
	return &Problems{File: name, List: []Problem{{Line: line, Column: column, Msg: fmt.Sprintf(format, args...)}}}
}
