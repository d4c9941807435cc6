package tracestate

import (
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	th := OT{TH: 0x8 << 52, HasTH: true}
	for _, tt := range []struct {
		name, state, want string // want "": refused
	}{
		{"31 others stay", distinct(31), "ot=th:8," + distinct(31)},
		{"the last of 32 others goes", distinct(32), "ot=th:8," + distinct(31)},
		{"31 others and ot stay", distinct(31) + ",ot=th:4", "ot=th:8," + distinct(31)},
		{"33 members are too many", distinct(33), ""},
		{"32 members and ot are too many", distinct(32) + ",ot=th:4", ""},
		{"blanks are no members", strings.Repeat(" ,", 40) + distinct(31), "ot=th:8," + distinct(31)},

		{"ot of 256 bytes", "ot=a:" + x(249), "ot=th:8;a:" + x(249)},
		{"ot of 257 bytes", "ot=a:" + x(250), ""},
		{"ot stays as long as it was", "ot=th:4;a:" + x(249), "ot=th:8;a:" + x(249)},
		{"ot too long to be read", "ot=a:" + x(255), ""},

		{"1024 bytes", kilo("b=" + x(245)), "ot=th:8," + kilo("b="+x(245))},
		{"1025 bytes", kilo("b=" + x(246)), "ot=th:8," + kilo("")},
		{"what goes, goes from the end", kilo("b="+x(246)) + ",c=1", "ot=th:8," + kilo("")},
		{"1024 bytes before", kilo("b=" + x(253)), "ot=th:8," + kilo("")},
		{"1025 bytes before", kilo("b=" + x(254)), ""},
	} {
		got, ok := AppendWith(nil, []byte(tt.state), th)
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %d bytes, %v\n got %q\nwant %q", tt.name, len(got), ok, got, tt.want)
		}
		if read, readable := ScanOT(got); ok && (len(got) > 1024 || read.TH != th.TH || !readable) {
			t.Errorf("%s: cannot be read again", tt.name)
		}
	}
}

// kilo returns a state of 768 bytes, then a comma and the last member, if there is one.
func kilo(last string) string {
	v := strings.Repeat("v", 252)
	state := "a1=" + v + ",a2=" + v + ",a3=" + v + "v"
	if last == "" {
		return state
	}
	return state + "," + last
}

func TestNumbers(t *testing.T) {
	for v, want := range map[uint64]string{
		0: "0", 1: "00000000000001", 0x10: "0000000000001", Max - 1: "ffffffffffffff", Max / 2: "8", Max / 16: "1",
		0x123456789abcde: "123456789abcde", 0x00f00000000000: "00f",
	} {
		got, ok := AppendWith(nil, nil, OT{TH: v, HasTH: true})
		if string(got) != "ot=th:"+want || !ok {
			t.Errorf("threshold %#x: %q", v, got)
		}
		if ot, ok := ScanOT(got); ot.TH != v || !ot.HasTH || ot.HasRV || !ok {
			t.Errorf("threshold %#x: read again %+v", v, ot)
		}
		got, _ = AppendWith(nil, nil, OT{RV: v, HasRV: true})
		if len(got) != len("ot=rv:")+14 {
			t.Errorf("randomness %#x: %q", v, got)
		}
		if ot, ok := ScanOT(got); ot.RV != v || !ot.HasRV || ot.HasTH || !ok {
			t.Errorf("randomness %#x: read again %+v", v, ot)
		}
	}
	// What has no number to write is taken away, and with the last part the member.
	never := OT{RV: 1<<64 - 1, HasRV: true, TH: Max, HasTH: true}
	for state, want := range map[string]string{"a=b,ot=th:8": "a=b", "ot=rv:00000000000000": "", "ot=x:1;th:8": "ot=x:1"} {
		if got, ok := AppendWith(nil, []byte(state), never); string(got) != want || !ok {
			t.Errorf("%q without th: %q", state, got)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	state := []byte("vendor=1,ot=rv:89abcdef012345;th:8;p:1,other=2")
	buf := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		ot, ok := ScanOT(state)
		ot.TH = Max / 4
		if buf, _ = AppendWith(buf[:0], state, ot); !ok || len(buf) != len(state) || !Valid(state) {
			t.Fatalf("%q", buf)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScanOT(b *testing.B) {
	for name, state := range map[string]string{
		"none":     "",
		"vendor":   "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
		"th":       "ot=th:8",
		"rv,th":    "ot=rv:89abcdef012345;th:c",
		"others":   "congo=t61rcWkgMzE,ot=rv:89abcdef012345;th:c,rojo=00f067aa0ba902b7",
		"unlikely": "found=1," + distinct(31),
	} {
		b.Run(name, func(b *testing.B) {
			state := []byte(state)
			for b.Loop() {
				ScanOT(state)
			}
		})
	}
}

func BenchmarkAppendWith(b *testing.B) {
	for name, state := range map[string]string{
		"none":   "",
		"th":     "ot=th:8",
		"others": "congo=t61rcWkgMzE,ot=rv:89abcdef012345;th:c,rojo=00f067aa0ba902b7",
	} {
		b.Run(name, func(b *testing.B) {
			state, buf := []byte(state), make([]byte, 0, 256)
			for b.Loop() {
				buf, _ = AppendWith(buf[:0], state, OT{TH: 0xe6666666666666, HasTH: true})
			}
		})
	}
}
