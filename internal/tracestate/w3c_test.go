package tracestate

import (
	"fmt"
	"strings"
	"testing"
)

func distinct(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf("k%d=v", i))
	}
	return strings.Join(members, ",")
}

func TestValid(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		state string
		want  bool
	}{
		{"", true},
		{",,,", true},
		{"a=b", true},
		{" a=b\t, c=d ,", true},
		{"a=b,,c=d", true},
		{"a= b", true},
		{"a_-*/0=~!", true},
		{"t@s=v", true},
		{"0t@s=v", true},
		{x(256) + "=v", true},
		{x(241) + "@" + x(14) + "=v", true},
		{"a=" + x(256), true},
		{distinct(32), true},
		{"," + distinct(32) + ",", true},

		{distinct(33), false},
		{"a=b,a=c", false},
		{"a=b, ,c=d", false},
		{"a", false},
		{"a=", false},
		{"a= ", false},
		{"=b", false},
		{"=", false},
		{"a =b", false},
		{"A=b", false},
		{"0=b", false},
		{"-=b", false},
		{"a.b=c", false},
		{"@s=v", false},
		{"t@=v", false},
		{"t@0=v", false},
		{"t@s@s=v", false},
		{"a=b=c", false},
		{"a=\x1f", false},
		{"a=\x7f", false},
		{"a=b\tc", false},
		{x(257) + "=v", false},
		{x(242) + "@s=v", false},
		{"t@" + x(15) + "=v", false},
		{"a=" + x(257), false},
	} {
		if got := Valid([]byte(tt.state)); got != tt.want {
			t.Errorf("Valid(%q) = %v", tt.state, got)
		}
	}
}

func TestValue(t *testing.T) {
	state := []byte("a=1, c= 2 \t,,t@s=3")
	for key, want := range map[string]string{"a": "1", "b": "", "t@s": "3", "s": "", "": ""} {
		if got := Value(state, key); string(got) != want {
			t.Errorf("Value(%q) = %q, want %q", key, got, want)
		}
	}
	if got := Value(state, "c"); string(got) != " 2" {
		t.Errorf("a space in front belongs to the value, but it is %q", got)
	}
	if Value(state, "b") != nil {
		t.Error("an absent key has a value")
	}
}
