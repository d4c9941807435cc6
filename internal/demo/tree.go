package demo

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// A Tree is a trace as a view shows it.
type Tree struct {
	TraceID  string
	Spans    int
	Services int
	Errors   int // spans with status error
	Duration time.Duration
	roots    []*branch
}

// A Row is a line of a drawn tree.
type Row struct {
	Last     []bool // for each level from the top: whether the row's ancestor, or at the end the row, is the last of its siblings
	Name     string
	Service  string
	Offset   time.Duration // from the start of the trace
	Duration time.Duration
	Failed   bool
	Times    int // equal spans shown as this one row
}

type branch struct {
	name, service string
	start, end    uint64
	failed        bool
	times         int
	parent        *branch
	children      []*branch
}

// ReadTree reads a trace from the bytes of a TracesData or ExportTraceServiceRequest message.
func ReadTree(tracesData []byte) (Tree, error) {
	var u ptrace.ProtoUnmarshaler
	td, err := u.UnmarshalTraces(tracesData)
	if err != nil {
		return Tree{}, fmt.Errorf("cannot show a trace: %w", err)
	}
	return TreeOf(td), nil
}

// TreeOf makes a tree of the first trace in td. Spans whose parent is missing stand at the top, next to the root.
func TreeOf(td ptrace.Traces) Tree {
	type key struct {
		id     pcommon.SpanID
		server bool
	}
	type entry struct {
		*branch
		key    key
		parent pcommon.SpanID
	}
	var t Tree
	var trace pcommon.TraceID
	var all []entry
	byKey := map[key]*branch{}
	services := map[string]bool{}
	first, last := ^uint64(0), uint64(0)
	eachSpan(td, func(rs ptrace.ResourceSpans, s ptrace.Span) {
		if trace.IsEmpty() {
			trace = s.TraceID()
		}
		k := key{s.SpanID(), s.Kind() == ptrace.SpanKindServer}
		if s.TraceID() != trace || byKey[k] != nil {
			return
		}
		service := "?"
		if v, ok := rs.Resource().Attributes().Get("service.name"); ok {
			service = v.AsString()
		}
		b := &branch{name: s.Name(), service: service, start: uint64(s.StartTimestamp()), end: uint64(s.EndTimestamp()),
			failed: s.Status().Code() == ptrace.StatusCodeError, times: 1}
		b.end = max(b.end, b.start)
		first, last = min(first, b.start), max(last, b.end)
		services[service] = true
		if b.failed {
			t.Errors++
		}
		byKey[k] = b
		all = append(all, entry{b, k, s.ParentSpanID()})
	})
	t.TraceID = hex.EncodeToString(trace[:])
	t.Spans, t.Services = len(all), len(services)
	if last > first {
		t.Duration = time.Duration(last - first)
	}
	for _, e := range all {
		// A client and a server may share an ID: below it is then the other side's span first. The server itself is
		// below its client.
		parent := byKey[key{e.parent, !e.key.server}]
		if parent == nil {
			parent = byKey[key{e.parent, e.key.server}]
		}
		if shared := byKey[key{e.key.id, false}]; e.key.server && shared != nil {
			t.put(shared, e.branch)
			continue
		}
		if e.parent.IsEmpty() || parent == e.branch {
			parent = nil
		}
		t.put(parent, e.branch)
	}
	t.roots = arrange(t.roots, nil)
	return t
}

func (t *Tree) put(parent, b *branch) {
	if parent == nil {
		t.roots = append(t.roots, b)
	} else {
		parent.children = append(parent.children, b)
	}
}

// arrange sorts siblings by start and joins those that follow each other and differ in their times only.
func arrange(siblings []*branch, parent *branch) []*branch {
	slices.SortStableFunc(siblings, func(a, b *branch) int { return cmp.Compare(a.start, b.start) })
	var out []*branch
	for _, b := range siblings {
		b.parent = parent
		b.children = arrange(b.children, b)
		if n := len(out); n > 0 && len(b.children) == 0 && len(out[n-1].children) == 0 {
			if p := out[n-1]; p.name == b.name && p.service == b.service && p.failed == b.failed {
				p.times++
				p.end = max(p.end, b.end)
				continue
			}
		}
		out = append(out, b)
	}
	return out
}

// Rows draws the tree in at most limit rows. If it has more, it leaves out short spans before long ones, and those that failed
// last; hidden is how many spans are not shown.
func (t *Tree) Rows(limit int) (rows []Row, hidden int) {
	var all []*branch
	for level := t.roots; len(level) > 0; {
		var below []*branch
		for _, b := range level {
			all = append(all, b)
			below = append(below, b.children...)
		}
		level = below
	}
	slices.SortStableFunc(all, func(a, b *branch) int {
		if a.failed != b.failed {
			if a.failed {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.end-b.start, a.end-a.start)
	})
	start := ^uint64(0)
	shown := map[*branch]bool{}
	for _, b := range all {
		start = min(start, b.start)
		// What is above a span is shown with it, so that the rows are a tree.
		var path []*branch
		for up := b; up != nil && !shown[up] && len(shown)+len(path) <= limit; up = up.parent {
			path = append(path, up)
		}
		if len(shown)+len(path) <= limit {
			for _, up := range path {
				shown[up] = true
			}
		}
	}

	hidden = t.Spans
	var draw func(level []*branch, last []bool)
	draw = func(level []*branch, last []bool) {
		level = slices.DeleteFunc(slices.Clone(level), func(b *branch) bool { return !shown[b] })
		for i, b := range level {
			here := append(slices.Clone(last), i == len(level)-1)
			rows = append(rows, Row{Last: here, Name: b.name, Service: b.service, Offset: time.Duration(b.start - start),
				Duration: time.Duration(b.end - b.start), Failed: b.failed, Times: b.times})
			hidden -= b.times
			draw(b.children, here)
		}
	}
	draw(t.roots, nil)
	return rows, hidden
}
