package config

import (
	"io"

	"go.yaml.in/yaml/v3"

	"thresher/internal/kafka"
	"thresher/internal/suggest"
	"thresher/policies"
)

// Policies is what deciding offline needs of a configuration: when traces are decided, and by what.
type Policies struct {
	File      string
	Path      string // of the section that they are in, such as sampling or processors.tail_sampling
	Line      int    // where it begins
	Processor string // the Collector's processor that the policies are of; empty for a configuration of Thresher
	Sampling  Sampling
	Plan      *policies.Plan
	Warnings  []Warning
}

// PoliciesFrom says where to find the policies, and how to take them.
type PoliciesFrom struct {
	// Processor chooses one of several tail_sampling processors: tail_sampling/name, or only the name, or the line it is in.
	Processor string
	// Compat, if not empty, stands for `compat` in the file.
	Compat string
	// Getenv is os.LookupEnv, or what stands in for it.
	Getenv func(string) (string, bool)
}

// LoadPolicies reads the policies of a configuration of Thresher or of an OpenTelemetry Collector, also if it is part of Helm values,
// of a resource of the operator, or text in a ConfigMap, in any of several YAML documents; stdin is read for the path -. What is wrong elsewhere in the file is left to those who run it: a variable that only an exporter needs may be unset.
// The error is *Problems.
func LoadPolicies(path string, stdin io.Reader, from PoliciesFrom) (*Policies, error) {
	name, data, err := readText(path, stdin)
	if err != nil {
		return nil, err
	}
	return ParsePolicies(name, data, from)
}

// ParsePolicies is LoadPolicies of a text; name is what messages call the file.
func ParsePolicies(name string, data []byte, from PoliciesFrom) (*Policies, error) {
	if len(data) > largestFile {
		return nil, fatal(name, 0, 0, "has %d bytes; a configuration has at most %d", len(data), largestFile)
	}
	docs, err := documents(name, data)
	switch {
	case err != nil:
		return nil, err
	case len(docs) == 0:
		return nil, empty(name)
	}
	blocks, err := findBlocks(name, data, docs)
	switch {
	case err != nil:
		return nil, err
	case len(blocks) == 0:
		return nil, noPolicies(name, docs)
	}
	block, err := choose(name, blocks, from.Processor)
	if err != nil {
		return nil, err
	}
	d, top, err := resolved(name, block.root, from.Getenv)
	if err != nil {
		return nil, err
	}
	key, value := block.follow(top)
	if key == nil { // a key that is written twice hides it, which is reported
		return nil, d.err()
	}
	p, err := d.policies(key, value, block.path(), from)
	if err == nil && !block.ours() {
		p.Processor = block.name()
	}
	return p, err
}

// noPolicies says of a file without policies what it probably should have been.
func noPolicies(name string, docs []*yaml.Node) error {
	if len(docs) > 1 {
		return fatal(name, 0, 0, "has no policies in any of its %d YAML documents; wanted is a section sampling: with policies, or a Collector's "+
			"processors: with tail_sampling, also as text in a ConfigMap", len(docs))
	}
	top := docs[0].Content[0]
	if top.Kind != yaml.MappingNode {
		return notSections(name, top)
	}
	if at, _ := get(top, "processors"); at != nil {
		return fatal(name, at.Line, at.Column, "processors: there is no tail_sampling processor among them, so there are no policies")
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key := top.Content[i]
		hint := ""
		switch near := suggest.Nearest(key.Value, []string{"sampling", "processors"}); {
		case near != "":
			hint = "unknown section; did you mean " + quote(near) + "?"
		case key.Value == "policies", key.Value == "decision_wait":
			hint = "this belongs below sampling; indent the file under a line `sampling:`"
		case key.Value == "tail_sampling":
			hint = "here this section is called sampling; rename it, or put it under a line `processors:` as in a Collector"
		default:
			continue
		}
		return fatal(name, key.Line, key.Column, "%s: %s", key.Value, hint)
	}
	return fatal(name, 1, 1, "has no policies; wanted is a section sampling: with policies, or a Collector's processors: with tail_sampling")
}

// policies reads the section of the policies and leaves aside what is wrong elsewhere.
func (d *document) policies(key, block *yaml.Node, path string, from PoliciesFrom) (*Policies, error) {
	d.onlyWithin(block)
	if d.broken[block] {
		return nil, d.err()
	}
	if from.Compat != "" {
		block = withKey(key, block, "compat", from.Compat)
	}
	r := &reader{d: d, cfg: &Config{File: d.name, Kafka: kafka.DefaultConfig(), Node: defaultNode()}}
	// All traces pass one machine, so a limit is not to be divided.
	r.cfg.Kafka.Spans.Partitions = 1
	r.sampling(key, block, path)
	if err := d.err(); err != nil {
		return nil, err
	}
	return &Policies{File: d.name, Path: path, Line: key.Line, Sampling: r.cfg.Sampling, Plan: r.cfg.Plan, Warnings: d.warnings}, nil
}

// onlyWithin forgets the problems that are not at a place within a value.
func (d *document) onlyWithin(n *yaml.Node) {
	type place struct{ line, column int }
	within := map[place]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		within[place{n.Line, n.Column}] = true
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(n)
	var list []Problem
	for _, p := range d.problems {
		if within[place{p.Line, p.Column}] {
			list = append(list, p)
		}
	}
	d.problems = list
}

// withKey returns a block in which a key has a value, whatever it had.
func withKey(at, block *yaml.Node, name, value string) *yaml.Node {
	changed := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: at.Line, Column: at.Column}
	if block.Kind == yaml.MappingNode {
		copied := *block
		changed = &copied
		changed.Content = nil
		for i := 0; i+1 < len(block.Content); i += 2 {
			if block.Content[i].Value != name {
				changed.Content = append(changed.Content, block.Content[i], block.Content[i+1])
			}
		}
	} else if !isNull(block) {
		return block // which is reported
	}
	changed.Content = append(changed.Content,
		&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name, Line: at.Line, Column: at.Column},
		&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Line: at.Line, Column: at.Column})
	return changed
}
