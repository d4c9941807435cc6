package policies

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Doubts finds policies that do what they say, which is probably not what was meant: texts that look like patterns and are compared
// as they are, and policies that keep what is not something, as if that dropped the something. They are in the order of the text.
// Unlike what Lint says, it is no certainty.
func (p *Plan) Doubts() []Warning {
	d := doubter{regex: regexp.MustCompile(`^\^|\$$|\.[*+]|\\[dwsbDWSB./-]|\[[^\[\] ]*-[^\[\] ]*\]|\([^() ]+\|[^() ]+\)`)}
	for i := range p.policies {
		path := fmt.Sprintf("policies[%d]", i)
		d.keepsTheRest(&p.policies[i], path)
		d.patterns(&p.policies[i], path)
	}
	for i := range p.rescue {
		d.patterns(&p.rescue[i], fmt.Sprintf("rescue_on[%d]", i))
	}
	slices.SortStableFunc(d.doubts, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.doubts
}

type doubter struct {
	regex  *regexp.Regexp // what hardly any text has that is not a regular expression
	doubts []Warning
}

func (d *doubter) doubt(at *Policy, path, format string, args ...any) {
	d.doubts = append(d.doubts, Warning{Line: at.Line, Column: at.Column, Path: path, Msg: fmt.Sprintf(format, args...)})
}

// keepsTheRest finds policies in the list that keep what something is not true of. A list adds up what is kept, so this does not
// drop what it is true of, and keeps nearly everything else.
func (d *doubter) keepsTheRest(p *Policy, path string) {
	about, how := p, "not"
	if r, is := p.rule.(*notRule); is {
		about = &r.within[0]
	} else if how = "invert_match"; !inverts(p.rule) {
		return
	}
	key := ""
	switch r := about.rule.(type) {
	case *stringAttribute:
		key = r.key
	case *numericAttribute:
		key = r.key
	case *booleanAttribute:
		key = r.key
	default:
		return
	}
	plain := "the same without invert_match"
	if how == "not" {
		plain = "only " + quote(about.Name)
	}
	d.doubt(p, path, "%s keeps every trace that has no such %s anywhere, which is nearly everything, and it drops nothing: the list adds up"+
		" what is kept; to drop what has it, write {name: %s, type: drop, drop: {drop_sub_policy: [%s]}}; to keep some of the rest, write"+
		" {name: %[3]s, type: and, and: {and_sub_policy: [this, and what else it must meet]}}", quote(p.Name), quote(key), yamlText(p.Name), plain)
}

func inverts(r rule) bool {
	switch r := r.(type) {
	case *stringAttribute:
		return r.invert
	case *numericAttribute:
		return r.invert
	case *booleanAttribute:
		return r.invert
	}
	return false
}

// yamlText writes a name so that it is one in YAML too.
func yamlText(s string) string {
	if strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" {
		return s
	}
	return strconv.Quote(s)
}

// patterns finds values that look like patterns where none are looked for.
func (d *doubter) patterns(p *Policy, path string) {
	for i := range p.Sub {
		d.patterns(&p.Sub[i], subPath(p, path, i))
	}
	r, is := p.rule.(*stringAttribute)
	if !is || r.patterns {
		return
	}
	for _, v := range r.values {
		switch {
		case d.regex.MatchString(v):
			d.doubt(p, path, "the value %s looks like a regular expression, but is compared as it is: only this very text matches; write"+
				" enabled_regex_matching: true, if it is one", quote(v))
		case isGlob(v):
			d.doubt(p, path, "the value %s has a *, but is compared as it is: only this very text matches; for all that begin or end so write"+
				" enabled_regex_matching: true and the value '%s'", quote(v), strings.ReplaceAll(globExpression(v), "'", "''"))
		}
	}
}

// isGlob reports whether a text has an asterisk that stands for something: */* is a media type, and SELECT * and count(*) are SQL.
func isGlob(v string) bool {
	return v == "*" || v != "*/*" && strings.Contains(strings.NewReplacer(" * ", " ", "(*)", "").Replace(" "+v+" "), "*")
}

// globExpression returns the regular expression for a text in which asterisks stand for anything.
func globExpression(v string) string {
	parts := strings.FieldsFunc(v, func(r rune) bool { return r == '*' })
	if len(parts) == 0 {
		return ".*"
	}
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	x := strings.Join(parts, ".*")
	if !strings.HasPrefix(v, "*") {
		x = "^" + x
	}
	if !strings.HasSuffix(v, "*") {
		x += "$"
	}
	return x
}
