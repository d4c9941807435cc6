package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"thresher/policies"
)

// frame lays a snapshot out as lines of at most width cells, at most height of them.
func (v *View) frame(s Snapshot, width, height int) []string {
	lines := append(v.head(s, width, height < roomy), v.table(s, width)...)
	foot := v.foot(s, width)

	// What must give way in a low terminal: the tree, then the policies' tail. The foot tells what to do.
	if room := height - len(lines) - len(foot) - 2; room >= 3 && v.shown != nil {
		lines = append(lines, "")
		lines = append(lines, v.tree(width, room)...)
	}
	lines = lines[:max(0, min(len(lines), height-len(foot)))]
	for len(lines)+len(foot) < height {
		lines = append(lines, "")
	}
	lines = append(lines, foot...)
	return lines[:min(len(lines), height)]
}

// roomy is the height from which there are empty lines to look at.
const roomy = 30

// row is a line of pieces, each cut to what is left of the width.
type row struct {
	style style
	left  int
	b     strings.Builder
}

func (v *View) row(width int) *row { return &row{style: v.style, left: width} }

func (r *row) add(code, text string) *row {
	text = r.style.cut(text, r.left)
	r.left -= lipgloss.Width(text)
	if code == "" {
		r.b.WriteString(text)
	} else {
		r.b.WriteString(r.style.paint(code, text))
	}
	return r
}

func (v *View) head(s Snapshot, width int, tight bool) []string {
	const leave = "Ctrl-C quits"
	title := v.row(width - len(leave) - 1)
	title.add(bold, "thresher demo").add("", "  "+clock(s.Elapsed))
	if s.Planned > 0 {
		title.add("", " of "+clock(s.Planned))
	}
	title.add(faint, "  "+v.style.clean(v.about.Load))
	top := title.b.String()
	if width > len(leave) {
		top += strings.Repeat(" ", max(0, title.left)+1) + v.style.paint(faint, leave)
	}

	kept := s.KeptSpans + s.LateKeptSpans
	decided := kept + s.DroppedSpans + s.LateDroppedSpans
	spans := v.row(width).add(faint, "spans   ").
		add(bold, right(count(uint64(v.rates.per(func(p point) uint64 { return p.spans }))), 9)).add("", "/s  ").
		add("", count(s.ReceivedSpans)+" received, ").
		add(green, count(kept)+" kept").add("", " ("+percent(kept, decided)+")")
	bytes := v.row(width).add(faint, "bytes   ").
		add(bold, right(size(uint64(v.rates.per(func(p point) uint64 { return p.in }))), 9)).add("", "/s  ").
		add("", size(s.BytesIn)+" in, "+size(s.BytesOut)+" out: ").
		add(green, share(s.Saving())+" saved")
	open := v.row(width).add(faint, "open    ").
		add(bold, right(count(s.OpenTraces), 9)).
		add("", fmt.Sprintf("    traces wait for a decision with %s; memory %s", size(s.BufferedBytes), size(s.MemoryBytes)))
	others := v.row(width).add(faint, "and     ").
		add(bold, right(count(s.LateKeptSpans+s.LateDroppedSpans), 9)).add("", "    spans came late, ").
		add("", plural(s.DuplicateSpans, "duplicate")+" removed, ").
		add(v.alarm(s.RejectedSpans), count(s.RejectedSpans)+" rejected")
	lines := []string{top, "", spans.b.String(), bytes.b.String(), open.b.String(), others.b.String(), ""}
	if tight {
		return append(lines[:1], lines[2:]...)
	}
	return lines
}

func (v *View) alarm(n uint64) string {
	if n > 0 {
		return red
	}
	return ""
}

func (v *View) table(s Snapshot, width int) []string {
	const numbers = 4 + 1 + 10 + 9 + 11 // verdict, traces, share, spans
	name := min(22, max(8, width-numbers-2))
	lines := []string{v.row(width).add(faint, v.style.fit("policy", name)+" "+v.style.fit("", 5)+right("traces", 10)+right("", 9)+right("spans", 11)).b.String()}
	var traces uint64
	for _, p := range s.Policies {
		traces += p.Traces
	}
	for _, p := range s.Policies {
		label, verdict, code := v.style.clean(p.Name), "keep", green
		if p.Drops || p.Name == "" {
			verdict, code = "drop", faint
		}
		if p.Name == "" {
			label = policies.Unmatched
		}
		r := v.row(width).add("", v.style.fit(label, name)+" ").add(code, verdict+" ").
			add("", right(count(p.Traces), 10)+right(percent(p.Traces, traces), 9)+right(count(p.Spans), 11))
		if room := min(30, r.left-2); room >= 5 && traces > 0 {
			n := int(float64(room)*float64(p.Traces)/float64(traces) + 0.5)
			if n == 0 && p.Traces > 0 {
				n = 1
			}
			r.add("", "  ").add(code, v.style.bar(n))
		}
		lines = append(lines, r.b.String())
	}
	return lines
}

func (v *View) tree(width, height int) []string {
	k := v.shown
	whose := v.row(width).add(faint, "kept    ")
	if v.own {
		whose = v.row(width).add(bold, "yours   ")
	}
	title := whose.add("", k.Tree.TraceID[:min(8, len(k.Tree.TraceID))]+"  ").
		add("", fmt.Sprintf("%s, %s, %s", plural(uint64(k.Tree.Spans), "span"), plural(uint64(k.Tree.Services), "service"), duration(k.Tree.Duration)))
	if k.Tree.Errors > 0 {
		title.add("", ", ").add(red, plural(uint64(k.Tree.Errors), "error"))
	}
	title.add("", "  because of ").add(green, v.style.clean(k.Policy))
	if k.Reason != "" {
		title.add("", ": "+v.style.clean(k.Reason))
	}
	lines := []string{title.b.String()}

	rows, hidden := k.Tree.Rows(height - 1)
	if hidden > 0 {
		rows, hidden = k.Tree.Rows(height - 2)
	}
	const service, took = 15, 8 // columns
	chart := 0
	if width >= 76 {
		chart = min(60, (width-service-took)*2/5)
	}
	label := max(10, min(60, width-chart-service-took-1))
	for _, r := range rows {
		name := v.style.clean(r.Name)
		if r.Times > 1 {
			name += fmt.Sprintf(" x %d", r.Times)
		}
		code := ""
		if r.Failed {
			code, name = red, "! "+name
		}
		line := v.row(width).add(faint, v.style.indent(r.Last))
		used := width - line.left
		line.add(code, v.style.fit(name, max(1, label-used))).add(cyan, " "+v.style.fit(v.style.clean(r.Service), service-1)).
			add(code, right(duration(r.Duration), took))
		if chart > 0 {
			from, n := stretch(r, k.Tree.Duration, chart)
			if code == "" {
				code = cyan
			}
			line.add("", strings.Repeat(" ", 1+from)).add(code, v.style.bar(n))
		}
		lines = append(lines, line.b.String())
	}
	if hidden > 0 {
		lines = append(lines, v.row(width).add(faint, fmt.Sprintf("   and %s", plural(uint64(hidden), "shorter span"))).b.String())
	}
	return lines
}

// stretch tells when in its trace a span ran: from which cell of the width, and for how many.
func stretch(r Row, whole time.Duration, width int) (from, n int) {
	if whole <= 0 {
		return 0, 1
	}
	cells := func(d time.Duration) int {
		return int(float64(width)*float64(d)/float64(whole) + 0.5)
	}
	from = max(0, min(width-1, cells(r.Offset)))
	return from, max(1, min(width-from, cells(r.Duration)))
}

func (v *View) foot(s Snapshot, width int) []string {
	var lines []string
	if s.Notice != "" {
		lines = append(lines, v.row(width).add(yellow, v.style.clean(s.Notice)).b.String())
	}
	if own := s.own(); own != "" {
		return append(lines, v.row(width).add(bold, own).b.String())
	}
	if e := v.about.endpoints(); e != "" {
		lines = append(lines, v.row(width).add(faint, "send it your own OTLP: ").add("", e).b.String())
	}
	return lines
}

// own says what became of the user's own application.
func (s *Snapshot) own() string {
	switch {
	case s.OwnSpans == 0:
		return ""
	case s.OwnTraces == 0:
		return fmt.Sprintf("your application: %s came; its traces are decided within 10 s", plural(s.OwnSpans, "span"))
	}
	return fmt.Sprintf("your application: %s came, %s kept", plural(s.OwnSpans, "span"), plural(s.OwnTraces, "trace"))
}

func (a About) endpoints() string {
	var open []string
	if a.OTLPgRPC != "" {
		open = append(open, "gRPC "+a.OTLPgRPC)
	}
	if a.OTLPHTTP != "" {
		open = append(open, "HTTP http://"+a.OTLPHTTP)
	}
	return strings.Join(open, "  ")
}

// clock writes minutes and seconds.
func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// duration writes the time that a span took in at most seven characters.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "?"
	case d < 995*time.Microsecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	case d < 9950*time.Microsecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 100*time.Minute:
		return fmt.Sprintf("%.1f m", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", min(d.Hours(), 9999))
}
