package policies

import (
	"bytes"
	"slices"
)

// A valueSet is the values of which one makes a condition met.
type valueSet interface {
	// within reports whether certainly all values are also in another set.
	within(other valueSet, p *prover) bool
}

// statusSet is a set of statuses, by number.
type statusSet [3]bool

func (s statusSet) within(other valueSet, _ *prover) bool {
	o, is := other.(statusSet)
	for status := range s {
		is = is && (!s[status] || o[status])
	}
	return is
}

// truthSet is one of the two booleans.
type truthSet bool

func (s truthSet) within(other valueSet, _ *prover) bool { return s == other }

// rangeSet is the whole numbers from the first to the second.
type rangeSet [2]uint64

func (s rangeSet) within(other valueSet, _ *prover) bool {
	o, is := other.(rangeSet)
	return is && o[0] <= s[0] && s[1] <= o[1]
}

// numberSet is integers and doubles.
type numberSet numberRange

func (s numberSet) within(other valueSet, _ *prover) bool {
	o, is := other.(numberSet)
	return is && o.low <= s.low && s.high <= o.high && o.lowDouble <= s.lowDouble && s.highDouble <= o.highDouble
}

// textSet is a few texts, sorted.
type textSet []string

func (s textSet) within(other valueSet, p *prover) bool {
	switch o := other.(type) {
	case textSet:
		return p.pay(len(s)) && !slices.ContainsFunc(s, func(text string) bool {
			_, is := slices.BinarySearch(o, text)
			return !is
		})
	case patternSet:
		return p.pay(len(s)*len(o)) && !slices.ContainsFunc(s, func(text string) bool {
			return !slices.ContainsFunc(o, func(e expression) bool { return e.match([]byte(text)) })
		})
	}
	return false
}

// patternSet is the texts in which an expression is found.
type patternSet []expression

// An expression is a pattern with its text.
type expression struct {
	pattern
	text string
}

func (s patternSet) within(other valueSet, p *prover) bool {
	switch o := other.(type) {
	case textSet:
		return p.pay(len(s)) && !slices.ContainsFunc(s, func(e expression) bool {
			_, is := slices.BinarySearch(o, string(e.literal))
			return !e.exact() || !is
		})
	case patternSet:
		return p.pay(len(s)*len(o)) && !slices.ContainsFunc(s, func(e expression) bool {
			return !slices.ContainsFunc(o, e.within)
		})
	}
	return false
}

// exact reports whether an expression is found in one text only.
func (e *expression) exact() bool { return e.re == nil && e.start && e.end }

// within reports whether certainly another is found in all texts that this one is found in.
func (e expression) within(other expression) bool {
	switch {
	case e.text == other.text || other.text == ".*" || other.text == "^.*":
		return true
	case e.exact():
		return other.match(e.literal)
	case e.re != nil || other.re != nil || other.exact():
		return false
	case other.start:
		return e.start && bytes.HasPrefix(e.literal, other.literal)
	case other.end:
		return e.end && bytes.HasSuffix(e.literal, other.literal)
	}
	return bytes.Contains(e.literal, other.literal)
}

// texts returns the values of a string policy, nil if there are too many to look at.
func (p *prover) texts(r *stringAttribute) valueSet {
	if !r.patterns {
		return textSet(r.values)
	}
	var s patternSet
	for _, text := range r.values {
		if !p.pay(len(text)) {
			return nil
		}
		s = append(s, expression{newPattern(text), text})
	}
	return s
}
