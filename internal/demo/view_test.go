package demo

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/stretchr/testify/require"
)

var about = About{OTLPgRPC: "127.0.0.1:4317", OTLPHTTP: "127.0.0.1:4318", Load: "a shop of ten services"}

func snapshot(at time.Duration) Snapshot {
	s := Snapshot{
		Elapsed: at, Planned: 20 * time.Second,
		Report: balanced,
		Policies: []PolicyCount{
			{Name: "health-checks", Drops: true, Traces: 1000, Spans: 1100},
			{Name: "errors", Traces: 200, Spans: 3000},
			{Name: "one-percent", Traces: 41, Spans: 1102},
			{Traces: 3670, Spans: 48900},
		},
		OpenTraces: 2104, BufferedBytes: 12_000_000, MemoryBytes: 142_000_000,
		Latest: &Kept{Tree: TreeOf(checkout), Policy: "errors", Reason: "status ERROR"},
	}
	s.ReceivedSpans = uint64(at / time.Millisecond)
	s.BytesIn = 600 * s.ReceivedSpans
	return s
}

func environment(vars ...string) func(string) string {
	return func(name string) string {
		for _, v := range vars {
			if k, value, _ := strings.Cut(v, "="); k == name {
				return value
			}
		}
		return ""
	}
}

func liveView(out *bytes.Buffer, width, height int, vars ...string) *View {
	v := newView(out, about, environment(vars...))
	v.size = func() (int, int) { return width, height }
	return v
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// screen is what one frame shows.
func screen(out *bytes.Buffer) string {
	defer out.Reset()
	return escapes.ReplaceAllString(strings.ReplaceAll(out.String(), "\r\n", "\n"), "")
}

func TestFrame(t *testing.T) {
	var out bytes.Buffer
	v := liveView(&out, 81, 24, "NO_COLOR=1")
	v.Show(snapshot(9 * time.Second))
	require.NotRegexp(t, `\x1b\[[0-9;]*m`, out.String(), "NO_COLOR")
	out.Reset()
	v.Show(snapshot(10 * time.Second))
	require.Equal(t, `thresher demo  0:10 of 0:20  a shop of ten services                 Ctrl-C quits
spans       1,000/s  10,000 received, 4,112 kept (7.2 %)
bytes      600 kB/s  6.0 MB in, 2.4 MB out: 60.0 % saved
open        2,104    traces wait for a decision with 12.0 MB; memory 142 MB
and         3,010    spans came late, 75 duplicates removed, 5 rejected

policy                          traces               spans
health-checks          drop      1,000   20.4 %      1,100  ####
errors                 keep        200    4.1 %      3,000  #
one-percent            keep         41    0.8 %      1,102  #
(no policy)            drop      3,670   74.7 %     48,900  ###############

kept    ab000000  7 spans, 4 services, 100 ms, 1 error  because of errors: stat~
POST /checkout                     frontend        100 ms ######################
|- verify                          auth             10 ms  ##
`+"`- order                           checkout         70 ms     ###############"+`
   |- ! charge                     payment          50 ms        ###########
   `+"`- SELECT x 3                   checkout        8.0 ms                   ##"+`





send it your own OTLP: gRPC 127.0.0.1:4317  HTTP http://127.0.0.1:4318`, screen(&out))
}

// TestFrameFitsAnyTerminal tries many sizes with hostile text: no line may be too long, nor may any text of a span reach the
// terminal as a command.
func TestFrameFitsAnyTerminal(t *testing.T) {
	s := snapshot(5 * time.Second)
	s.Notice = "no broker\x1b]0;owned\a\r\n" + strings.Repeat("very ", 50)
	s.Policies[1].Name = "\x1b[2Jclear\n" + strings.Repeat("long", 30)
	s.Latest.Reason = "\u4e16\u754c" + strings.Repeat("\u4e16", 100)
	s.Latest.Tree = TreeOf(trace(
		span{id: 1, name: "\x1b[31mred\x07\u202e" + strings.Repeat("\u754c", 80), service: "bad\x1b[A", from: 0, to: 10},
		span{id: 2, parent: 1, name: "\xff\xfe", service: "\u0000", from: 1, to: 2},
	))
	for _, locale := range []string{"LANG=C", "LANG=en_US.UTF-8"} {
		for width := 1; width < 140; width += 3 {
			for height := 1; height < 40; height += 2 {
				var out bytes.Buffer
				v := liveView(&out, width, height, locale)
				v.Show(s)
				raw := out.String()
				require.NotContains(t, raw, "\a")
				require.NotContains(t, escapes.ReplaceAllString(raw, ""), "\x1b")
				require.NotContains(t, raw, "\x1b[2J")
				lines := strings.Split(screen(&out), "\n")
				require.LessOrEqual(t, len(lines), height)
				for _, line := range lines {
					require.LessOrEqual(t, lipgloss.Width(line), max(0, width-1), "%dx%d %q", width, height, line)
				}
			}
		}
	}
}

func TestScreenIsGivenBack(t *testing.T) {
	var out bytes.Buffer
	v := liveView(&out, 80, 24)
	v.Close()
	require.Empty(t, out.String(), "nothing was drawn")

	v = liveView(&out, 80, 24)
	v.Show(snapshot(0))
	v.Show(snapshot(time.Second))
	require.Equal(t, 1, strings.Count(out.String(), enterScreen))
	require.Contains(t, out.String(), "\x1b[32m", "colours")
	v.Close()
	v.Close()
	v.Show(snapshot(2 * time.Second))
	require.True(t, strings.HasSuffix(out.String(), leaveScreen))
	require.Equal(t, 1, strings.Count(out.String(), leaveScreen))
}

func TestResizeIsSeenAtTheNextFrame(t *testing.T) {
	var out bytes.Buffer
	v := liveView(&out, 80, 24)
	v.Show(snapshot(0))
	screen(&out)
	v.size = func() (int, int) { return 100, 50 }
	v.Show(snapshot(time.Second))
	require.Len(t, strings.Split(screen(&out), "\n"), 50)
}

func TestTreeStaysLongEnoughToBeRead(t *testing.T) {
	var out bytes.Buffer
	v := liveView(&out, 100, 40)
	for at, want := range []string{"first", "first", "first", "first", "second"} {
		s := snapshot(time.Duration(at) * time.Second)
		if at == 0 {
			s.Latest.Policy = "first"
		} else {
			s.Latest.Policy = "second"
		}
		v.Show(s)
		require.Contains(t, screen(&out), "because of "+want)
	}
}

// TestOwnTracesComeFirst: a trace of the user's own application takes the place of one of the shop at once, and keeps it until another one
// of theirs comes or half a minute has passed.
func TestOwnTracesComeFirst(t *testing.T) {
	own := func(id byte, policy string) *Kept {
		return &Kept{Tree: TreeOf(trace(span{trace: id, id: 1, name: "mine", service: "mine"})), Policy: policy}
	}
	var out, plain bytes.Buffer
	v, lines := liveView(&out, 100, 40), newView(&plain, about, environment())
	for _, x := range []struct {
		at         time.Duration
		own        *Kept
		whose, why string
	}{
		{0, nil, "kept ", "errors"},
		{1 * time.Second, own(1, "one"), "yours ", "one"},
		{2 * time.Second, own(2, "two"), "yours ", "one"},
		{5 * time.Second, own(2, "two"), "yours ", "two"},
		{34 * time.Second, own(2, "two"), "yours ", "two"},
		{35 * time.Second, own(2, "two"), "kept ", "errors"},
		{40 * time.Second, own(2, "two"), "kept ", "errors"},
		{41 * time.Second, own(3, "three"), "yours ", "three"},
	} {
		s := snapshot(x.at)
		if s.Own = x.own; x.own != nil {
			s.OwnSpans, s.OwnTraces = 12, 1
		}
		v.Show(s)
		lines.Show(s)
		shown := screen(&out)
		require.Regexp(t, "(?m)^"+x.whose+".*because of "+x.why, shown, x.at)
		require.Equal(t, x.own != nil, strings.Contains(shown, "\nyour application: 12 spans came, 1 trace kept"), x.at)
		require.Equal(t, x.own == nil, strings.Contains(shown, "\nsend it your own OTLP"), x.at)
	}
	require.Contains(t, plain.String(), "\n      kept of yours ab000000000000000000000000000002 because of two: 1 span,")
	require.Contains(t, plain.String(), "\n      your application: 12 spans came, 1 trace kept\n")

	s := snapshot(45 * time.Second)
	s.OwnSpans = 1
	v.Show(s)
	require.Contains(t, screen(&out), "your application: 1 span came; its traces are decided within 10 s")
}

func TestPlainLines(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	v := NewView(w, about)
	require.False(t, v.Live(), "a pipe is no terminal")
	v.style = style{}
	for i := range 33 { // 11 seconds
		v.Show(snapshot(time.Duration(i) * 333 * time.Millisecond))
	}
	v.Close()
	require.NoError(t, w.Close())
	var out bytes.Buffer
	_, err = out.ReadFrom(r)
	require.NoError(t, err)
	const tail = "health-checks 1,000  errors 200  one-percent 41\n" +
		"      kept ab000000000000000000000000000000 because of errors: 7 spans, 4 services, 100 ms, 1 error\n"
	line := func(clock, received, in, saved string) string {
		return fmt.Sprintf("%s  1,000 spans/s  received %s  kept 4,112 (7.2 %%)  late 3,010  duplicates 75  rejected 5  in %s  out 2.4 MB  saved %s"+
			"  open 2,104 traces  memory 142 MB  %s", clock, received, in, saved, tail)
	}
	require.Equal(t, "thresher demo: a shop of ten services\n"+
		"send it your own OTLP: gRPC 127.0.0.1:4317  HTTP http://127.0.0.1:4318\n"+
		"ends after 0:20, or with Ctrl-C (SIGINT)\n"+
		line("0:05", "5,328", "3.2 MB", "24.9 %")+
		line("0:10", "10,323", "6.2 MB", "61.3 %"), out.String())
}

func TestNotices(t *testing.T) {
	s := snapshot(6 * time.Second)
	s.Notice = "the backend does not answer"
	var live, plain bytes.Buffer
	liveView(&live, 80, 12).Show(s)
	require.Contains(t, screen(&live), s.Notice)
	newView(&plain, about, environment()).Show(s)
	require.Contains(t, plain.String(), s.Notice+"\n")
}

func TestLocale(t *testing.T) {
	for vars, want := range map[string]bool{
		"LANG=en_IE.UTF-8": true, "LANG=C.utf8": true, "LC_ALL=C,LANG=en_IE.UTF-8": false, "LC_CTYPE=de_AT.UTF-8,LANG=C": true, "": false,
	} {
		require.Equal(t, want, styleFor(environment(strings.Split(vars, ",")...)).unicode, vars)
	}
}

func TestRates(t *testing.T) {
	var r rates
	spans := func(p point) uint64 { return p.spans }
	require.Zero(t, r.per(spans))
	for i := range 10 {
		s := Snapshot{Elapsed: time.Duration(i+1) * time.Second}
		s.ReceivedSpans = uint64(i * i)
		r.add(s)
	}
	require.InDelta(t, (81.0-36)/3, r.per(spans), 0.001, "over the latest three seconds")
	var back rates
	back.add(Snapshot{Elapsed: time.Second, Report: Report{ReceivedSpans: 5}})
	require.InDelta(t, 5, back.per(spans), 0.001)
	back.add(Snapshot{Elapsed: 2 * time.Second})
	require.Zero(t, back.per(spans), "a total that went back")
}
