package tracefile

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The JSON of Jaeger's API and of "Trace JSON" in its UI.
type (
	jaegerTrace struct {
		TraceID   string                   `json:"traceID"`
		Spans     []jaegerSpan             `json:"spans"`
		Processes map[string]jaegerProcess `json:"processes"`
	}
	jaegerSpan struct {
		TraceID       string            `json:"traceID"`
		SpanID        string            `json:"spanID"`
		ParentSpanID  string            `json:"parentSpanID"` // deprecated in favour of references
		Flags         uint32            `json:"flags"`
		OperationName string            `json:"operationName"`
		References    []jaegerReference `json:"references"`
		StartTime     uint64            `json:"startTime"` // microseconds
		Duration      uint64            `json:"duration"`  // microseconds
		Tags          []jaegerTag       `json:"tags"`
		Logs          []jaegerLog       `json:"logs"`
		ProcessID     string            `json:"processID"`
		Process       *jaegerProcess    `json:"process"` // in place of processID, as Jaeger's Elasticsearch documents have it
	}
	jaegerReference struct {
		RefType string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	}
	jaegerProcess struct {
		ServiceName string      `json:"serviceName"`
		Tags        []jaegerTag `json:"tags"`
	}
	jaegerLog struct {
		Timestamp uint64      `json:"timestamp"` // microseconds
		Fields    []jaegerTag `json:"fields"`
	}
	jaegerTag struct {
		Key   string          `json:"key"`
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
	}
)

// jaegerTrace reads one element of data, translated as the Collector's Jaeger receiver does it.
func (f *file) jaegerTrace(raw []byte) {
	var t jaegerTrace
	if err := json.Unmarshal(raw, &t); err != nil {
		f.problem("is not a trace of Jaeger's API: %v", err)
		return
	}
	traces := ptrace.NewTraces()
	j := jaegerReader{f: f, trace: &t, groups: map[string]ptrace.ResourceSpans{}, scopes: map[scopeKey]ptrace.ScopeSpans{}, traces: traces}
	for i := range t.Spans {
		if err := j.span(&t.Spans[i]); err != nil {
			f.problem("span %q of trace %q is left out: %v", t.Spans[i].SpanID, cmp.Or(t.Spans[i].TraceID, t.TraceID), err)
		}
	}
	if traces.SpanCount() > 0 {
		f.marshal(traces)
	}
}

type jaegerReader struct {
	f      *file
	trace  *jaegerTrace
	traces ptrace.Traces
	groups map[string]ptrace.ResourceSpans // by process ID
	scopes map[scopeKey]ptrace.ScopeSpans
}

type scopeKey struct{ process, name, version string }

func (j *jaegerReader) span(from *jaegerSpan) error {
	traceID, err := jaegerTraceID(cmp.Or(from.TraceID, j.trace.TraceID))
	if err != nil {
		return err
	}
	spanID, err := jaegerSpanID(from.SpanID)
	if err != nil {
		return err
	}
	attributes := pcommon.NewMap()
	if err := put(attributes, from.Tags); err != nil {
		return err
	}
	to := ptrace.NewSpan()
	to.SetTraceID(traceID)
	to.SetSpanID(spanID)
	to.SetFlags(from.Flags & 1) // the sampled bit; the others mean something else in Jaeger
	to.SetName(from.OperationName)
	to.SetStartTimestamp(pcommon.Timestamp(from.StartTime * 1000))
	to.SetEndTimestamp(pcommon.Timestamp((from.StartTime + from.Duration) * 1000))
	if err := references(to, from, traceID); err != nil {
		return err
	}
	for _, log := range from.Logs {
		event := to.Events().AppendEmpty()
		event.SetTimestamp(pcommon.Timestamp(log.Timestamp * 1000))
		if err := put(event.Attributes(), log.Fields); err != nil {
			return err
		}
		event.SetName(take(event.Attributes(), "event"))
	}
	to.SetKind(kind(take(attributes, "span.kind")))
	to.TraceState().FromRaw(take(attributes, "w3c.tracestate"))
	setStatus(to, attributes)
	scope, err := j.scope(from, attributes)
	if err != nil {
		return err
	}
	attributes.MoveTo(to.Attributes())
	to.MoveTo(scope.Spans().AppendEmpty())
	return nil
}

// scope returns where a span goes by its process and instrumentation library.
func (j *jaegerReader) scope(from *jaegerSpan, attributes pcommon.Map) (ptrace.ScopeSpans, error) {
	id, process := from.ProcessID, from.Process
	if process == nil {
		p, ok := j.trace.Processes[id]
		if !ok {
			return ptrace.ScopeSpans{}, fmt.Errorf("its process %q is not among processes (%s)", id,
				strings.Join(slices.Sorted(maps.Keys(j.trace.Processes)), ", "))
		}
		process = &p
	} else {
		id = "inline " + process.ServiceName + fmt.Sprint(process.Tags)
	}
	group, ok := j.groups[id]
	if !ok {
		resource := pcommon.NewResource()
		if process.ServiceName != "" {
			resource.Attributes().PutStr("service.name", process.ServiceName)
		}
		if err := put(resource.Attributes(), process.Tags); err != nil {
			return ptrace.ScopeSpans{}, fmt.Errorf("process %q: %w", id, err)
		}
		if host := take(resource.Attributes(), "hostname"); host != "" {
			resource.Attributes().PutStr("host.name", host)
		}
		group = j.traces.ResourceSpans().AppendEmpty()
		resource.MoveTo(group.Resource())
		j.groups[id] = group
	}
	key := scopeKey{
		process: id,
		name:    cmp.Or(take(attributes, "otel.scope.name"), take(attributes, "otel.library.name")),
		version: cmp.Or(take(attributes, "otel.scope.version"), take(attributes, "otel.library.version")),
	}
	scope, ok := j.scopes[key]
	if !ok {
		scope = group.ScopeSpans().AppendEmpty()
		scope.Scope().SetName(key.name)
		scope.Scope().SetVersion(key.version)
		j.scopes[key] = scope
	}
	return scope, nil
}

const childOf = "CHILD_OF"

// references finds the parent, a CHILD_OF before a FOLLOWS_FROM in the same trace, and makes links of the others.
func references(to ptrace.Span, from *jaegerSpan, traceID pcommon.TraceID) error {
	parent := -1
	traceIDs := make([]pcommon.TraceID, len(from.References))
	spanIDs := make([]pcommon.SpanID, len(from.References))
	for i, ref := range from.References {
		var err error
		if traceIDs[i], err = jaegerTraceID(ref.TraceID); err == nil {
			spanIDs[i], err = jaegerSpanID(ref.SpanID)
		}
		if err != nil {
			return fmt.Errorf("references[%d]: %w", i, err)
		}
		if traceIDs[i] == traceID && (parent < 0 || ref.RefType == childOf && from.References[parent].RefType != childOf) {
			parent = i
		}
	}
	switch {
	case parent >= 0:
		to.SetParentSpanID(spanIDs[parent])
	case from.ParentSpanID != "" && strings.Trim(from.ParentSpanID, "0") != "":
		id, err := jaegerSpanID(from.ParentSpanID)
		if err != nil {
			return fmt.Errorf("parentSpanID: %w", err)
		}
		to.SetParentSpanID(id)
	}
	for i, ref := range from.References {
		if i == parent && ref.RefType == childOf {
			continue
		}
		link := to.Links().AppendEmpty()
		link.SetTraceID(traceIDs[i])
		link.SetSpanID(spanIDs[i])
		link.Attributes().PutStr("opentracing.ref_type", strings.ToLower(ref.RefType))
	}
	return nil
}

// jaegerTraceID reads hex digits: 16 of them for IDs of 64 bits, fewer where leading zeros were left out.
func jaegerTraceID(text string) (id pcommon.TraceID, err error) {
	return id, jaegerID(id[:], text, "trace ID")
}

func jaegerSpanID(text string) (id pcommon.SpanID, err error) {
	return id, jaegerID(id[:], text, "span ID")
}

func jaegerID(id []byte, text, what string) error {
	if len(text) > 2*len(id) {
		return fmt.Errorf("the %s %q has more than %d digits", what, text, 2*len(id))
	}
	if _, err := hex.Decode(id, []byte(strings.Repeat("0", 2*len(id)-len(text))+text)); err != nil {
		return fmt.Errorf("the %s %q is not hexadecimal", what, text)
	}
	return nil
}
