package tracefile

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// put sets the attributes that tags say.
func put(to pcommon.Map, tags []jaegerTag) error {
	for _, tag := range tags {
		if err := tag.set(to.PutEmpty(tag.Key)); err != nil {
			return fmt.Errorf("tag %q: %w", tag.Key, err)
		}
	}
	return nil
}

func (t *jaegerTag) set(v pcommon.Value) error {
	text := string(t.Value)
	// Numbers and booleans may be in quotes: JavaScript cannot write every int64.
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(t.Value, &text); err != nil {
			return err
		}
	}
	switch strings.ToLower(t.Type) {
	case "bool":
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s is not a bool", t.Value)
		}
		v.SetBool(b)
	case "int64":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is not an int64", t.Value)
		}
		v.SetInt(n)
	case "float64":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%s is not a float64", t.Value)
		}
		v.SetDouble(n)
	case "binary":
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return fmt.Errorf("%s is not binary in base64", t.Value)
		}
		v.SetEmptyBytes().FromRaw(b)
	case "string", "": // Jaeger's own UI takes a tag without a type for text
		v.SetStr(text)
	default:
		return fmt.Errorf("the type %q is none of string, bool, int64, float64 and binary", t.Type)
	}
	return nil
}

// take removes an attribute that is text and returns it; "" if there is none.
func take(m pcommon.Map, key string) string {
	v, ok := m.Get(key)
	if !ok || v.Type() != pcommon.ValueTypeStr {
		return ""
	}
	text := v.Str()
	m.Remove(key)
	return text
}

func kind(text string) ptrace.SpanKind {
	switch strings.ToLower(text) {
	case "client":
		return ptrace.SpanKindClient
	case "server":
		return ptrace.SpanKindServer
	case "producer":
		return ptrace.SpanKindProducer
	case "consumer":
		return ptrace.SpanKindConsumer
	case "internal":
		return ptrace.SpanKindInternal
	}
	return ptrace.SpanKindUnspecified
}

// setStatus derives the status from tags: error before otel.status_code before the status of HTTP.
func setStatus(span ptrace.Span, tags pcommon.Map) {
	_, described := tags.Get("otel.status_description")
	message := take(tags, "otel.status_description")
	code, coded := tags.Get("otel.status_code")
	failed, ok := tags.Get("error")
	switch {
	case ok && failed.Type() == pcommon.ValueTypeBool && failed.Bool():
		span.Status().SetCode(ptrace.StatusCodeError)
		if text, ok := tags.Get("http.status_message"); ok && !described {
			message = text.AsString()
		}
		tags.Remove("error")
	case coded:
		switch strings.ToUpper(code.AsString()) {
		case "OK":
			span.Status().SetCode(ptrace.StatusCodeOk)
		case "ERROR":
			span.Status().SetCode(ptrace.StatusCodeError)
		}
	case failedHTTP(tags, span.Kind()):
		span.Status().SetCode(ptrace.StatusCodeError)
	}
	span.Status().SetMessage(message)
	tags.Remove("otel.status_code")
}

// failedHTTP says whether a status of HTTP is a failure: for a server, a wrong request is not its own.
func failedHTTP(tags pcommon.Map, kind ptrace.SpanKind) bool {
	v, ok := tags.Get("http.status_code")
	if !ok {
		return false
	}
	code, err := strconv.Atoi(v.AsString())
	return err == nil && (code >= 500 && code < 600 || code >= 400 && code < 500 && kind != ptrace.SpanKindServer)
}
