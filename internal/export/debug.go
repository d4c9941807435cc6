package export

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// debugSender writes for people what would be sent: a line a batch (basic), a line a span (normal), or every field
// (detailed).
type debugSender struct {
	id        string
	verbosity string
	out       io.Writer
}

func (s *debugSender) send(_ context.Context, b *batch) outcome {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d traces, %d spans, %d bytes\n", s.id, len(b.entries), b.spans, b.bytes)
	if s.verbosity != "basic" {
		for _, en := range b.entries {
			s.trace(&text, en)
		}
	}
	if _, err := io.WriteString(s.out, text.String()); err != nil {
		return classifyFile(err)
	}
	return outcome{}
}

func (s *debugSender) close() error { return nil }

func (s *debugSender) trace(w io.Writer, en *entry) {
	fmt.Fprintf(w, "trace %x: %s by %q, %d spans\n", en.TraceID, en.Class, en.Policy, en.Spans)
	traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(en.Payload)
	if err != nil {
		fmt.Fprintf(w, "  not readable: %v\n", err)
		return
	}
	for _, rs := range traces.ResourceSpans().All() {
		if s.verbosity == "detailed" {
			fmt.Fprintf(w, "  resource%s\n", attributes(rs.Resource().Attributes()))
		}
		for _, ss := range rs.ScopeSpans().All() {
			if s.verbosity == "detailed" {
				fmt.Fprintf(w, "    scope %q %q%s\n", ss.Scope().Name(), ss.Scope().Version(), attributes(ss.Scope().Attributes()))
			}
			for _, span := range ss.Spans().All() {
				s.span(w, span)
			}
		}
	}
}

func (s *debugSender) span(w io.Writer, span ptrace.Span) {
	took := time.Duration(int64(span.EndTimestamp()) - int64(span.StartTimestamp()))
	fmt.Fprintf(w, "      %s %q %s %v %s parent %q", span.SpanID(), span.Name(), span.Kind(), took, span.Status().Code(), span.ParentSpanID())
	if message := span.Status().Message(); message != "" {
		fmt.Fprintf(w, " message %q", message)
	}
	if s.verbosity != "detailed" {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, " start %s%s\n", span.StartTimestamp().AsTime().Format(time.RFC3339Nano), attributes(span.Attributes()))
	for _, event := range span.Events().All() {
		fmt.Fprintf(w, "        event %q %s%s\n", event.Name(), event.Timestamp().AsTime().Format(time.RFC3339Nano), attributes(event.Attributes()))
	}
	for _, link := range span.Links().All() {
		fmt.Fprintf(w, "        link %s %s%s\n", link.TraceID(), link.SpanID(), attributes(link.Attributes()))
	}
}

func attributes(m pcommon.Map) string {
	var text strings.Builder
	for key, value := range m.All() {
		fmt.Fprintf(&text, " %s=%q", key, value.AsString())
	}
	return text.String()
}
