package tracestate

import "testing"

// What pkg/sampling v0.164.1 reads and writes: each state, what its ot member says, and how it is written as it is, with
// the threshold abc, and with the randomness 1f0 and no threshold.
func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		state                   string
		want                    OT
		same, threshold, random string
	}{
		{"", OT{},
			"", "ot=th:abc", "ot=rv:000000000001f0"},
		{"ot=th:0", OT{TH: 0x0, HasTH: true},
			"ot=th:0", "ot=th:abc", "ot=rv:000000000001f0"},
		{"ot=th:c", OT{TH: 0xc0000000000000, HasTH: true},
			"ot=th:c", "ot=th:abc", "ot=rv:000000000001f0"},
		{"ot=th:1", OT{TH: 0x10000000000000, HasTH: true},
			"ot=th:1", "ot=th:abc", "ot=rv:000000000001f0"},
		{" ot=th:1 ", OT{TH: 0x10000000000000, HasTH: true},
			"ot=th:1", "ot=th:abc", "ot=rv:000000000001f0"},
		{" ot=th:1,other=value ", OT{TH: 0x10000000000000, HasTH: true},
			"ot=th:1,other=value", "ot=th:abc,other=value", "ot=rv:000000000001f0,other=value"},
		{",,,", OT{},
			"", "ot=th:abc", "ot=rv:000000000001f0"},
		{" , ot=th:1, , other=value ", OT{TH: 0x10000000000000, HasTH: true},
			"ot=th:1,other=value", "ot=th:abc,other=value", "ot=rv:000000000001f0,other=value"},
		{"ot=th:100;rv:abcdabcdabcdff", OT{RV: 0xabcdabcdabcdff, HasRV: true, TH: 0x10000000000000, HasTH: true},
			"ot=rv:abcdabcdabcdff;th:100", "ot=rv:abcdabcdabcdff;th:abc", "ot=rv:000000000001f0"},
		{"vendor=1,ot=rv:ffffffffffffff\t,t@s=x y", OT{RV: 0xffffffffffffff, HasRV: true},
			"ot=rv:ffffffffffffff,vendor=1,t@s=x y", "ot=rv:ffffffffffffff;th:abc,vendor=1,t@s=x y",
			"ot=rv:000000000001f0,vendor=1,t@s=x y"},
		{"ot=p:8;r:62", OT{},
			"ot=p:8;r:62", "ot=th:abc;p:8;r:62", "ot=rv:000000000001f0;p:8;r:62"},
		{"ot=foo:bar;k1:13,a=b", OT{},
			"ot=foo:bar;k1:13,a=b", "ot=th:abc;foo:bar;k1:13,a=b", "ot=rv:000000000001f0;foo:bar;k1:13,a=b"},
		{"ot=k:;th:8;x9:A.b_c-D", OT{TH: 0x80000000000000, HasTH: true},
			"ot=th:8;k:;x9:A.b_c-D", "ot=th:abc;k:;x9:A.b_c-D", "ot=rv:000000000001f0;k:;x9:A.b_c-D"},
		{"ot=th:ABC;rv:ABCDEF00000000", OT{RV: 0xabcdef00000000, HasRV: true, TH: 0xabc00000000000, HasTH: true},
			"ot=rv:ABCDEF00000000;th:ABC", "ot=rv:ABCDEF00000000;th:abc", "ot=rv:000000000001f0"},
		{"ot=th:1;th:2", OT{TH: 0x20000000000000, HasTH: true},
			"ot=th:2", "ot=th:abc", "ot=rv:000000000001f0"},
		{"ot=rv:00000000000000;rv:11111111111111", OT{RV: 0x11111111111111, HasRV: true},
			"ot=rv:11111111111111", "ot=rv:11111111111111;th:abc", "ot=rv:000000000001f0"},
		{"ot=th:1,ot=rv:11111111111111", OT{RV: 0x11111111111111, HasRV: true},
			"ot=rv:11111111111111", "ot=rv:11111111111111;th:abc", "ot=rv:000000000001f0"},
		{"a=1,a=2,ot=th:8", OT{TH: 0x80000000000000, HasTH: true},
			"ot=th:8,a=1,a=2", "ot=th:abc,a=1,a=2", "ot=rv:000000000001f0,a=1,a=2"},
		{"ot=th:fffffffffffffe", OT{TH: 0xfffffffffffffe, HasTH: true},
			"ot=th:fffffffffffffe", "ot=th:abc", "ot=rv:000000000001f0"},
		{"ot=th:00000000000001", OT{TH: 0x1, HasTH: true},
			"ot=th:00000000000001", "ot=th:abc", "ot=rv:000000000001f0"},
		{"robot=2,found=ot", OT{},
			"robot=2,found=ot", "ot=th:abc,robot=2,found=ot", "ot=rv:000000000001f0,robot=2,found=ot"},
		{"ot@s=th:1", OT{},
			"ot@s=th:1", "ot=th:abc,ot@s=th:1", "ot=rv:000000000001f0,ot@s=th:1"},
		{"s@ot=th:1", OT{},
			"s@ot=th:1", "ot=th:abc,s@ot=th:1", "ot=rv:000000000001f0,s@ot=th:1"},
	} {
		if got, ok := ScanOT([]byte(tt.state)); got != tt.want || !ok {
			t.Errorf("%q: read %+v, %v, want %+v", tt.state, got, ok, tt.want)
		}
		for _, w := range []struct {
			set  OT
			want string
		}{
			{OT{}, tt.same},
			{OT{TH: 0xabc << 44, HasTH: true}, tt.threshold},
			{OT{RV: 0x1f0, HasRV: true, TH: Max, HasTH: true}, tt.random},
		} {
			if got, ok := AppendWith([]byte("before"), []byte(tt.state), w.set); string(got) != "before"+w.want || !ok {
				t.Errorf("%q with %+v: %q, %v, want %q", tt.state, w.set, got, ok, w.want)
			}
		}
	}
}

// What pkg/sampling v0.164.1 refuses.
func TestGoldenRefused(t *testing.T) {
	for _, state := range []string{
		"ot=th:", "ot=th:123456789abcdef", "ot=th:g", "ot=th:-1", "ot=rv:1234567890123", "ot=rv:123456789012345",
		"ot=rv:1234567890123g", "ot=rv:", "ot=th:1;", "ot=;th:1", "ot=th:1;;a:b", "ot=th", "ot=:1", "ot=Th:1",
		"ot=1a:1", "ot=a:b:c", "ot=a:b c", "ot=", "ot= th:1", "ot =th:1", "ot=th:1,Z=1", "ot=th:1,x", "ot=th:1,x=",
		"ot=th:1,=x", "ot=th:1,1x=y", "ot=th:1,t@1=y", "ot=th:1;rv:1", "ot=th:1,ot=th:g", "ot=th:g,ot=th:1",
	} {
		got, ok := AppendWith([]byte("before"), []byte(state), OT{HasTH: true})
		if ok || string(got) != "before" {
			t.Errorf("%q is written as %q", state, got)
		}
		// Without "ot=" there is nothing to read, be the rest as it may.
		if got, ok := ScanOT([]byte(state)); got != (OT{}) || ok != (state == "ot =th:1") {
			t.Errorf("%q is read as %+v, %v", state, got, ok)
		}
	}
}
