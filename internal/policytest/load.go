package policytest

import (
	"cmp"
	"encoding/hex"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/config"
	"thresher/internal/wire"
)

// A File is a test file that has no mistakes.
type File struct {
	Name     string
	Policies *config.Policies
	Tests    []Test
}

// A Test is one test of a file.
type Test struct {
	Name string
	Line int

	messages [][]byte // TracesData
	expected []expectation
	rest     *expectation // of the traces that no other expectation is about
}

// Options say how to read files.
type Options struct {
	// Config, if not empty, is the configuration to test in place of the one that a file names.
	Config string
	// Processor, if not empty, chooses one of several in that configuration, in place of what a file says.
	Processor string
	// Getenv is os.LookupEnv, or what stands in for it.
	Getenv func(string) (string, bool)
}

// Load reads a test file; stdin is read for the path -. The error has *config.Problems in it, of the file, of the
// configuration it names, or of both.
func Load(path string, stdin io.Reader, o Options) (*File, error) {
	doc, err := config.LoadDocument(path, stdin, o.Getenv, what)
	if err != nil {
		return nil, err
	}
	return fromDocument(doc, path, o)
}

// what a file is, for messages.
const what = "a file of policy tests (config: thresher.yaml, tests: [...])"

func load(path string, data []byte, o Options) (*File, error) {
	doc, err := config.ParseDocument(path, data, o.Getenv, what)
	if err != nil {
		return nil, err
	}
	return fromDocument(doc, path, o)
}

func fromDocument(doc *config.Document, path string, o Options) (*File, error) {
	r := &reader{doc: doc, dir: filepath.Dir(path), file: &File{Name: doc.Name()}}
	top, ok := read(doc, doc.Top(), doc.Top(), "", "config", "processor", "compat", "sampling", "policies", "tests")
	var elsewhere error // in the configuration that the file names
	if ok {
		elsewhere = r.policies(&top, o)
		r.tests(&top)
	}
	if err := errors.Join(doc.Err(), elsewhere); err != nil {
		return nil, err
	}
	return r.file, nil
}

// reader reads one file.
type reader struct {
	doc  *config.Document
	dir  string // that paths are relative to
	file *File
}

// policies reads what is tested. The error is that of another file.
func (r *reader) policies(top *block, o Options) error {
	var given []string
	for _, key := range []string{"config", "sampling", "policies"} {
		if top.has(key) {
			given = append(given, key)
		}
	}
	processor, _ := top.text("processor")
	processor = cmp.Or(o.Processor, processor)
	compat, _ := top.text("compat")
	switch {
	case len(given) > 1:
		top.report(given[1], "is a second place of policies beside %s; keep one of them", given[0])
	case o.Config != "":
		return r.load(o.Config, processor, compat, o)
	case len(given) == 0:
		top.report("config", "is missing, so there are no policies to test; write config: thresher.yaml, a path beginning at this file, "+
			"or policies: [...]")
	case given[0] == "config":
		if path, ok := top.text("config"); ok {
			if !filepath.IsAbs(path) {
				path = filepath.Join(r.dir, path)
			}
			return r.load(path, processor, compat, o)
		}
	case given[0] == "sampling":
		r.file.Policies = r.doc.Policies(top.at, top.values["sampling"], "sampling", compat)
	default:
		list := top.values["policies"]
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "policies", Line: list.Line, Column: list.Column}
		section := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: list.Line, Column: list.Column, Content: []*yaml.Node{key, list}}
		r.file.Policies = r.doc.Policies(key, section, "", compat)
	}
	return nil
}

func (r *reader) load(path, processor, compat string, o Options) (err error) {
	r.file.Policies, err = config.LoadPolicies(path, nil, config.PoliciesFrom{Processor: processor, Compat: compat, Getenv: o.Getenv})
	return err
}

func (r *reader) tests(top *block) {
	if !top.has("tests") {
		top.report("tests", "is missing; write tests: [{name: ..., trace: [...], expect: {decision: kept}}]")
		return
	}
	items, paths := top.list("tests", "tests")
	if items != nil && len(items) == 0 {
		top.report("tests", "is empty; write tests: [{name: ..., trace: [...], expect: {decision: kept}}]")
	}
	first := map[string]int{}
	for i, item := range items {
		b, ok := read(r.doc, item, item, paths[i], "name", "trace", "trace_id", "draw", "otlp", "traces", "expect")
		if !ok {
			continue
		}
		t := Test{Line: item.Line}
		if !b.has("name") {
			b.report("name", "is missing; say in a few words what is to hold")
		}
		t.Name, _ = b.text("name")
		if line, twice := first[t.Name]; twice && t.Name != "" {
			b.report("name", "is already the name of the test in line %d", line)
		}
		first[t.Name] = item.Line
		r.test(&b, &t)
		r.file.Tests = append(r.file.Tests, t)
	}
}

// test reads the traces of a test and what is expected of them.
func (r *reader) test(b *block, t *Test) {
	if b.has("expect") {
		if e, ok := r.expectation(b, b.values["expect"], b.sub("expect")); ok {
			t.rest = &e
		}
	}
	switch {
	case b.has("trace") && (b.has("otlp") || b.has("traces")):
		b.report("trace", "stands beside otlp or traces; write several traces as items of traces, each with its spans")
		return
	case !b.has("trace") && !b.has("otlp") && !b.has("traces"):
		b.report("trace", "is missing; write the spans as a list, trace: [{service: checkout, name: POST /pay}], or otlp: FILE")
		return
	case b.has("trace") && !b.has("expect"):
		b.report("expect", "is missing, so this test could not fail; write such as expect: {decision: kept, policy: errors}")
	}
	if b.has("otlp") {
		r.otlp(b, t)
	}
	if b.has("trace") {
		w := writer{r: r}
		w.trace(b, "trace", r.traceID(b, 0), 0)
		t.messages = append(t.messages, w.message(b))
	} else if b.has("trace_id") || b.has("draw") {
		b.report("trace_id", "belongs to a trace in the short form; write it beside trace, or beside spans below traces")
	}
	ids := map[wire.TraceID]bool{}
	items, paths := b.list("traces", "traces")
	for i, item := range items {
		one, ok := read(r.doc, item, item, paths[i], "trace_id", "draw", "at", "spans", "expect")
		if !ok {
			continue
		}
		id := r.traceID(&one, i)
		if ids[id] {
			one.report("trace_id", "is the ID of another trace of this test")
		}
		ids[id] = true
		r.oneOf(&one, t, id, b.has("otlp"))
	}
}

// oneOf reads an item of traces.
func (r *reader) oneOf(b *block, t *Test, id wire.TraceID, otlp bool) {
	switch {
	case b.has("spans"):
		w := writer{r: r}
		w.trace(b, "spans", id, b.duration("at"))
		t.messages = append(t.messages, w.message(b))
	case !otlp:
		b.report("spans", "is missing; write the spans as a list, spans: [{service: checkout, name: POST /pay}]")
	case !b.has("trace_id"):
		b.report("trace_id", "is missing; say which trace of otlp is meant")
	}
	switch {
	case b.has("expect"):
		if e, ok := r.expectation(b, b.values["expect"], b.sub("expect")); ok {
			e.id = id
			t.expected = append(t.expected, e)
		}
	case t.rest == nil:
		b.report("expect", "is missing, here or for the whole test; write such as expect: {decision: kept, policy: errors}")
	}
}

// traceID returns the ID of a trace: the one that is written, or one that draws as it is told.
func (r *reader) traceID(b *block, i int) wire.TraceID {
	text, ok := b.text("trace_id")
	if !ok {
		draw, _ := b.choice("draw", "lose", "win")
		return drawn(i, draw == 1)
	}
	var id wire.TraceID
	padded := strings.Repeat("0", max(0, 2*len(id)-len(text))) + text
	if n, err := hex.Decode(id[:], []byte(padded[:min(len(padded), 2*len(id))])); err != nil || n != len(id) || len(text) > 2*len(id) || id == (wire.TraceID{}) {
		b.report("trace_id", "%s is not a trace ID; write up to 32 hexadecimal digits, in quotes, not all zero", strconv.Quote(text))
	}
	if b.has("draw") {
		b.report("draw", "has no effect beside trace_id, which decides how the trace draws; remove one of them")
	}
	return id
}
