package tracestate

import (
	"slices"
	"strings"
	"testing"
)

// FuzzState sets parts of the ot member of arbitrary states, and compares what comes out with the obvious reading of what
// went in.
func FuzzState(f *testing.F) {
	for _, state := range []string{
		"", "ot=th:8", "a=b,ot=rv:89abcdef012345;th:c;p:8 , t@s=x y,", "ot=a:;b:1", "ot=th:1,ot=th:2,a=1,a=2", "a=b, ,c=d", "found=1",
		"ot=th:ABC", "ot=th:1;", "ot=" + "a:" + strings.Repeat("x", 240), distinct(32), distinct(30) + ",ot=th:8",
		kilo("b=" + strings.Repeat("x", 250)),
	} {
		f.Add(state, uint64(0x1f0), uint64(0x8<<52), true, true)
		f.Add(state, uint64(Max-1), uint64(Max), false, true)
		f.Add(state, uint64(Max), uint64(0), true, false)
		f.Add(state, uint64(0), uint64(0), false, false)
	}
	f.Fuzz(func(t *testing.T, state string, rv, th uint64, hasRV, hasTH bool) {
		set := OT{RV: rv, TH: th, HasRV: hasRV, HasTH: hasTH}
		want, readable := ScanOT([]byte(state))
		out, ok := AppendWith([]byte("before"), []byte(state), set)
		rest, found := strings.CutPrefix(string(out), "before")
		if !found {
			t.Fatalf("%q: overwrote what was before: %q", state, out)
		}
		if !ok {
			if rest != "" {
				t.Fatalf("%q: refused, but appended %q", state, rest)
			}
			return
		}
		if !readable {
			t.Fatalf("%q cannot be read, but is written as %q", state, rest)
		}
		if hasRV {
			want.RV, want.HasRV = rv, rv < Max
		}
		if hasTH {
			want.TH, want.HasTH = th, th < Max
		}
		if !want.HasRV {
			want.RV = 0
		}
		if !want.HasTH {
			want.TH = 0
		}
		if got, ok := ScanOT([]byte(rest)); got != want || !ok {
			t.Fatalf("%q with %+v: written as %q, read as %+v, %v", state, set, rest, got, ok)
		}
		if again, ok := AppendWith(nil, []byte(rest), OT{}); string(again) != rest || !ok {
			t.Fatalf("%q: written as %q, then as %q", state, rest, again)
		}
		checkOthers(t, state, rest)
		if len(rest) > 1024 || Valid([]byte(state)) && !Valid([]byte(rest)) {
			t.Fatalf("%q: written as %q", state, rest)
		}
	})
}

// checkOthers checks that the other members, and the other sub-keys of ot, are as before, except that members at the end may be
// gone if there was no room for the next one.
func checkOthers(t *testing.T, before, after string) {
	t.Helper()
	was, wasSub := naive(before)
	is, isSub := naive(after)
	if !slices.Equal(wasSub, isSub) {
		t.Fatalf("%q: sub-keys %q became %q", before, wasSub, isSub)
	}
	if len(is) > len(was) || !slices.Equal(was[:len(is)], is) {
		t.Fatalf("%q: members %q became %q", before, was, is)
	}
	if n := len(is); n < len(was) && strings.Count(after, ",")+1 < maxMembers && len(after)+1+len(was[n]) <= maxLength {
		t.Fatalf("%q: %q is gone though there is room in %q", before, was[n], after)
	}
}

// naive returns the members of a valid state that are not ot, and the sub-keys of the last ot that are not rv or th.
func naive(state string) (others, subs []string) {
	for m := range strings.SplitSeq(state, ",") {
		m = strings.Trim(m, " \t")
		ot, found := strings.CutPrefix(m, "ot=")
		if !found && m != "" {
			others = append(others, m)
		}
		if !found {
			continue
		}
		subs = nil
		for s := range strings.SplitSeq(ot, ";") {
			if !strings.HasPrefix(s, "rv:") && !strings.HasPrefix(s, "th:") {
				subs = append(subs, s)
			}
		}
	}
	return others, subs
}
