package wire

import (
	"bytes"
	"errors"
	"testing"
)

// nested returns an attribute value of n AnyValues within each other.
func nested(n int, list bool) string {
	v := "\x18\x07"
	for range n - 1 {
		if list {
			v = text(6, text(1, text(1, "k")+text(2, v)))
		} else {
			v = text(5, text(1, v))
		}
	}
	return v
}

func TestValidateDepth(t *testing.T) {
	for _, list := range []bool{false, true} {
		for n, want := range map[int]error{1: nil, MaxDepth: nil, MaxDepth + 1: ErrDepth, 2000: ErrDepth} {
			attr := text(1, "a") + text(2, nested(n, list))
			if err := Validate(build(text(9, attr))); !errors.Is(err, want) {
				t.Errorf("span, depth %d: %v, want %v", n, err, want)
			}
			if err := Validate(build(text(11, text(3, attr)))); !errors.Is(err, want) {
				t.Errorf("event, depth %d: %v, want %v", n, err, want)
			}
			if err := ValidateResource(build(text(1, text(1, attr)))); !errors.Is(err, want) {
				t.Errorf("resource, depth %d: %v, want %v", n, err, want)
			}
			if err := ValidateScope(build(text(1, text(3, attr)))); !errors.Is(err, want) {
				t.Errorf("scope, depth %d: %v, want %v", n, err, want)
			}
		}
	}
}

func TestValidateLooksEverywhere(t *testing.T) {
	bad := text(1, "a") + text(2, "\x0a\x05v") // an attribute whose string is cut off
	for _, raw := range []string{
		text(9, bad), text(11, text(3, bad)), text(13, text(4, bad)), text(13, text(1, "short")), text(13, text(2, "short")),
		text(15, "\x18"), text(9, text(2, text(5, text(1, "\x0a\x05v")))), text(9, text(2, text(6, text(1, bad)))),
		text(9, text(1, "a")+text(2, "\x20\x01")), text(11, "\x08\x01"), text(13, "\x30\x01"),
	} {
		if err := Validate([]byte(someTrace + someSpan + raw)); err == nil {
			t.Errorf("Validate accepts %q", raw)
		}
		if _, _, err := ScanIDs([]byte(someTrace + someSpan + raw)); (err != nil) != (raw == text(15, "\x18")) {
			t.Errorf("ScanIDs of %q, which looks into the status but not into the rest: %v", raw, err)
		}
	}
	for _, header := range []string{
		text(1, text(1, bad)), text(1, text(3, "\x08\x01")), "\x18\x01", "\xc0\x3e\x01", "\xc2\x3e\x02\x12\x05", text(2, text(2, text(9, bad))),
	} {
		if err := ValidateResource([]byte(header)); err == nil {
			t.Errorf("ValidateResource accepts %q", header)
		}
	}
	for _, header := range []string{text(1, text(3, bad)), text(1, "\x08\x01"), "\x18\x01", "\x0a\x05"} {
		if err := ValidateScope([]byte(header)); err == nil {
			t.Errorf("ValidateScope accepts %q", header)
		}
	}
}

func TestValidateManyAttributes(t *testing.T) {
	raw := []byte(someTrace + someSpan + string(bytes.Repeat([]byte(kv("key", text(1, "value"))), 10_000)))
	var s Span
	if err := errors.Join(Validate(raw), ScanSpan(raw, NewKeySet([]string{"key"}), &s)); err != nil || len(s.Attrs) != 10_000 {
		t.Errorf("%d attributes, %v", len(s.Attrs), err)
	}
}
