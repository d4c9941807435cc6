package policies

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"thresher/internal/wire"
)

// A testTrace is a trace as the tests' short form writes it: lines of `resource` and `span`, each span belonging to the
// last resource before it.
type testTrace struct {
	name     string
	id       wire.TraceID
	explicit bool   // its tracestate gives the randomness
	rv       uint64 // then
	due      int64
	lines    []testLine
}

// random returns the trace's randomness.
func (tt *testTrace) random() uint64 {
	if tt.explicit {
		return tt.rv
	}
	return Randomness(tt.id)
}

type testLine struct {
	resource bool
	attrs    []testAttr
	span     wire.Span // without attributes
}

type testAttr struct {
	key   string
	value wire.Value
}

// The base that the times in the short form count from.
const testEpoch = uint64(1_700_000_000 * time.Second)

// parseTraces reads the short form:
//
//	trace NAME [id=HEX] [rv=HEX] [due=TIME]
//	resource KEY=VALUE ...
//	span [*COUNT] [@root] [@status=ERROR] [@ms=FROM..TO] [@flags=1] [@tracestate="..."] KEY=VALUE ...
//
// A value is a bare word or quoted text, true or false, an integer, a double (with a point, an exponent, NaN or Inf),
// bytes:TEXT, [] or {}.
func parseTraces(t testing.TB, input string) []*testTrace {
	t.Helper()
	var traces []*testTrace
	for line := range strings.Lines(input) {
		words := splitWords(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "trace" {
			trace := &testTrace{name: words[1], id: wire.TraceID{15: byte(len(traces) + 1)}}
			for _, w := range words[2:] {
				trace.read(t, w)
			}
			traces = append(traces, trace)
			continue
		}
		if len(traces) == 0 {
			traces = append(traces, &testTrace{name: "trace", id: wire.TraceID{15: 1}})
		}
		trace := traces[len(traces)-1]
		l, count := parseLine(t, words, line)
		for range count {
			trace.lines = append(trace.lines, l)
		}
	}
	return traces
}

func (tt *testTrace) read(t testing.TB, word string) {
	t.Helper()
	var err error
	switch key, text, _ := strings.Cut(word, "="); key {
	case "id":
		_, err = fmt.Sscanf(text, "%x", sliceScanner(tt.id[:]))
	case "rv":
		tt.explicit = true
		tt.rv, err = strconv.ParseUint(text, 16, 56)
	case "due":
		var due time.Time
		due, err = time.Parse(time.RFC3339, text)
		tt.due = due.UnixMilli()
	default:
		t.Fatalf("%q: want id, rv or due", word)
	}
	if err != nil {
		t.Fatalf("%q: %v", word, err)
	}
}

type sliceScanner []byte

func (s sliceScanner) Scan(state fmt.ScanState, _ rune) error {
	text, err := state.Token(true, nil)
	if err != nil || len(text) != 2*len(s) {
		return fmt.Errorf("want %d hex digits", 2*len(s))
	}
	for i := range s {
		b, err := strconv.ParseUint(string(text[2*i:2*i+2]), 16, 8)
		if err != nil {
			return err
		}
		s[i] = byte(b)
	}
	return nil
}

func parseLine(t testing.TB, words []string, line string) (l testLine, count int) {
	t.Helper()
	count = 1
	l.span.ParentID = wire.SpanID{1}
	switch words[0] {
	case "resource":
		l.resource = true
	case "span":
	default:
		t.Fatalf("%q: want trace, resource or span", line)
	}
	for _, w := range words[1:] {
		key, text, _ := strings.Cut(w, "=")
		var err error
		switch {
		case strings.HasPrefix(w, "*"):
			count, err = strconv.Atoi(w[1:])
		case key == "@root":
			l.span.ParentID = wire.SpanID{}
		case key == "@status":
			code, known := map[string]int32{"UNSET": 0, "OK": 1, "ERROR": 2}[text]
			if !known {
				_, err = fmt.Sscan(text, &code)
			}
			l.span.Status = code
		case key == "@flags":
			_, err = fmt.Sscan(text, &l.span.Flags)
		case key == "@tracestate":
			text, err = strconv.Unquote(text)
			l.span.TraceState = []byte(text)
		case key == "@ms":
			from, to, _ := strings.Cut(text, "..")
			l.span.Start, l.span.End = testTime(t, from), testTime(t, to)
		default:
			l.attrs = append(l.attrs, testAttr{key, testValue(text)})
		}
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return l, count
}

// testTime reads milliseconds; "none" is a missing time.
func testTime(t testing.TB, text string) uint64 {
	t.Helper()
	if text == "none" {
		return 0
	}
	ms, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return testEpoch + uint64(ms*1e6)
}

func testValue(text string) wire.Value {
	if unquoted, err := strconv.Unquote(text); err == nil {
		return wire.Value{Kind: wire.ValueString, Bytes: []byte(unquoted)}
	}
	switch text {
	case "true":
		return wire.Value{Kind: wire.ValueBool, Num: 1}
	case "false":
		return wire.Value{Kind: wire.ValueBool}
	case "[]":
		return wire.Value{Kind: wire.ValueArray}
	case "{}":
		return wire.Value{Kind: wire.ValueMap}
	}
	if b, isBytes := strings.CutPrefix(text, "bytes:"); isBytes {
		return wire.Value{Kind: wire.ValueBytes, Bytes: []byte(b)}
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return wire.Value{Kind: wire.ValueInt, Num: uint64(i)}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return wire.Value{Kind: wire.ValueDouble, Num: math.Float64bits(f)}
	}
	return wire.Value{Kind: wire.ValueString, Bytes: []byte(text)}
}

// splitWords splits at spaces outside quotes.
func splitWords(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\n')
	})
}

// run passes a trace through a matcher, as the machine does, and returns what it decided on.
func (tt *testTrace) run(m *Matcher, v *Verdict) *Trace {
	t := tt.gather(m)
	m.Decide(t, v)
	return t
}

// gather passes the spans of a trace through a matcher.
func (tt *testTrace) gather(m *Matcher) *Trace {
	t := &Trace{ID: tt.id, Randomness: tt.random(), Explicit: tt.explicit, Due: tt.due, Now: tt.due, Matches: make([]uint64, m.plan.Words())}
	for _, l := range tt.lines {
		if l.resource { // also one without spans
			c := make([]uint64, m.plan.Words())
			m.MatchResource(l.scanned(m.plan), c)
			for i := range m.plan.bitWords {
				t.Matches[i] |= c[i]
			}
		}
	}
	tt.each(m, func(s *wire.Span, c *Context) {
		m.MatchSpan(s, c, t.Matches)
		if m.plan.ShapeBytes() > 0 {
			t.Shape = m.plan.AppendShape(t.Shape, s, c)
		}
		t.Spans++
		t.Bytes += testSpanBytes
		if s.Start != 0 && (t.Start == 0 || s.Start < t.Start) {
			t.Start = s.Start
		}
		t.End = max(t.End, s.End)
		t.HasRoot = t.HasRoot || s.Root()
	})
	return t
}

// each calls do for every span, with the context that its resource gives.
func (tt *testTrace) each(m *Matcher, do func(*wire.Span, *Context)) {
	c := &Context{}
	for _, l := range tt.lines {
		if l.resource {
			c = &Context{Matches: make([]uint64, m.plan.Words())}
			m.MatchResource(l.scanned(m.plan), c.Matches)
			continue
		}
		s := l.span
		s.TraceID, s.Attrs, s.Raw = tt.id, l.scanned(m.plan), []byte{byte(s.Status)}
		do(&s, c)
	}
}

// seen returns the spans for an explanation.
func (tt *testTrace) seen(p *Plan) []Seen {
	var resource []wire.Attr
	seen := []Seen{}
	for _, l := range tt.lines {
		if l.resource {
			resource = l.scanned(p)
			continue
		}
		s := l.span
		s.Attrs = l.scanned(p)
		seen = append(seen, Seen{Resource: resource, Span: s})
	}
	return seen
}

// scanned returns the attributes that a plan looks at.
func (l *testLine) scanned(p *Plan) (attrs []wire.Attr) {
	for _, a := range l.attrs {
		if i := p.Keys().Index([]byte(a.key)); i >= 0 {
			attrs = append(attrs, wire.Attr{Key: i, Value: a.value})
		}
	}
	return attrs
}

// testSpanBytes is the size that a span of the short form is taken to have.
const testSpanBytes = 100
