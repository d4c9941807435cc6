package policytest

import (
	"encoding/binary"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.yaml.in/yaml/v3"

	"thresher/internal/config"
	"thresher/internal/wire"
)

// epoch is when the traces of a test begin: a Monday morning.
var epoch = time.Date(2026, time.January, 5, 10, 0, 0, 0, time.UTC)

// mostSpans bounds what count makes of a line.
const mostSpans = 100_000

// writer makes OTLP of the short form.
type writer struct {
	r      *reader
	traces ptrace.Traces
	id     wire.TraceID
	spans  uint64
}

// trace writes the spans in the list below a key. Those at the top of the list are roots, unless they say otherwise.
func (w *writer) trace(b *block, key string, id wire.TraceID, at time.Duration) {
	w.traces, w.id = ptrace.NewTraces(), id
	items, paths := b.list(key, "spans")
	if items != nil && len(items) == 0 {
		b.report(key, "is empty; write at least one span, such as {service: checkout, name: POST /pay}")
	}
	for i, item := range items {
		w.span(item, paths[i], above{start: epoch.Add(at), resource: pcommon.NewResource()})
	}
}

// message returns what was written as OTLP.
func (w *writer) message(b *block) []byte {
	message, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(w.traces)
	if err != nil {
		b.report("trace", "cannot be written as OTLP: %v", err)
	}
	return message
}

// above is what a span takes from the one it is a child of.
type above struct {
	id       pcommon.SpanID
	start    time.Time
	resource pcommon.Resource
}

// span writes a span and those below it, and returns when the last of them ends.
func (w *writer) span(n *yaml.Node, path string, parent above) time.Time {
	b, ok := read(w.r.doc, n, n, path, "service", "name", "kind", "status", "status_message", "start", "duration", "attributes", "events",
		"resource", "scope", "tracestate", "flags", "root", "count", "children")
	if !ok {
		return parent.start
	}
	resource := w.resource(&b, parent.resource)
	start := parent.start.Add(b.duration("start"))
	end := start
	for range b.whole("count", 1, mostSpans, 1) {
		if w.spans >= mostSpans {
			b.report("count", "makes more than %d spans of this trace", mostSpans)
			break
		}
		group := w.traces.ResourceSpans().AppendEmpty()
		resource.CopyTo(group.Resource())
		scope := group.ScopeSpans().AppendEmpty()
		if name, ok := b.text("scope"); ok {
			scope.Scope().SetName(name)
		}
		span := scope.Spans().AppendEmpty()
		w.fill(&b, span, parent)
		end = start
		items, paths := b.list("children", "spans")
		for i, item := range items {
			if last := w.span(item, paths[i], above{id: span.SpanID(), start: start, resource: resource}); last.After(end) {
				end = last
			}
		}
		if b.has("duration") {
			end = start.Add(b.duration("duration"))
		} else if len(items) == 0 {
			end = start.Add(time.Millisecond)
		}
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(end))
	}
	return end
}

// resource returns the resource of a span: the parent's, unless it names a service or attributes of its own.
func (w *writer) resource(b *block, parent pcommon.Resource) pcommon.Resource {
	if !b.has("service") && !b.has("resource") {
		return parent
	}
	resource := pcommon.NewResource()
	if service, ok := b.text("service"); ok {
		resource.Attributes().PutStr("service.name", service)
	} else if service, ok := parent.Attributes().Get("service.name"); ok {
		service.CopyTo(resource.Attributes().PutEmpty("service.name"))
	}
	w.attributes(b, "resource", resource.Attributes())
	return resource
}

func (w *writer) fill(b *block, span ptrace.Span, parent above) {
	w.spans++
	span.SetTraceID(pcommon.TraceID(w.id))
	span.SetSpanID(spanID(w.spans))
	span.SetParentSpanID(parent.id)
	if parent.id.IsEmpty() && !b.flag("root", true) {
		span.SetParentSpanID(spanID(1 << 60)) // a span that is not there
	} else if !parent.id.IsEmpty() && b.has("root") {
		b.report("root", "is not for a child: a root has no parent")
	}
	name, _ := b.text("name")
	span.SetName(name)
	span.SetKind(ptrace.SpanKindInternal)
	if i, ok := b.choice("kind", "unspecified", "internal", "server", "client", "producer", "consumer"); ok {
		span.SetKind(ptrace.SpanKind(i))
	}
	if i, ok := b.choice("status", "UNSET", "OK", "ERROR"); ok {
		span.Status().SetCode(ptrace.StatusCode(i))
	}
	message, _ := b.text("status_message")
	span.Status().SetMessage(message)
	state, _ := b.text("tracestate")
	span.TraceState().FromRaw(state)
	span.SetFlags(uint32(b.whole("flags", 0, 1<<32-1, 0)))
	w.attributes(b, "attributes", span.Attributes())
	start := parent.start.Add(b.duration("start"))
	items, paths := b.list("events", "events")
	for i, item := range items {
		e, ok := read(w.r.doc, item, item, paths[i], "name", "at", "attributes")
		if !ok {
			continue
		}
		event := span.Events().AppendEmpty()
		name, _ := e.text("name")
		event.SetName(name)
		event.SetTimestamp(pcommon.NewTimestampFromTime(start.Add(e.duration("at"))))
		w.attributes(&e, "attributes", event.Attributes())
	}
}

func spanID(n uint64) (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

// attributes puts the keys and values below a key into a map, in the order of the file.
func (w *writer) attributes(b *block, key string, to pcommon.Map) {
	n := b.values[key]
	if n == nil || w.r.doc.Broken(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		b.report(key, "is %s, but keys and values are wanted, such as {http.route: /pay}", config.Describe(n))
		return
	}
	w.values(n, b.sub(key), to)
}

func (w *writer) values(n *yaml.Node, path string, to pcommon.Map) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		w.value(n.Content[i+1], path+"."+n.Content[i].Value, to.PutEmpty(n.Content[i].Value))
	}
}

// value puts a value in with the type that it has in YAML.
func (w *writer) value(n *yaml.Node, path string, to pcommon.Value) {
	switch n.Kind {
	case yaml.MappingNode:
		w.values(n, path, to.SetEmptyMap())
		return
	case yaml.SequenceNode:
		list := to.SetEmptySlice()
		for _, item := range n.Content {
			w.value(item, path, list.AppendEmpty())
		}
		return
	}
	var err error
	switch n.ShortTag() {
	case "!!null":
	case "!!bool":
		var v bool
		err = n.Decode(&v)
		to.SetBool(v)
	case "!!int":
		var v int64
		err = n.Decode(&v)
		to.SetInt(v)
	case "!!float":
		var v float64
		err = n.Decode(&v)
		to.SetDouble(v)
	default:
		to.SetStr(n.Value)
	}
	if err != nil {
		w.r.doc.Report(n, path, "%s does not fit an attribute: %v", config.Describe(n), err)
	}
}
