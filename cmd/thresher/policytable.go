package main

import (
	"strings"
	"unicode/utf8"

	"thresher/policies"
	"thresher/sampler"
)

const (
	tableWidth = 104 // beside the names of the rows
	widestName = 24
	mostLines  = 3 // of what a policy tests: OTTL can be long
)

// policyTable is the list of policies: name, type, and what it tests. What is within a policy is indented below it.
func policyTable(plan *policies.Plan) []string {
	type line struct{ name, kind, text string }
	var lines []line
	name, kind := 0, 0
	var add func(list []policies.Policy, depth int)
	add = func(list []policies.Policy, depth int) {
		for i := range list {
			p := &list[i]
			l := line{strings.Repeat("  ", depth) + p.Name, p.Type, forPeople(p)}
			if p.Name == p.Type && depth > 0 { // it has no name
				l.kind = ""
			}
			lines = append(lines, l)
			name, kind = max(name, min(utf8.RuneCountInString(l.name), widestName)), max(kind, len(l.kind))
			add(p.Sub, depth+1)
		}
	}
	add(plan.Policies(), 0)
	var table []string
	for _, l := range lines {
		head := padded(cut(l.name, widestName), name) + "  " + padded(l.kind, kind) + "  "
		for _, text := range wrapped(l.text, tableWidth-utf8.RuneCountInString(head)) {
			table = append(table, head+text)
			head = strings.Repeat(" ", utf8.RuneCountInString(head))
		}
	}
	return table
}

// forPeople is what a policy tests, without what only a hash has use for.
func forPeople(p *policies.Policy) string {
	if p.Type != "probabilistic" {
		return p.Text
	}
	text, _, _ := strings.Cut(p.Text, ", up to ")
	return strings.TrimSuffix(text, ` hashed with "default-hash-seed"`)
}

func padded(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// wrapped breaks text between words into a few lines.
func wrapped(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		case len(lines) == mostLines:
			*last += " …"
			return trimmed(lines, width)
		default:
			lines = append(lines, word)
		}
	}
	return trimmed(lines, width)
}

// trimmed cuts the lines that one word alone makes too long.
func trimmed(lines []string, width int) []string {
	for i := range lines {
		lines[i] = cut(lines[i], width)
	}
	return lines
}

// marks says what is written on kept spans.
func marks(m sampler.Marks) string {
	var what []string
	switch m.Reasons {
	case sampler.ReasonsRoot:
		what = append(what, "thresher.policy and thresher.probability on root spans")
	case sampler.ReasonsAll:
		what = append(what, "thresher.policy and thresher.probability on all kept spans")
	case sampler.ReasonsOff:
	}
	if m.Thresholds {
		what = append(what, "the probability (ot=th) into tracestates")
	}
	if len(what) == 0 {
		return "nothing: kept spans go out as they came"
	}
	return strings.Join(what, ", ")
}
