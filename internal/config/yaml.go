package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// mostNodes bounds a file after its aliases are followed. Written by hand nothing comes near it.
const mostNodes = 200_000

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// parse returns the top mapping of the only document in data, with references, aliases and merge keys resolved.
func parse(name string, data []byte, getenv func(string) (string, bool)) (*document, *yaml.Node, error) {
	docs, err := documents(name, data)
	switch {
	case err != nil:
		return nil, nil, err
	case len(docs) == 0:
		return nil, nil, empty(name)
	case len(docs) > 1:
		return nil, nil, fatal(name, docs[1].Line, docs[1].Column, "a second YAML document starts here; a configuration is one document, "+
			"so remove the --- line and what does not belong to it")
	}
	return resolved(name, docs[0].Content[0], getenv)
}

func empty(name string) error {
	return fatal(name, 0, 0, "is empty; the smallest configuration has the sections kafka, sampling and exporters, see deploy/thresher.yaml")
}

func notSections(name string, top *yaml.Node) error {
	return fatal(name, top.Line, top.Column, "is %s, and a configuration is a block of sections such as kafka: and sampling:; see deploy/thresher.yaml",
		describe(top))
}

// documents returns the YAML documents in data as they are written.
func documents(name string, data []byte) (docs []*yaml.Node, err error) {
	if err := checkText(name, data); err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		switch err := decoder.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, syntaxProblem(name, data, err)
		}
		docs = append(docs, &doc)
	}
}

// resolved returns a top mapping with references, aliases and merge keys resolved.
func resolved(name string, top *yaml.Node, getenv func(string) (string, bool)) (*document, *yaml.Node, error) {
	if top.Kind != yaml.MappingNode {
		return nil, nil, notSections(name, top)
	}
	d := &document{name: name, text: map[*yaml.Node]string{}, retyped: map[*yaml.Node]*yaml.Node{}, broken: map[*yaml.Node]bool{}}
	d.expandAll(top, "", getenv)
	r := resolver{d: d, open: map[*yaml.Node]bool{}, left: mostNodes}
	tree := r.resolve(top, "")
	if r.left <= 0 {
		return nil, nil, fatal(name, 1, 1, "has more than %d values when aliases (*name) are followed; write less with fewer aliases", mostNodes)
	}
	return d, tree, nil
}

// checkText finds what makes the YAML library stop without saying where.
func checkText(name string, data []byte) error {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return fatal(name, 1, 1, "is in UTF-16; save it as UTF-8")
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		line, column := 1+bytes.Count(data[:i], []byte("\n")), i-bytes.LastIndexByte(data[:i], '\n')
		switch {
		case r == utf8.RuneError && size == 1:
			return fatal(name, line, column, "the byte 0x%02x is not UTF-8; save the file as UTF-8", data[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return fatal(name, line, column, "the control character 0x%02x cannot be in YAML; delete it, or write it as \"\\x%02x\"", r, r)
		}
		if r == '\u00a0' && strings.TrimLeft(string(data[i-column+1:i]), " ") == "" {
			return fatal(name, line, column, "is indented with a no-break space, which looks like a space and is none; replace it by a space")
		}
		i += size
	}
	return nil
}

// syntaxProblem says what the YAML library's words mean for the one who wrote the line.
func syntaxProblem(name string, data []byte, err error) *Problems {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return fatal(name, 0, 0, "is not YAML: %v", err)
	}
	line, _ := strconv.Atoi(m[1])
	what := m[2]
	lines := strings.Split(string(data), "\n")
	if found := firstBad(lines); found > 0 {
		line = found
	}
	// A tab in the indentation is invisible and nearly always the reason.
	for l := max(1, line-1); l <= min(line+1, len(lines)); l++ {
		indentation := lines[l-1][:len(lines[l-1])-len(strings.TrimLeft(lines[l-1], " \t"))]
		if i := strings.IndexByte(indentation, '\t'); i >= 0 {
			return fatal(name, l, i+1, "is indented with a tab, and YAML allows only spaces; replace the tab by spaces")
		}
	}
	at := ""
	if line > 0 && line <= len(lines) {
		at = lines[line-1]
	}
	hint := "check the indentation, and that text with : or # in it is in quotes"
	switch {
	case strings.Contains(at, "{{"):
		hint = "this is a template, so render it first, as in: helm template . | thresher validate -"
	case strings.Contains(what, "mapping values are not allowed"):
		hint = "this line or the one before has a colon too many or is indented too deep; put text with a colon in it in quotes"
	case strings.Contains(what, "could not find expected ':'"), strings.Contains(what, "did not find expected key"):
		hint = "this line or one before it is indented differently from its neighbours, or lacks the colon after its key"
	case strings.Contains(what, "unknown anchor"):
		hint = "an alias (*name) needs an anchor (&name) before it; text that begins with * must be in quotes"
	case strings.Contains(what, "cannot start any token"):
		hint = "text that begins with @, ` or % must be in quotes"
	case strings.Contains(what, "did not find expected ',' or") && strings.Contains(at, "${"):
		hint = "within { } and [ ] a reference must be in quotes: \"${env:NAME}\""
	case strings.Contains(what, "did not find expected ',' or"), strings.Contains(what, "flow"):
		hint = "a [ or { that starts in this line or before it is not closed, or a comma is missing"
	case strings.Contains(what, "expected '-' indicator"):
		hint = "an item of a list begins with a dash and a space, indented like the items before it"
	case strings.Contains(what, "unexpected end of stream"), strings.Contains(what, "end of document"):
		hint = "a quote that starts in this line or before it is not closed"
	}
	return fatal(name, line, 0, "is not YAML: %s; %s", what, hint)
}

// firstBad returns the line after a beginning of the text that is YAML, such that no longer beginning nearby is. That is
// where the mistake is; the library often names the start of the block around it. 0 for texts that are too long to try.
func firstBad(lines []string) int {
	const longest, nearby = 5000, 50
	if len(lines) > longest {
		return 0
	}
	good := func(n int) bool {
		var node yaml.Node
		return yaml.Unmarshal([]byte(strings.Join(lines[:n], "\n")), &node) == nil
	}
	from, to := 0, len(lines)
	for from+1 < to {
		if middle := (from + to) / 2; good(middle) {
			from = middle
		} else {
			to = middle
		}
		if from+1 == to {
			// A text that ends within quotes or brackets is not YAML either, so the search may have ended in there.
			for n := min(from+nearby, len(lines)-1); n > from+1; n-- {
				if good(n) {
					from, to = n, len(lines)
					break
				}
			}
		}
	}
	return from + 1
}

// resolver copies a tree so that it has no aliases and no merge keys, and every key once.
type resolver struct {
	d    *document
	open map[*yaml.Node]bool // mappings and lists that the walk is within, to find an anchor that contains itself
	left int
}

func (r *resolver) resolve(n *yaml.Node, path string) *yaml.Node {
	if r.left--; r.left <= 0 {
		return n
	}
	switch n.Kind {
	case yaml.AliasNode:
		if r.open[n.Alias] {
			r.d.add(n, path, "the anchor &%s contains itself; an alias must stand outside of what its anchor names", n.Value)
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
		}
		return r.resolve(n.Alias, path)
	case yaml.SequenceNode:
		r.open[n] = true
		defer delete(r.open, n)
		list := *n
		list.Content = make([]*yaml.Node, len(n.Content))
		for i, item := range n.Content {
			list.Content[i] = r.resolve(item, path+"["+strconv.Itoa(i)+"]")
		}
		return &list
	case yaml.MappingNode:
		r.open[n] = true
		defer delete(r.open, n)
		return r.mapping(n, path)
	}
	// Scalars are shared, not copied: what is known about them is kept by address.
	return n
}

func (r *resolver) mapping(n *yaml.Node, path string) *yaml.Node {
	block := *n
	block.Content = nil
	have := map[string]*yaml.Node{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.Kind != yaml.ScalarNode:
			r.d.add(key, path, "has %s as a key; a key is a word", describe(key))
			continue
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
			continue
		case have[key.Value] != nil:
			r.d.add(key, sub(path, key.Value), "is written twice, first in line %d; remove one", have[key.Value].Line)
			continue
		}
		have[key.Value] = key
		block.Content = append(block.Content, key, r.resolve(value, sub(path, key.Value)))
	}
	for _, merge := range merges {
		r.merge(&block, have, merge, path)
	}
	return &block
}

// merge adds the keys of a merged mapping (<<) that the mapping does not have itself.
func (r *resolver) merge(block *yaml.Node, have map[string]*yaml.Node, value *yaml.Node, path string) {
	merged := r.resolve(value, sub(path, "<<"))
	if merged.Kind == yaml.MappingNode {
		merged = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{merged}}
	} else if merged.Kind != yaml.SequenceNode {
		r.d.add(value, sub(path, "<<"), "merges %s; only a block of keys can be merged, as in <<: *name", describe(merged))
		return
	}
	for _, from := range merged.Content {
		if from.Kind != yaml.MappingNode {
			r.d.add(from, sub(path, "<<"), "merges %s; only a block of keys can be merged, as in <<: *name", describe(from))
			continue
		}
		for i := 0; i+1 < len(from.Content); i += 2 {
			if key := from.Content[i]; have[key.Value] == nil {
				have[key.Value] = key
				block.Content = append(block.Content, key, from.Content[i+1])
			}
		}
	}
}

// get returns the key and the value of an entry of a resolved mapping, or nils.
func get(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i], n.Content[i+1]
			}
		}
	}
	return nil, nil
}

func sub(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe says what a value is, for "X, but a number is wanted".
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a block of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
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

func quote(s string) string {
	const longest = 60
	if len(s) > longest {
		return strconv.Quote(s[:longest]) + "..."
	}
	return strconv.Quote(s)
}
