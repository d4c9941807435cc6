package demo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// span is a span of a test trace. Times are milliseconds.
type span struct {
	trace, id, parent byte
	name, service     string
	from, to          int
	failed, server    bool
}

func trace(spans ...span) ptrace.Traces {
	td := ptrace.NewTraces()
	for _, s := range spans {
		rs := td.ResourceSpans().AppendEmpty()
		if s.service != "" {
			rs.Resource().Attributes().PutStr("service.name", s.service)
		}
		sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{0xAB, 15: s.trace})
		sp.SetSpanID(pcommon.SpanID{7: s.id})
		sp.SetParentSpanID(pcommon.SpanID{7: s.parent})
		sp.SetName(s.name)
		sp.SetStartTimestamp(pcommon.Timestamp(1e18 + s.from*1e6))
		sp.SetEndTimestamp(pcommon.Timestamp(1e18 + s.to*1e6))
		if s.failed {
			sp.Status().SetCode(ptrace.StatusCodeError)
		}
		if s.server {
			sp.SetKind(ptrace.SpanKindServer)
		}
	}
	return td
}

func drawn(t Tree, limit int) string {
	var b strings.Builder
	rows, hidden := t.Rows(limit)
	for _, r := range rows {
		fmt.Fprintf(&b, "%s%s %s %d+%d", style{}.indent(r.Last), r.Name, r.Service, r.Offset.Milliseconds(), r.Duration.Milliseconds())
		if r.Times > 1 {
			fmt.Fprintf(&b, " x%d", r.Times)
		}
		if r.Failed {
			b.WriteString(" !")
		}
		b.WriteString("\n")
	}
	if hidden > 0 {
		fmt.Fprintf(&b, "and %d\n", hidden)
	}
	return b.String()
}

var checkout = trace(
	span{id: 4, parent: 3, name: "charge", service: "payment", from: 30, to: 80, failed: true},
	span{id: 1, name: "POST /checkout", service: "frontend", from: 0, to: 100},
	span{id: 3, parent: 1, name: "order", service: "checkout", from: 20, to: 90},
	span{id: 2, parent: 1, name: "verify", service: "auth", from: 5, to: 15},
	span{id: 5, parent: 3, name: "SELECT", service: "checkout", from: 81, to: 82},
	span{id: 6, parent: 3, name: "SELECT", service: "checkout", from: 83, to: 84},
	span{id: 7, parent: 3, name: "SELECT", service: "checkout", from: 85, to: 89},
	span{id: 4, parent: 3, name: "charge", service: "payment", from: 30, to: 80, failed: true}, // sent twice
	span{trace: 9, id: 8, name: "other trace"},
)

func TestTree(t *testing.T) {
	tree := TreeOf(checkout)
	require.Equal(t, "ab000000000000000000000000000000", tree.TraceID)
	require.Equal(t, []int{7, 4, 1}, []int{tree.Spans, tree.Services, tree.Errors})
	require.Equal(t, 100*time.Millisecond, tree.Duration)
	require.Equal(t, `POST /checkout frontend 0+100
|- verify auth 5+10
`+"`- order checkout 20+70"+`
   |- charge payment 30+50 !
   `+"`- SELECT checkout 81+8 x3"+`
`, drawn(tree, 10))
}

func TestTreeInFewRows(t *testing.T) {
	tree := TreeOf(checkout)
	require.Equal(t, `POST /checkout frontend 0+100
`+"`- order checkout 20+70"+`
   `+"`- charge payment 30+50 !"+`
and 4
`, drawn(tree, 3), "what failed stays, with what is above it")
	require.Equal(t, "POST /checkout frontend 0+100\nand 6\n", drawn(tree, 1))
	require.Equal(t, "and 7\n", drawn(tree, 0))
}

func TestTreeOfFragments(t *testing.T) {
	require.Equal(t, `late one ? 0+2
late two ? 5+2
`, drawn(TreeOf(trace(
		span{id: 2, parent: 1, name: "late two", from: 5, to: 7},
		span{id: 3, parent: 1, name: "late one", from: 0, to: 2},
	)), 9), "spans whose parent is missing")

	require.Equal(t, `get client 0+9
`+"`- get server 1+8"+`
   `+"`- db server 2+1"+`
`, drawn(TreeOf(trace(
		span{id: 2, parent: 1, name: "db", service: "server", from: 2, to: 3},
		span{id: 1, name: "get", service: "server", from: 1, to: 9, server: true},
		span{id: 1, name: "get", service: "client", from: 0, to: 9},
	)), 9), "client and server share an ID")

	require.Equal(t, "self ? 0+0\n", drawn(TreeOf(trace(span{id: 1, parent: 1, name: "self"})), 9))
	loop := TreeOf(trace(span{id: 1, parent: 2, name: "a"}, span{id: 2, parent: 1, name: "b"}))
	require.Equal(t, "and 2\n", drawn(loop, 9), "a circle has no top")
	require.Empty(t, drawn(TreeOf(ptrace.NewTraces()), 9))
	require.Equal(t, "backwards ? 0+0\n", drawn(TreeOf(trace(span{id: 1, name: "backwards", from: 5, to: 1})), 9))
}

func TestReadTree(t *testing.T) {
	var m ptrace.ProtoMarshaler
	b, err := m.MarshalTraces(checkout)
	require.NoError(t, err)
	tree, err := ReadTree(b)
	require.NoError(t, err)
	require.Equal(t, drawn(TreeOf(checkout), 9), drawn(tree, 9))
	_, err = ReadTree([]byte("garbage"))
	require.ErrorContains(t, err, "cannot show a trace")
}

func TestDeepAndWideTreesAreFast(t *testing.T) {
	td := ptrace.NewTraces()
	to := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := range 100_000 {
		s := to.AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1})
		s.SetSpanID(pcommon.SpanID{1, byte(i >> 16), byte(i >> 8), byte(i)})
		parent := i - 1
		if i > 50_000 {
			parent = 0 // many below the first, after a long chain
		}
		if i > 0 {
			s.SetParentSpanID(pcommon.SpanID{1, byte(parent >> 16), byte(parent >> 8), byte(parent)})
		}
		s.SetName(fmt.Sprint("op ", i))
		s.SetStartTimestamp(pcommon.Timestamp(1 + i))
		s.SetEndTimestamp(pcommon.Timestamp(300_000 - i))
	}
	begin := time.Now()
	tree := TreeOf(td)
	rows, hidden := tree.Rows(20)
	require.Len(t, rows, 20)
	require.Equal(t, 99_980, hidden)
	require.Less(t, time.Since(begin), 10*time.Second, "takes a fraction of a second if it is not quadratic")
}
