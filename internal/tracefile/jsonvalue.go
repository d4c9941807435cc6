package tracefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/internal/wire"
)

// deepest is how many arrays and objects may lie within each other. An attribute value at wire.MaxDepth is within it: a map
// takes four levels of JSON.
const deepest = 4*wire.MaxDepth + 16

// value reads one object. The error is io.EOF if there is none, or what is wrong with the JSON itself; what is wrong with what
// it says is reported here.
func (f *file) value(decoder *json.Decoder, lines *lineCounter) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return fmt.Errorf("%v where an object such as {\"resourceSpans\": [...]} is wanted", token)
	}
	found, other := false, ""
	empty := true
	for decoder.More() {
		empty = false
		key, err := decoder.Token()
		if err != nil {
			return unfinished(err)
		}
		var read func([]byte)
		switch key {
		case "resourceSpans", "resource_spans":
			read = f.resourceSpans
		case "data":
			read = f.jaegerTrace
		case "result", "trace": // the answers of Jaeger's API v3 and Tempo's v2 have TracesData within
			found = true
			if err := f.within(decoder, lines); err != nil {
				return unfinished(err)
			}
			continue
		default:
			if name, ok := key.(string); ok && foreign(name) != "" {
				other = foreign(name)
			}
			var skipped json.RawMessage
			if err := decoder.Decode(&skipped); err != nil {
				return unfinished(err)
			}
			continue
		}
		found = true
		if err := f.elements(decoder, lines, fmt.Sprint(key), read); err != nil {
			return unfinished(err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return unfinished(err)
	}
	switch {
	case found || empty:
	case other != "":
		f.problem("%s", other)
	default:
		f.problem(`is an object with neither "resourceSpans" (OTLP) nor "data" (Jaeger), so it holds no traces`)
	}
	return nil
}

// foreign says what an object with a key that is no trace probably is.
func foreign(key string) string {
	switch key {
	case "resourceLogs", "resourceMetrics", "resourceProfiles":
		return "holds " + key + ", and only traces (resourceSpans) are read"
	case "batches":
		return "is an answer of Tempo's API in JSON, whose IDs are in base64; ask it for protobuf instead: curl -H 'Accept: application/protobuf'"
	case "traceID", "spans":
		return `looks like a Jaeger trace without the {"data": [...]} around it; jq '{data: [.]}' puts that there`
	}
	return ""
}

// within reads the object that is the value of a key, null included.
func (f *file) within(decoder *json.Decoder, lines *lineCounter) error {
	var probe json.RawMessage
	if err := decoder.Decode(&probe); err != nil {
		return err
	}
	if string(probe) == "null" {
		return nil
	}
	var inner struct {
		Spans []json.RawMessage `json:"resourceSpans"`
	}
	f.at(decoder, lines, probe)
	if err := json.Unmarshal(probe, &inner); err != nil {
		f.problem("is not TracesData: %v", err)
		return nil
	}
	for _, raw := range inner.Spans {
		f.shallow("resourceSpans", raw, f.resourceSpans)
	}
	return nil
}

// elements reads the array that is the value of a key, one element at a time.
func (f *file) elements(decoder *json.Decoder, lines *lineCounter, key string, read func([]byte)) error {
	token, err := decoder.Token()
	switch {
	case err != nil:
		return err
	case token == nil:
		return nil
	case token == json.Delim('{'):
		return fmt.Errorf("%q is an object, but an array is wanted", key)
	case token != json.Delim('['):
		return fmt.Errorf("%q is %v, but an array is wanted", key, token)
	}
	for decoder.More() {
		if err := f.ctx.Err(); err != nil {
			return err
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return err
		}
		f.at(decoder, lines, raw)
		f.shallow(key, raw, read)
	}
	_, err = decoder.Token()
	return err
}

// shallow reads an element unless it is nested too deep.
func (f *file) shallow(key string, raw []byte, read func([]byte)) {
	if tooDeep(raw) {
		f.problem("values are nested more than %d levels deep, so this element of %q is left out", deepest, key)
		return
	}
	read(raw)
}

// at sets the line to where the value begins that the decoder has just read. Within a line it stays.
func (f *file) at(decoder *json.Decoder, lines *lineCounter, value []byte) {
	if lines != nil {
		f.line = lines.at(decoder.InputOffset()) - bytes.Count(value, []byte("\n"))
	}
}

// unfinished tells the end of the text within a value from the end between two.
func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// resourceSpans reads one ResourceSpans object.
func (f *file) resourceSpans(raw []byte) {
	doc := make([]byte, 0, len(raw)+32)
	doc = append(doc, `{"resourceSpans":[`...)
	doc = append(doc, raw...)
	doc = append(doc, "]}"...)
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(doc)
	if err != nil {
		f.problem("is not OTLP: %s", short(err))
		return
	}
	f.marshal(traces)
}

func (f *file) marshal(traces ptrace.Traces) {
	otlp, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		f.problem("cannot be written as OTLP: %v", err)
		return
	}
	f.traces(otlp)
}

// short cuts the excerpts of the input off that a decoder's message ends with.
func short(err error) string {
	const most = 160
	if text := err.Error(); len(text) > most {
		return text[:most] + "..."
	}
	return err.Error()
}

// tooDeep reports whether arrays and objects in valid JSON are nested deeper than deepest. The decoder recurses over them,
// and encoding what it took takes time with the square of the depth.
func tooDeep(b []byte) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > deepest {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
