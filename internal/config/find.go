package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/suggest"
)

// A policyBlock is a place in a file where policies are: the section sampling of a configuration of Thresher, or a tail_sampling
// processor of a Collector, whose configuration may stand below a key of Helm values or of a resource of the operator, or as text in
// a ConfigMap.
type policyBlock struct {
	root  *yaml.Node // the document that it is in, or the one in the text that it is in
	where string     // the path of the root; empty for a document of the file
	steps []string   // keys, and indices in brackets, from the root to the block
	key   *yaml.Node
}

func (b *policyBlock) name() string { return b.steps[len(b.steps)-1] }
func (b *policyBlock) ours() bool   { return b.name() == "sampling" }

func (b *policyBlock) path() string {
	path := b.where
	for _, step := range b.steps {
		if strings.HasPrefix(step, "[") {
			path += step
		} else {
			path = sub(path, step)
		}
	}
	return path
}

// A finder looks for policies everywhere in a file. It reads the YAML as it is written, since references to the environment and
// dollar signs in a text belong to the configuration in the text.
type finder struct {
	name   string
	lines  [][]byte
	blocks []*policyBlock
	left   int                 // nodes that it may still look at: aliases can multiply them
	open   map[*yaml.Node]bool // anchors that it is within: one can contain itself
	depth  int                 // of texts in texts
	broken error               // of the first text that has a tail_sampling in it and is not YAML
}

// deepestText is how deep texts in texts are looked into: a ConfigMap within another resource, such as one of a Helm release.
const deepestText = 3

// appliedCopy is an annotation in which kubectl keeps what was applied, as JSON: the same policies again.
const appliedCopy = "kubectl.kubernetes.io/last-applied-configuration"

// findBlocks returns the places of policies in the documents of a file.
func findBlocks(name string, data []byte, docs []*yaml.Node) ([]*policyBlock, error) {
	f := &finder{name: name, lines: bytes.Split(data, []byte("\n")), left: mostNodes, open: map[*yaml.Node]bool{}}
	for _, doc := range docs {
		f.document(doc.Content[0], "")
	}
	if len(f.blocks) == 0 {
		return nil, f.broken
	}
	return f.blocks, nil
}

func (f *finder) document(root *yaml.Node, where string) {
	if key, value := get(root, "sampling"); key != nil && (has(value, "policies") || where == "" && !has(root, "processors")) {
		f.blocks = append(f.blocks, &policyBlock{root, where, []string{"sampling"}, key})
	}
	f.within(root, root, where, nil)
}

// within looks into a value of a document.
func (f *finder) within(root, n *yaml.Node, where string, steps []string) {
	if f.left--; f.left <= 0 {
		return
	}
	step := func(s string) []string { return append(slices.Clone(steps), s) }
	switch n.Kind {
	case yaml.AliasNode:
		if !f.open[n.Alias] {
			f.open[n.Alias] = true
			f.within(root, n.Alias, where, steps)
			delete(f.open, n.Alias)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			f.within(root, item, where, step("["+strconv.Itoa(i)+"]"))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			kind, _, _ := strings.Cut(key.Value, "/")
			inProcessors := len(steps) > 0 && steps[len(steps)-1] == "processors"
			switch {
			case key.ShortTag() == "!!merge":
				f.within(root, value, where, steps)
			case kind == "tail_sampling" && (inProcessors || has(value, "policies")):
				b := &policyBlock{root, where, step(key.Value), key}
				if !slices.ContainsFunc(f.blocks, func(have *policyBlock) bool { return have.key == key }) { // by way of an alias
					f.blocks = append(f.blocks, b)
				}
			case key.Value == appliedCopy:
			case value.Kind == yaml.ScalarNode:
				b := policyBlock{root, where, step(key.Value), key}
				f.text(value, b.path())
			default:
				f.within(root, value, where, step(key.Value))
			}
		}
	}
}

// text looks into a text that may be a configuration: so a ConfigMap has it.
func (f *finder) text(n *yaml.Node, where string) {
	if f.depth >= deepestText || !strings.Contains(n.Value, "tail_sampling") && !strings.Contains(n.Value, "sampling:") {
		return
	}
	f.depth++
	defer func() { f.depth-- }()
	docs, err := documents(f.name, []byte(n.Value))
	down, right := f.offset(n)
	if err != nil {
		var p *Problems
		if errors.As(err, &p) && f.broken == nil && strings.Contains(n.Value, "tail_sampling") {
			for i := range p.List {
				p.List[i].Path = where
				p.List[i].Line, p.List[i].Column = down(p.List[i].Line), max(p.List[i].Column, 1)+right
			}
			f.broken = p
		}
		return
	}
	for _, doc := range docs {
		move(doc, down, right)
		f.document(doc.Content[0], where)
	}
}

// offset tells which line of the file a line of a text is in, and by how many columns it is moved. A block behind | has its lines as
// they are; of other texts only the place where they begin is known.
func (f *finder) offset(n *yaml.Node) (down func(line int) int, right int) {
	if n.Style&yaml.LiteralStyle == 0 {
		return func(int) int { return n.Line }, 0
	}
	for i, line := range strings.Split(n.Value, "\n") {
		if at := n.Line + i; strings.TrimSpace(line) != "" && at < len(f.lines) {
			written := f.lines[at]
			indent := func(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }
			right = indent(string(written)) - indent(line)
			break
		}
	}
	return func(line int) int { return n.Line + line }, right
}

// move makes places in a text places in the file.
func move(n *yaml.Node, down func(int) int, right int) {
	n.Line, n.Column = down(n.Line), n.Column+right
	for _, c := range n.Content {
		move(c, down, right)
	}
}

// choose returns the block that is meant: the only one, or the one with this name, or whose name stands in this line. Thresher's own
// goes before a Collector's.
func choose(name string, blocks []*policyBlock, processor string) (*policyBlock, error) {
	var ours, fit []*policyBlock
	for _, b := range blocks {
		if b.ours() {
			ours = append(ours, b)
		}
		if n := b.name(); n == processor || n == "tail_sampling/"+processor {
			fit = append(fit, b)
		}
	}
	for _, b := range blocks {
		if len(fit) == 0 && strconv.Itoa(b.key.Line) == processor {
			fit = append(fit, b)
		}
	}
	switch at := blocks[0].key; {
	case processor == "" && len(ours) == 1:
		return ours[0], nil
	case processor == "" && len(blocks) == 1:
		return blocks[0], nil
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) > 1:
		return nil, fatal(name, fit[0].key.Line, fit[0].key.Column, "there are %d processors %s; choose one by its line, as in --processor %d: %s",
			len(fit), quote(processor), fit[0].key.Line, listed(fit))
	case processor == "":
		return nil, fatal(name, at.Line, at.Column, "there are %d places with policies; choose one by its name or line, as in --processor %d: %s",
			len(blocks), at.Line, listed(blocks))
	case len(ours) == len(blocks):
		return nil, fatal(name, at.Line, at.Column, "is a configuration of Thresher, whose policies are in the section sampling; a processor such as %s "+
			"is chosen in one of a Collector", quote(processor))
	}
	var names []string
	for _, b := range blocks {
		names = append(names, b.name())
	}
	hint := suggest.DidYouMean(processor, names)
	if hint == "" {
		hint = "; there are " + listed(blocks)
	}
	return nil, fatal(name, blocks[0].key.Line, blocks[0].key.Column, "there is no processor %s%s", quote(processor), hint)
}

func listed(blocks []*policyBlock) string {
	var all []string
	for _, b := range blocks {
		all = append(all, fmt.Sprintf("%s (line %d)", b.path(), b.key.Line))
	}
	return strings.Join(all, ", ")
}

// follow returns the block in a tree without aliases and merge keys.
func (b *policyBlock) follow(top *yaml.Node) (key, value *yaml.Node) {
	key, value = top, top
	for _, step := range b.steps {
		if index, is := strings.CutPrefix(step, "["); is && value.Kind == yaml.SequenceNode {
			i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			if err != nil || i >= len(value.Content) {
				return nil, nil
			}
			key, value = value.Content[i], value.Content[i]
		} else if key, value = get(value, step); key == nil {
			return nil, nil
		}
	}
	return key, value
}
