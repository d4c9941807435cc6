package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// build concatenates fields.
func build(fields ...string) []byte { return []byte(strings.Join(fields, "")) }

const (
	someTrace = "\x0a\x10tttttttttttttttt"
	someSpan  = "\x12\x08ssssssss"
)

// text is a length-delimited field with a tag of one byte.
func text(num byte, s string) string { return string(appendField(nil, num<<3|wireLen, []byte(s))) }

func kv(key, value string) string { return text(9, text(1, key)+text(2, value)) }

func TestScanSpanSample(t *testing.T) {
	req := marshal(t, sampleTraces(40, 7, 2, 2))
	for _, b := range [][]byte{req, forward(t, req, shapeTracesData)} {
		td, err := decode(b)
		if err != nil || td.SpanCount() != 40 {
			t.Fatalf("%d spans, %v", td.SpanCount(), err)
		}
		checkWholeRequest(t, b)
	}
}

func TestScanSpanFields(t *testing.T) {
	long := strings.Repeat("x", 300)
	keys := NewKeySet([]string{"a", "b", "", long})
	tests := []struct {
		name   string
		fields string
		want   func(s *Span) bool
	}{
		{"nothing else", "", func(s *Span) bool {
			return s.Root() && s.Start == 0 && s.End == 0 && s.Kind == 0 && s.Status == 0 && s.Flags == 0 && s.Name == nil &&
				s.TraceState == nil && len(s.Attrs) == 0
		}},
		{"parent", "\x22\x08pppppppp", func(s *Span) bool { return !s.Root() && string(s.ParentID[:]) == "pppppppp" }},
		{"empty parent", "\x22\x00", (*Span).Root},
		{"the last parent counts", "\x22\x08pppppppp\x22\x00", (*Span).Root},
		{"long name", text(5, long), func(s *Span) bool { return string(s.Name) == long }},
		{"the last name counts", text(5, "a") + text(5, "b"), func(s *Span) bool { return string(s.Name) == "b" }},
		{"trace state", text(3, "ot=th:8"), func(s *Span) bool { return string(s.TraceState) == "ot=th:8" }},
		{"times", "\x39\x01\x02\x03\x04\x05\x06\x07\x08\x41\xff\xff\xff\xff\xff\xff\xff\xff", func(s *Span) bool {
			return s.Start == 0x0807060504030201 && s.End == 1<<64-1
		}},
		{"negative kind", "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", func(s *Span) bool { return s.Kind == -1 }},
		{"kind in two bytes", "\x30\x82\x00", func(s *Span) bool { return s.Kind == 2 }},
		{"flags", "\x85\x01\x01\x02\x03\x04", func(s *Span) bool { return s.Flags == 0x04030201 }},
		{"status", "\x7a\x02\x18\x02", func(s *Span) bool { return s.Status == 2 }},
		{"status with message", text(15, text(2, "broken")+"\x18\x02"), func(s *Span) bool { return s.Status == 2 }},
		{"statuses are merged", "\x7a\x02\x18\x02" + text(15, text(2, "m")) + "\x7a\x00", func(s *Span) bool { return s.Status == 2 }},
		{"the last status counts", "\x7a\x02\x18\x02\x7a\x02\x18\x01", func(s *Span) bool { return s.Status == 1 }},
		{"unknown fields", "\x8a\x01\x02xx\xf8\xff\xff\xff\x0f\x05", (*Span).Root},
		{"tag in two bytes", "\xaa\x00\x01n", func(s *Span) bool { return string(s.Name) == "n" }},
		{"string attribute", kv("a", text(1, "v")), one(0, Value{Kind: ValueString, Bytes: []byte("v")})},
		{"value first", text(9, text(2, text(1, "v"))+text(1, "b")), one(1, Value{Kind: ValueString, Bytes: []byte("v")})},
		{"long string", kv("a", text(1, long)), one(0, Value{Kind: ValueString, Bytes: []byte(long)})},
		{"long key", kv(long, "\x10\x01"), one(3, Value{Kind: ValueBool, Num: 1})},
		{"no key", text(9, text(2, "\x18\x07")), one(2, Value{Kind: ValueInt, Num: 7})},
		{"empty key", kv("", "\x10\x00"), one(2, Value{Kind: ValueBool})},
		{"bool is any varint but 0", kv("a", "\x10\x80\x01"), one(0, Value{Kind: ValueBool, Num: 1})},
		{"negative int", kv("a", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), one(0, Value{Kind: ValueInt, Num: 1<<64 - 1})},
		{"double", kv("a", "\x21\x00\x00\x00\x00\x00\x00\xf0\x3f"), one(0, Value{Kind: ValueDouble, Num: 0x3ff0000000000000})},
		{"array", kv("a", text(5, text(1, text(1, "v")))), one(0, Value{Kind: ValueArray})},
		{"map", kv("a", text(6, "")), one(0, Value{Kind: ValueMap})},
		{"bytes", kv("a", text(7, "\x00\xff")), one(0, Value{Kind: ValueBytes, Bytes: []byte("\x00\xff")})},
		{"no value", text(9, text(1, "a")), one(0, Value{})},
		{"empty value", kv("a", ""), one(0, Value{})},
		{"the last variant counts", kv("a", "\x18\x07"+text(1, "v")), one(0, Value{Kind: ValueString, Bytes: []byte("v")})},
		{"values are merged", text(9, text(2, "\x18\x07")+text(1, "a")+text(2, "")), one(0, Value{Kind: ValueInt, Num: 7})},
		{"the last key counts", text(9, text(1, "a")+text(2, "\x18\x07")+text(1, "b")), one(1, Value{Kind: ValueInt, Num: 7})},
		{"unwanted, then a wanted key", text(9, text(1, "zz")+text(2, "\x18\x07")+text(1, "b")), one(1, Value{Kind: ValueInt, Num: 7})},
		{"unwanted", kv("c", text(1, "v")) + kv("aa", text(1, "v")), func(s *Span) bool { return len(s.Attrs) == 0 }},
		{"repeated keys", kv("b", "\x18\x01") + kv("a", "\x18\x02") + kv("b", "\x18\x03"), func(s *Span) bool {
			return len(s.Attrs) == 3 && s.Attrs[0].Key == 1 && s.Attrs[1].Key == 0 && s.Attrs[2].Value.Num == 3
		}},
		{"events and links are skipped", text(11, "not an event") + text(13, long), (*Span).Root},
	}
	var s Span // used again and again: nothing may be left over
	for _, tt := range tests {
		for _, raw := range [][]byte{build(someTrace, someSpan, tt.fields), build(tt.fields, someSpan, someTrace)} {
			if err := ScanSpan(raw, keys, &s); err != nil || !tt.want(&s) || string(s.TraceID[:]) != "tttttttttttttttt" {
				t.Errorf("%s: %v, %+v", tt.name, err, s)
			}
			if err := ScanSpan(raw, nil, &s); err != nil || len(s.Attrs) != 0 {
				t.Errorf("%s, without keys: %v, %+v", tt.name, err, s.Attrs)
			}
		}
	}
}

func TestScanSpanForgets(t *testing.T) {
	full := build(someTrace, someSpan, text(3, "ts"), text(4, "pppppppp"), text(5, "name"), "\x30\x02", "\x39tttttttt", "\x41tttttttt",
		kv("a", text(1, "v")), "\x7a\x02\x18\x02", "\x85\x01\x01\x02\x03\x04")
	keys := NewKeySet([]string{"a"})
	for _, fields := range []string{someTrace + someSpan, someSpan, someTrace, "", kv("a", "")} {
		var used, fresh Span
		if err := ScanSpan(full, keys, &used); err != nil || len(used.Attrs) != 1 {
			t.Fatal(err)
		}
		err, want := ScanSpan([]byte(fields), keys, &used), ScanSpan([]byte(fields), keys, &fresh)
		if !errors.Is(err, want) || fmt.Sprintf("%+v", used) != fmt.Sprintf("%+v", fresh) {
			t.Errorf("%q into a used span: %v, %+v\nwant %v, %+v", fields, err, used, want, fresh)
		}
	}
}

// one returns a test for one attribute.
func one(key int, v Value) func(s *Span) bool {
	return func(s *Span) bool {
		return len(s.Attrs) == 1 && s.Attrs[0].Key == key && s.Attrs[0].Value.Kind == v.Kind && s.Attrs[0].Value.Num == v.Num &&
			string(s.Attrs[0].Value.Bytes) == string(v.Bytes)
	}
}

func TestScanSpanErrors(t *testing.T) {
	ids := someTrace + someSpan
	tests := []struct {
		name string
		raw  string
		want error
	}{
		{"empty", "", ErrTraceID},
		{"no trace ID", someSpan, ErrTraceID},
		{"zero trace ID", someSpan + "\x0a\x10" + strings.Repeat("\x00", 16), ErrTraceID},
		{"empty trace ID", someSpan + "\x0a\x00", ErrTraceID},
		{"no span ID", someTrace, ErrSpanID},
		{"zero span ID", someTrace + "\x12\x08" + strings.Repeat("\x00", 8), ErrSpanID},
		{"emptied span ID", ids + "\x12\x00", ErrSpanID},
		{"short trace ID", someSpan + "\x0a\x0f" + strings.Repeat("t", 15), ErrIDLength},
		{"long span ID", someTrace + "\x12\x09sssssssss", ErrIDLength},
		{"short parent", ids + "\x22\x01p", ErrIDLength},
		{"tag only", ids + "\x2a", ErrTruncated},
		{"name too long", ids + "\x2a\x05name", ErrTruncated},
		{"attribute too long", ids + "\x4a\x7f\x0a\x01a", ErrTruncated},
		{"huge claim", ids + "\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", ErrTruncated},
		{"negative claim", ids + "\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ErrTruncated},
		{"time cut off", ids + "\x39\x01\x02", ErrTruncated},
		{"flags cut off", ids + "\x85\x01\x01", ErrTruncated},
		{"varint cut off", ids + "\x30\x80", ErrTruncated},
		{"endless varint", ids + "\x30" + strings.Repeat("\x80", 10) + "\x00", ErrVarint},
		{"name as varint", ids + "\x28\x01", ErrWireType},
		{"start as varint", ids + "\x38\x01", ErrWireType},
		{"kind as bytes", ids + "\x32\x00", ErrWireType},
		{"attribute as varint", ids + "\x48\x01", ErrWireType},
		{"trace ID as varint", ids + "\x08\x01", ErrWireType},
		{"flags as varint", ids + "\x80\x01\x01", ErrWireType},
		{"event as varint", ids + "\x58\x01", ErrWireType},
		{"status code as bytes", ids + text(15, text(3, "")), ErrWireType},
		{"status cut off", ids + text(15, "\x18"), ErrTruncated},
		{"wire type 6", ids + "\x8e\x01", ErrWireType},
		{"field 0", ids + "\x02\x00", ErrFieldNumber},
		{"field 2^29", ids + "\x82\x80\x80\x80\x10\x00", ErrFieldNumber},
		{"group", ids + "\x8b\x01\x8c\x01", ErrGroup},
		{"key as varint", ids + text(9, "\x08\x01"), ErrWireType},
		{"value as varint", ids + text(9, text(1, "a")+"\x10\x01"), ErrWireType},
		{"wanted value cut off", ids + kv("a", "\x0a\x05v"), ErrTruncated},
		{"wanted value of wrong type", ids + kv("a", "\x08\x01"), ErrWireType},
	}
	keys := NewKeySet([]string{"a"})
	var s Span
	for _, tt := range tests {
		err := ScanSpan([]byte(tt.raw), keys, &s)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		var format *FormatError
		if errors.As(err, &format) != (!errors.Is(tt.want, ErrTraceID) && !errors.Is(tt.want, ErrSpanID)) {
			t.Errorf("%s: %v is of another kind", tt.name, err)
		}
	}
}

func TestFormatErrorSaysWhere(t *testing.T) {
	err := ScanSpan(build(someTrace, someSpan, "\x38\x01"), nil, &Span{})
	if err.Error() != "invalid Span at byte 28, field 7: wrong wire type" {
		t.Errorf("got %q", err)
	}
	err = Validate(build(someTrace, text(9, text(1, "a")+text(2, "\x0a\x05v"))))
	if err.Error() != "invalid AnyValue at byte 25, field 1: ends in the middle of a field" {
		t.Errorf("got %q", err)
	}
}

func TestScanSpanAllocatesNothing(t *testing.T) {
	var r recorder
	if err := Walk(marshal(t, sampleTraces(10, 2, 1, 1)), &Scratch{}, &r); err != nil {
		t.Fatal(err)
	}
	keys := NewKeySet([]string{"http.route", "app.cache.hit"})
	var s Span
	allocs := testing.AllocsPerRun(10, func() {
		for _, raw := range r.spans {
			if err := ScanSpan(raw, keys, &s); err != nil || len(s.Attrs) != 2 {
				t.Fatal(err)
			}
			if err := Validate(raw); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestScanResource(t *testing.T) {
	keys := NewKeySet([]string{"service.name", "x"})
	svc := text(1, text(1, text(1, "service.name")+text(2, text(1, "shop"))))
	header := build(text(3, "schema"), svc, text(1, text(1, text(1, "x")+text(2, "\x18\x03"))+text(1, text(1, "y"))), text(77, "new"))
	attrs, err := ScanResource(header, keys, make([]Attr, 1))
	if err != nil || len(attrs) != 3 || string(attrs[1].Value.Bytes) != "shop" || attrs[2].Key != 1 || attrs[2].Value.Num != 3 {
		t.Errorf("got %+v, %v", attrs, err)
	}
	for _, bad := range []string{"\x0a\x05a", "\x08\x01", text(1, "\x0a\x02a"), text(1, "\x08\x01"), "\x18\x01"} {
		if _, err := ScanResource([]byte(bad), keys, nil); err == nil {
			t.Errorf("ScanResource accepts %q", bad)
		}
	}
	if attrs, err := ScanResource(header, nil, nil); err != nil || attrs != nil {
		t.Errorf("without keys: %+v, %v", attrs, err)
	}
}
