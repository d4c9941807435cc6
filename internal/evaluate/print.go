package evaluate

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// printer writes until there is an error, and keeps it.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err != nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	var b strings.Builder
	for line := range strings.Lines(text) {
		body, ends := strings.CutSuffix(line, "\n")
		if ends {
			body = strings.TrimRight(body, " ") + "\n"
		}
		b.WriteString(body)
	}
	_, p.err = io.WriteString(p.out, b.String())
}

func columns(s string) int { return utf8.RuneCountInString(s) }

// pad fills text up to a width with spaces.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-columns(s)))
}

// printable replaces what would move the cursor: names come from spans.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// fit cuts text to a width.
func fit(s string, width int) string {
	if columns(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}

// count writes a number with commas.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func share[N int | uint64](part, whole N) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func size(bytes uint64) string {
	const units = "kMGT"
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	v, i := float64(bytes)/1000, 0
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.3g %cB", v, units[i])
}

// took writes the duration of a trace in three digits.
func took(r *Result) string {
	if r.Start == 0 || r.End < r.Start {
		return "-"
	}
	d := time.Duration(r.End - r.Start)
	switch {
	case d < 0: // more than 292 years: a timestamp is wrong
		return ">292y"
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d)
	case d < time.Millisecond:
		return fmt.Sprintf("%.3gµs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.3gms", float64(d)/1e6)
	case d < 100*time.Second:
		return fmt.Sprintf("%.3gs", float64(d)/1e9)
	case d < 100*time.Hour:
		text := d.Round(time.Second).String()
		if short, even := strings.CutSuffix(text, "m0s"); even {
			return short + "m"
		}
		return text
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

func verdict(kept bool) string {
	if kept {
		return "kept"
	}
	return "dropped"
}
