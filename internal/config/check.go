package config

import (
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Check is what can be said of a file: it is a configuration that can be run, or it has policies that are right and is no whole
// configuration.
type Check struct {
	Config   *Config   // nil if it cannot be run as it is
	Policies *Policies // then these are not nil
	// Missing says why it cannot be run, in the order of the lines.
	Missing *Problems
}

// CheckFile reads the file at a path, or stdin for the path -. The error is *Problems: what is wrong with the configuration, or with
// the policies if there is nothing else of Thresher's in the file.
func CheckFile(path string, stdin io.Reader, from PoliciesFrom) (*Check, error) {
	name, data := path, []byte(nil)
	var err error
	if path == "-" {
		name, data, err = readText(path, stdin)
	} else {
		data, err = read(path)
	}
	if err != nil {
		return nil, err
	}
	return CheckText(name, data, from)
}

// CheckText is CheckFile of a text; name is what messages call the file.
func CheckText(name string, data []byte, from PoliciesFrom) (*Check, error) {
	cfg, err := Parse(name, data, from.Getenv)
	if err == nil {
		return &Check{Config: cfg}, nil
	}
	var problems *Problems
	docs, unreadable := documents(name, data)
	if !errors.As(err, &problems) || unreadable != nil || len(data) > largestFile {
		return nil, err
	}
	blocks, broken := findBlocks(name, data, docs)
	switch {
	case broken != nil:
		return nil, broken
	case len(blocks) == 0 || len(docs) == 1 && meantToRun(docs[0].Content[0]):
		return nil, err
	}
	p, err := ParsePolicies(name, data, from)
	if err != nil {
		return nil, err
	}
	missing := &Problems{File: name, List: slices.DeleteFunc(problems.List, func(problem Problem) bool {
		return strings.HasPrefix(problem.Path, "processors.") || strings.HasPrefix(problem.Path, "sampling.") // checked, or not chosen
	})}
	if p.Path != "sampling" && p.Path != "processors."+p.Processor || len(docs) > 1 {
		missing = fatal(name, p.Line, 0, "write a configuration with the sections kafka, exporters and sampling, and put what is below %s into the last, "+
			"as it is; deploy/thresher.yaml is one", p.Path)
	}
	return &Check{Policies: p, Missing: missing}, nil
}

// meantToRun says whether a file has more of Thresher than policies. Receivers, exporters and processors a Collector has too.
func meantToRun(top *yaml.Node) bool {
	own := []string{"kafka", "routes", "cluster", "node", "sources"}
	if has(top, "sampling") {
		own = append(own, "exporters", "receivers")
	}
	return slices.ContainsFunc(own, func(name string) bool { return has(top, name) })
}
