package wire

import (
	"bytes"
	"strings"
	"testing"
)

const (
	ownPolicy      = "\x4a\x17\x0a\x0fthresher.policy\x12\x04\x0a\x02p1"
	ownProbability = "\x4a\x21\x0a\x14thresher.probability\x12\x09\x21\x00\x00\x00\x00\x00\x00\xd0\x3f"
	someState      = "\x1a\x07ot=th:c"
)

func TestAppendEdited(t *testing.T) {
	long := strings.Repeat("x", 300)
	double := "\x21\x01\x02\x03\x04\x05\x06\x07\x08"
	everything := &Edit{TraceState: []byte("ot=th:c"), Policy: []byte("p1"), Probability: 0.25}
	written := someState + ownPolicy + ownProbability
	rest := kv("a", text(1, "v")) + text(5, "name") + kv(long, "\x18\x01") + "\x85\x01\x01\x02\x03\x04"
	tests := []struct {
		name, raw string
		e         *Edit
		want      string
	}{
		{"nothing", rest + text(3, "x"), &Edit{Probability: 1}, rest + text(3, "x")},
		{"of an empty span", "", everything, written},
		{"everything", rest, everything, rest + written},
		{"only the state", rest, &Edit{TraceState: []byte("ot=th:c"), Probability: 1}, rest + someState},
		{"only the policy", rest, &Edit{Policy: []byte("p1"), Probability: 0.25}, rest + ownPolicy + ownProbability},
		{"the state replaced", text(3, "x") + rest, everything, rest + written},
		{"a long state replaced", rest + text(3, long) + rest, everything, rest + rest + written},
		{"an empty state replaced", rest + text(3, ""), everything, rest + written},
		{"repeated states replaced", text(3, "x") + rest + text(3, "y"), everything, rest + written},
		{"the state taken away", text(3, "x") + rest, &Edit{TraceState: []byte{}}, rest},
		{"the state left", text(3, "x") + rest, &Edit{Policy: []byte("p1"), Probability: 0.25},
			text(3, "x") + rest + ownPolicy + ownProbability},
		{"state with a long tag", "\x9a\x00\x01x" + rest, everything, rest + written},
		{"state with a long length", "\x1a\x81\x00x" + rest, everything, rest + written},
		{"attributes replaced", kv(KeyPolicy, text(1, "old")) + rest + kv(KeyProbability, double), everything, rest + written},
		{"adjacent attributes replaced",
			rest + kv("b", "") + kv(KeyPolicy, text(1, "old")) + kv(KeyProbability, double) + kv("c", ""), everything,
			rest + kv("b", "") + kv("c", "") + written},
		{"attributes left", kv(KeyPolicy, text(1, "old")) + kv(KeyProbability, double), &Edit{TraceState: []byte("ot=th:c")},
			kv(KeyPolicy, text(1, "old")) + kv(KeyProbability, double) + someState},
		{"value first", text(9, text(2, text(1, "v"))+text(1, KeyPolicy)) + rest, everything, rest + written},
		{"long value", kv(KeyPolicy, text(1, long)) + rest, everything, rest + written},
		{"long value first", text(9, text(2, text(1, long))+text(1, KeyPolicy)) + rest, everything, rest + written},
		{"no value", text(9, text(1, KeyPolicy)) + rest, everything, rest + written},
		{"attribute with a long tag", "\xca\x00" + kv(KeyPolicy, "")[1:] + rest, everything, rest + written},
		{"attribute with a long length", "\x4a\x93\x00" + kv(KeyPolicy, "")[2:] + rest, everything, rest + written},
		{"key with a long tag", text(9, "\x8a\x00"+text(1, KeyPolicy)[1:]) + rest, everything, rest + written},
		{"unknown field in the attribute", text(9, text(1, KeyPolicy)+"\x78\x01") + rest, everything, rest + written},
		{"the last key counts", text(9, text(1, "a")+text(2, "")+text(1, KeyPolicy)) + rest, everything, rest + written},
		{"it was the last key", text(9, text(1, KeyPolicy)+text(2, "")+text(1, "a")), everything,
			text(9, text(1, KeyPolicy)+text(2, "")+text(1, "a")) + written},
		{"keys that are like it",
			kv("thresher.policz", "") + kv("thresher.policyx", "") + kv("thresher.probabilitx", ""), everything,
			kv("thresher.policz", "") + kv("thresher.policyx", "") + kv("thresher.probabilitx", "") + written},
		{"in a value, an event, a link",
			kv("a", text(1, KeyPolicy)) + text(11, kv(KeyPolicy, "")) + text(13, kv(KeyPolicy, "")), everything,
			kv("a", text(1, KeyPolicy)) + text(11, kv(KeyPolicy, "")) + text(13, kv(KeyPolicy, "")) + written},
		{"unknown fields", "\x8a\x01\x02xx" + rest + "\xf8\xff\xff\xff\x0f\x05", everything,
			"\x8a\x01\x02xx" + rest + "\xf8\xff\xff\xff\x0f\x05" + written},
		{"attribute that is cut off", text(9, text(1, KeyPolicy)+"\x12\x05"), everything,
			text(9, text(1, KeyPolicy)+"\x12\x05") + written},
		{"key that is no text, then one that is", text(9, "\x08\x01"+text(1, KeyPolicy)), everything,
			text(9, "\x08\x01"+text(1, KeyPolicy)) + written},
		{"key that is no text", text(9, text(1, KeyPolicy)+"\x08\x01"), everything,
			text(9, text(1, KeyPolicy)+"\x08\x01") + written},
	}
	for _, tt := range tests {
		got := AppendEdited([]byte("before"), build(tt.raw), tt.e)
		if string(got) != "before"+tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, "before"+tt.want)
		}
		if again := AppendEdited(nil, got[len("before"):], tt.e); string(again) != tt.want {
			t.Errorf("%s: edited again\n got %q\nwant %q", tt.name, again, tt.want)
		}
	}
}

// Lengths of one, two and three bytes must all be right, and so must the size that is asked for.
func TestAppendEditedLengths(t *testing.T) {
	for _, n := range []int{
		0, 1, 100, 103, 104, 105, 106, 107, 108, 109, 120, 124, 125, 126, 127, 128, 16355, 16360, 16365, 16380, 16384, 1 << 20,
	} {
		e := &Edit{TraceState: bytes.Repeat([]byte("s"), n), Policy: bytes.Repeat([]byte("p"), n), Probability: 1}
		out := AppendEdited(nil, build(someTrace, someSpan), e)
		if len(out) != len(someTrace)+len(someSpan)+e.size() {
			t.Errorf("%d bytes: the span grew to %d, not by %d", n, len(out), e.size())
		}
		checkEdited(t, build(someTrace, someSpan), e)
	}
}

func TestAppendEditedAllocatesNothing(t *testing.T) {
	var r recorder
	if err := Walk(marshal(t, sampleTraces(10, 2, 1, 1)), &Scratch{}, &r); err != nil {
		t.Fatal(err)
	}
	e := &Edit{TraceState: []byte("ot=th:c"), Policy: []byte("errors"), Probability: 0.25}
	buf := make([]byte, 0, 1<<16)
	if allocs := testing.AllocsPerRun(10, func() {
		buf = buf[:0]
		for _, raw := range r.spans {
			buf = AppendEdited(buf, raw, e)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func benchEdit(b *testing.B, e *Edit, before *Edit) {
	benchRequests(b, func(b *testing.B, req []byte) (n int) {
		spans := sampleSpans(b, req)
		for i := range spans {
			spans[i] = AppendEdited(nil, spans[i], before)
		}
		buf := make([]byte, 0, 1<<20)
		for b.Loop() {
			buf = buf[:0]
			for _, raw := range spans {
				buf = AppendEdited(buf, raw, e)
			}
			n += len(spans)
		}
		return n
	})
}

func BenchmarkAppendEdited(b *testing.B) {
	state := &Edit{TraceState: []byte("ot=th:c")}
	all := &Edit{TraceState: []byte("ot=th:c"), Policy: []byte("errors"), Probability: 0.25}
	b.Run("nothing", func(b *testing.B) { benchEdit(b, &Edit{}, &Edit{}) })
	b.Run("state", func(b *testing.B) { benchEdit(b, state, &Edit{}) })
	b.Run("everything", func(b *testing.B) { benchEdit(b, all, &Edit{}) })
	b.Run("everything/again", func(b *testing.B) { benchEdit(b, all, all) })
}
