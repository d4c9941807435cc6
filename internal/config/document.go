package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.yaml.in/yaml/v3"
)

// A Document is a YAML file of another kind than a configuration, read by the same rules: references to the environment are
// resolved, and so are aliases and merge keys, and a key that is written twice is a mistake.
type Document struct {
	d   *document
	top *yaml.Node
}

// LoadDocument reads the file at a path, or stdin for the path -. what names its kind for messages. The error is *Problems.
func LoadDocument(path string, stdin io.Reader, getenv func(string) (string, bool), what string) (*Document, error) {
	name, data, err := readText(path, stdin)
	if err != nil {
		return nil, err
	}
	return ParseDocument(name, data, getenv, what)
}

// ParseDocument is LoadDocument of a text; name is what messages call the file.
func ParseDocument(name string, data []byte, getenv func(string) (string, bool), what string) (*Document, error) {
	if len(data) > largestFile {
		return nil, fatal(name, 0, 0, "has %d bytes; %s has at most %d", len(data), what, largestFile)
	}
	// What is YAML and not a block of keys has another message here than in a configuration.
	var probe yaml.Node
	if err := yaml.Unmarshal(data, &probe); err == nil {
		if len(probe.Content) == 0 {
			return nil, fatal(name, 0, 0, "is empty, and %s is wanted", what)
		}
		if top := probe.Content[0]; top.Kind != yaml.MappingNode {
			return nil, fatal(name, top.Line, top.Column, "is %s, and %s is wanted", describe(top), what)
		}
	}
	d, top, err := parse(name, data, getenv)
	if err != nil {
		return nil, err
	}
	return &Document{d, top}, nil
}

// readText reads a file, or standard input.
func readText(path string, stdin io.Reader) (name string, data []byte, err error) {
	if path == "-" {
		data, err := io.ReadAll(io.LimitReader(stdin, largestFile+1))
		if err != nil {
			return "", nil, fatal("<stdin>", 0, 0, "cannot be read: %v", err)
		}
		return "<stdin>", data, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, fatal(path, 0, 0, "there is no such file; check the path")
	case err != nil:
		return "", nil, fatal(path, 0, 0, "cannot be read: %v", cause(err))
	case info.IsDir():
		return "", nil, fatal(path, 0, 0, "is a directory; name the YAML file in it")
	}
	if data, err = os.ReadFile(path); err != nil {
		return "", nil, fatal(path, 0, 0, "cannot be read: %v", cause(err))
	}
	return path, data, nil
}

// Name is what messages call the file.
func (d *Document) Name() string { return d.d.name }

// Top is the block of keys that the document is. It has no aliases and no merge keys, and every key once.
func (d *Document) Top() *yaml.Node { return d.top }

// Broken says whether a value is a reference that could not be resolved. That has been reported.
func (d *Document) Broken(n *yaml.Node) bool { return d.d.broken[n] }

// Report adds a problem at the place of a node. path names the key from the top.
func (d *Document) Report(n *yaml.Node, path, format string, args ...any) {
	d.d.problems = append(d.d.problems, Problem{Line: n.Line, Column: n.Column, Path: path, Msg: fmt.Sprintf(format, args...)})
}

// Err returns what was reported, in the order of the lines: *Problems, or nil.
func (d *Document) Err() error { return d.d.err() }

// Describe says what a value is, for "X, but a number is wanted".
func Describe(n *yaml.Node) string { return describe(n) }

// Policies reads a section of the document as the sampling section of a configuration. Its problems are reported like others;
// nil says that there are some.
func (d *Document) Policies(key, block *yaml.Node, path, compat string) *Policies {
	section := &document{name: d.d.name, text: d.d.text, retyped: d.d.retyped, broken: d.d.broken}
	p, err := section.policies(key, block, path, PoliciesFrom{Compat: compat})
	d.d.problems = append(d.d.problems, section.problems...)
	if err != nil || p.Plan == nil { // without an error a reference is broken, which is reported
		return nil
	}
	return p
}
