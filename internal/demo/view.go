package demo

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// A View shows Snapshots on a terminal, redrawn in place, or as plain lines. Make one with NewView. It may be used by
// several goroutines.
type View struct {
	out   io.Writer
	about About
	size  func() (width, height int) // nil: plain lines
	style style

	mu     sync.Mutex // Close may come from elsewhere, as when the user interrupts
	closed bool
	rates  rates
	shown  *Kept
	own    bool          // shown is of the user's own application
	since  time.Duration // when shown came
	next   time.Duration // when the next plain line is due
	frames int

	latestOwn string // ID of the latest trace of the user's own application that was shown
}

const (
	plainEvery = 5 * time.Second
	treeFor    = 4 * time.Second  // a trace stays long enough to be read
	ownFor     = 30 * time.Second // one of the user's own application, which is what they look for, unless there is a newer one
)

// NewView returns a view on a file. It draws if the file is a terminal that can be drawn on, in colour unless NO_COLOR is
// set in the environment; otherwise it writes a line every five seconds.
func NewView(out *os.File, about About) *View {
	v := newView(out, about, os.Getenv)
	if fd := int(out.Fd()); term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
		// Asked anew for each frame, so that a resize needs no signal.
		v.size = func() (int, int) {
			width, height, err := term.GetSize(fd)
			if err != nil || width <= 0 || height <= 0 {
				return 80, 24
			}
			return width, height
		}
	}
	return v
}

func newView(out io.Writer, about About, getenv func(string) string) *View {
	return &View{out: out, about: about, style: styleFor(getenv)}
}

// Live reports whether the view redraws in place.
func (v *View) Live() bool { return v.size != nil }

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, so that the user's is left as it was; no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// Show shows a snapshot, two to four times a second. Errors in writing are left to whoever reads: a view that
// cannot be seen is no reason to stop.
func (v *View) Show(s Snapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.rates.add(s)
	v.choose(s)
	var b strings.Builder
	if v.size == nil {
		v.plain(&b, s)
	} else {
		v.draw(&b, s)
	}
	_, _ = io.WriteString(v.out, b.String())
}

// choose says which trace is shown. Those of the user's own application come first.
func (v *View) choose(s Snapshot) {
	age := s.Elapsed - v.since
	isNew := s.Own != nil && s.Own.Tree.TraceID != v.latestOwn
	switch {
	case isNew && (!v.own || age >= treeFor):
		v.shown, v.own, v.since, v.latestOwn = s.Own, true, s.Elapsed, s.Own.Tree.TraceID
	case v.own && age < ownFor:
	case s.Latest != nil && (v.shown == nil || age >= treeFor):
		v.shown, v.own, v.since = s.Latest, false, s.Elapsed
	}
}

func (v *View) draw(b *strings.Builder, s Snapshot) {
	if v.frames == 0 {
		b.WriteString(enterScreen)
	}
	v.frames++
	width, height := v.size()
	b.WriteString(home)
	// The last column stays empty: clearing the rest of a line that is full would take its last character.
	for i, line := range v.frame(s, width-1, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line)
		b.WriteString(clearLine)
	}
	b.WriteString(clearBelow)
}

// Close gives the terminal back. What is shown afterwards is not drawn; it may be called again.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed && v.size != nil && v.frames > 0 {
		_, _ = io.WriteString(v.out, leaveScreen)
	}
	v.closed = true
}

// rates are speeds over the latest seconds.
type rates struct {
	points []point
}

type point struct {
	at        time.Duration
	spans, in uint64
}

const rateWindow = 3 * time.Second

func (r *rates) add(s Snapshot) {
	r.points = append(r.points, point{s.Elapsed, s.ReceivedSpans, s.BytesIn})
	for len(r.points) > 2 && s.Elapsed-r.points[1].at >= rateWindow {
		r.points = r.points[1:]
	}
}

// per returns how much a total grows in a second.
func (r *rates) per(total func(point) uint64) float64 {
	if len(r.points) == 0 {
		return 0
	}
	first, last := r.points[0], r.points[len(r.points)-1]
	if len(r.points) == 1 {
		first = point{}
	}
	took := (last.at - first.at).Seconds()
	if took <= 0 || total(last) < total(first) {
		return 0
	}
	return float64(total(last)-total(first)) / took
}
