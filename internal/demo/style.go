package demo

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/lipgloss"
)

// A style is what the terminal can show.
type style struct {
	color   bool
	unicode bool
}

// styleFor reads the environment: NO_COLOR (https://no-color.org) and the locale.
func styleFor(getenv func(string) string) style {
	locale := getenv("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = getenv(name)
		}
	}
	locale = strings.ToUpper(strings.ReplaceAll(locale, "-", ""))
	return style{color: getenv("NO_COLOR") == "", unicode: strings.HasSuffix(locale, "UTF8")}
}

// Graphic rendition codes.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint puts a text that is ready for the screen in a colour.
func (s style) paint(code, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) glyph(nice, plain string) string {
	if s.unicode {
		return nice
	}
	return plain
}

// bar is n cells of a filled bar.
func (s style) bar(n int) string { return strings.Repeat(s.glyph("\u2588", "#"), n) }

// indent draws what stands before a row of a tree.
func (s style) indent(last []bool) string {
	var b strings.Builder
	for i, l := range last[min(1, len(last)):] { // roots have no lines in front
		switch own := i == len(last)-2; {
		case own && l:
			b.WriteString(s.glyph("\u2514\u2500 ", "`- "))
		case own:
			b.WriteString(s.glyph("\u251c\u2500 ", "|- "))
		case l:
			b.WriteString("   ")
		default:
			b.WriteString(s.glyph("\u2502  ", "|  "))
		}
	}
	return b.String()
}

// clean makes text from outside fit to print: no control characters, which could take over the terminal.
func (s style) clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || !s.unicode && r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, text)
}

// fit cuts or fills clean text to exactly width cells.
func (s style) fit(text string, width int) string {
	return s.cut(text, width) + strings.Repeat(" ", max(0, width-lipgloss.Width(s.cut(text, width))))
}

// cut cuts clean text to at most width cells and marks the cut.
func (s style) cut(text string, width int) string {
	if lipgloss.Width(text) <= width {
		return text
	}
	mark := s.glyph("\u2026", "~")
	used, end := 0, 0
	for i, r := range text {
		used += lipgloss.Width(string(r))
		if used > width-1 {
			break
		}
		end = i + len(string(r))
	}
	if width <= 0 {
		return ""
	}
	return text[:end] + mark
}

// right puts text at the right of width cells.
func right(text string, width int) string {
	return strings.Repeat(" ", max(0, width-lipgloss.Width(text))) + text
}
