package config

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"

	"thresher/internal/export"
	"thresher/internal/kafka"
	"thresher/internal/receive"
	"thresher/policies"
)

// Config is a configuration without mistakes.
type Config struct {
	File string

	Kafka     kafka.Config
	Receivers []Receiver // in the order of the file; may be empty: Thresher then only reads what others write
	Sampling  Sampling
	Plan      *policies.Plan // the compiled policies; never nil
	Exporters export.Config
	Routes    export.Routes
	Node      Node

	// Warnings is what was accepted and is probably not what its author wanted, in the order of the lines.
	Warnings []Warning
}

// Receiver is one entry of the receivers section.
type Receiver struct {
	Name   string // otlp or otlp/name
	Config receive.Config
}

// largestFile bounds what is read: a configuration is text that a person wrote.
const largestFile = 16 << 20

// Load reads and checks the file at path. getenv is os.LookupEnv, or what stands in for it in tests. The error is
// *Problems: everything that is wrong, or why the file cannot be read.
func Load(path string, getenv func(string) (string, bool)) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, getenv)
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fatal(path, 0, 0, "there is no such file; check the path, or start from deploy/thresher.yaml")
	case err != nil:
		return nil, fatal(path, 0, 0, "cannot be read: %v", cause(err))
	case info.IsDir():
		return nil, fatal(path, 0, 0, "is a directory; name the YAML file in it")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fatal(path, 0, 0, "cannot be read: %v", cause(err))
	}
	return data, nil
}

func cause(err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		return inPath.Err
	}
	return err
}

// Parse checks data; name is what messages call the file. The error is *Problems.
func Parse(name string, data []byte, getenv func(string) (string, bool)) (*Config, error) {
	if len(data) > largestFile {
		return nil, fatal(name, 0, 0, "has %d bytes; a configuration has at most %d", len(data), largestFile)
	}
	d, top, err := parse(name, data, getenv)
	if err != nil {
		return nil, err
	}
	r := &reader{d: d, cfg: &Config{File: name, Kafka: kafka.DefaultConfig(), Node: defaultNode()}}
	r.read(top)
	if err := d.err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(d.warnings, func(a, b Warning) int { return a.Line - b.Line })
	r.cfg.Warnings = d.warnings
	return r.cfg, nil
}

// reader builds a Config section by section.
type reader struct {
	d         *document
	cfg       *Config
	addresses []address // that are listened on
	// exporterIDs are the names in the exporters section, also of those that have mistakes: routes may name them.
	exporterIDs map[string]any
}

// section is a top-level key.
type section struct {
	name     string
	required string // what to write if it is missing; empty if it may be
	read     func(r *reader, key, n *yaml.Node, path string)
}

// sections returns the top-level keys in the order in which they are read: routes need the exporters, and of two that
// collide the later one is reported.
func sections() []section {
	return []section{
		{"kafka", "kafka: {brokers: [kafka:9092]}", (*reader).kafka},
		{"receivers", "", (*reader).receivers},
		{"sources", "", (*reader).sources},
		{"sampling", "sampling: {policies: [...]}, a tail_sampling block of the OpenTelemetry Collector", (*reader).sampling},
		{"exporters", "exporters: {otlp_grpc: {endpoint: backend:4317}}", (*reader).exporters},
		{"routes", "", (*reader).routes},
		{"cluster", "", (*reader).cluster},
		{"node", "", (*reader).node},
	}
}

func (r *reader) read(top *yaml.Node) {
	start := &yaml.Node{Line: 1, Column: 1}
	r.strangers(top)
	for _, section := range sections() {
		if key, value := get(top, section.name); key != nil {
			if !r.d.broken[value] {
				section.read(r, key, value, section.name)
			}
		} else if section.required != "" && !r.meant(top, section.name) {
			r.d.add(start, section.name, "this section is missing; write %s", section.required)
		}
	}
	node := address{path: "node.listen", endpoint: r.cfg.Node.Listen}
	if key, value := get(top, "node"); has(value, "listen") {
		node.at, _, _ = descend(key, value, "node", "listen")
		r.addresses = append(r.addresses, node)
	} else {
		r.addresses = slices.Insert(r.addresses, 0, node)
	}
	if _, processors := get(top, "processors"); !has(top, "sampling") {
		if key, block := tailSampling(processors); key != nil {
			// It has to be moved, and that is said. What is wrong in it is said now too, not after the move.
			r.sampling(key, block, "processors."+key.Value)
		}
	}
	if !has(top, "routes") && r.exporterIDs != nil {
		r.routes(&yaml.Node{}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, "routes")
	}
	for _, warning := range r.cfg.Routes.Warnings {
		key, value := get(top, "exporters")
		at, full := r.find(key, value, warning.Path)
		r.d.warn(at, full, "%s", warning.Message)
	}
	r.collisions()
	r.loops(top)
	r.retention(top)
}

func (r *reader) kafka(key, n *yaml.Node, path string) {
	decode(r.d, key, n, path, &r.cfg.Kafka)
}

func (r *reader) node(key, n *yaml.Node, path string) {
	decode(r.d, key, n, path, &r.cfg.Node)
}

func (r *reader) sources(key, n *yaml.Node, path string) {
	if !isNull(n) && len(n.Content) > 0 {
		r.d.add(key, path, "sources are not supported in this version; remove the section, and let producers send OTLP to a receiver or "+
			"write the topic kafka.spans.topic themselves, partitioned by trace ID")
	}
}

func (r *reader) cluster(key, n *yaml.Node, path string) {
	if isNull(n) || n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r.d.warn(key, path, "is empty and has no effect: more than one node is not supported in this version; remove the section, this node owns all partitions")
	} else {
		r.d.add(key, path, "more than one node is not supported in this version; remove the section, this node then owns all partitions")
	}
}

// blocks returns the entries of a section that is a block of named components.
func (r *reader) blocks(key, n *yaml.Node, path, example string) (names, values []*yaml.Node) {
	switch {
	case isNull(n):
		return nil, nil
	case n.Kind != yaml.MappingNode:
		r.d.add(key, path, "is %s, but a block of keys is wanted; write such as %s", describe(n), example)
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		names, values = append(names, n.Content[i]), append(values, n.Content[i+1])
	}
	return names, values
}
