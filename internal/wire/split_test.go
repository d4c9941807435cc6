package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestSplitSample(t *testing.T) {
	req := marshal(t, sampleTraces(300, 7, 3, 2))
	for _, b := range [][]byte{req, forward(t, req, shapeTracesData)} {
		for _, o := range []SplitOptions{
			{Partitions: 1}, {Partitions: 64, Deep: true}, {Partitions: 1000, MaxFragment: 2000}, {Partitions: 4, MaxFragment: 950},
			{Partitions: 2, MaxFragment: 10}, {Partitions: 3, MaxFragment: 1 << 20, Deep: true},
		} {
			checkSplit(t, b, o)
		}
	}
}

// Every limit around the size of a span, so that each length of a length is hit by the cut.
func TestSplitLimits(t *testing.T) {
	var spans string
	for _, n := range []int{0, 5, 40, 3, 60, 90, 0, 20, 200, 7, 100} {
		spans += text(2, someTrace+someSpan+text(5, strings.Repeat("n", n)))
	}
	req := text(1, text(1, "r")+text(2, spans+text(3, "url"))+text(2, spans)) + text(1, text(2, spans))
	for limit := 30; limit < 2500; limit++ {
		checkSplit(t, []byte(req), SplitOptions{Partitions: 1, MaxFragment: limit})
	}
}

func TestSplitDropsAndCounts(t *testing.T) {
	good := text(2, someTrace+someSpan)
	badAttr := text(9, text(1, "a")+text(2, "\x0a\x05v"))
	damaged := text(2, someTrace+someSpan+badAttr)
	header := text(1, text(3, badAttr[2:])) // a scope with a damaged attribute
	req := build(text(1, text(2, good+text(2, someSpan)+text(2, someTrace)+damaged+text(2, "\xff")+good)+text(2, header+good)+text(2, good)))
	tests := []struct {
		o    SplitOptions
		want Split
		err  error
	}{
		{SplitOptions{Partitions: 1, Deep: true}, Split{Spans: 3, NoTraceID: 1, NoSpanID: 1, Damaged: 3}, ErrTraceID},
		{SplitOptions{Partitions: 1}, Split{Spans: 5, NoTraceID: 1, NoSpanID: 1, Damaged: 1}, ErrTraceID},
		{SplitOptions{Partitions: 1, MaxFragment: 35}, Split{Spans: 3, NoTraceID: 1, NoSpanID: 1, Damaged: 1, Oversized: 2}, ErrTraceID},
	}
	for _, tt := range tests {
		got, err := NewSplitter(tt.o).Split(nil, req)
		if err != nil || got.Spans != tt.want.Spans || got.NoTraceID != tt.want.NoTraceID || got.NoSpanID != tt.want.NoSpanID ||
			got.Damaged != tt.want.Damaged || got.Oversized != tt.want.Oversized || !errors.Is(got.Reason, tt.err) {
			t.Errorf("%+v: got %+v, %v", tt.o, got, err)
		}
		checkSplit(t, req, tt.o)
	}
	got, err := NewSplitter(SplitOptions{Partitions: 1, MaxFragment: 20}).Split(nil, build(text(1, text(2, good))))
	if err != nil || got.Oversized != 1 || !errors.Is(got.Reason, ErrOversized) || !strings.Contains(got.Reason.Error(), "the limit is 20") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A large resource that every partition would repeat is a small request that becomes a huge one.
func TestSplitBoundsItsOutput(t *testing.T) {
	var spans []byte
	for i := range 1000 {
		id, span := sampleTraceID(i), sampleSpanID(i)
		spans = appendField(spans, tagSpans, build(text(1, string(id[:])), text(2, string(span[:]))))
	}
	resource := text(3, strings.Repeat("u", 100_000))
	req := build(text(1, resource+text(2, string(spans))))
	s := NewSplitter(SplitOptions{Partitions: 1000, MaxOutput: 10 << 20})
	out, err := s.Split([]byte("before"), req)
	if !errors.Is(err, ErrTooLarge) || len(out.Fragments) != 0 || cap(out.Bytes) > 100 {
		t.Errorf("%v, %d fragments, %d bytes", err, len(out.Fragments), cap(out.Bytes))
	}
	s = NewSplitter(SplitOptions{Partitions: 1, MaxFragment: 100_100, MaxOutput: 10 << 20})
	if _, err := s.Split(nil, req); !errors.Is(err, ErrTooLarge) {
		t.Errorf("fragments of two spans: %v", err)
	}
	if out, err := NewSplitter(SplitOptions{Partitions: 10}).Split(nil, req); err != nil || out.Spans != 1000 {
		t.Errorf("with 10 partitions: %v", err)
	}
}

// Millions of messages without spans, and of spans without anything, take two bytes each; the memory for them must stay of that order.
func TestSplitOfHollowRequests(t *testing.T) {
	hollow := map[string][]byte{
		"resources": bytes.Repeat([]byte(text(1, "")), 100_000),
		"scopes":    appendField(nil, tagResourceSpans, bytes.Repeat([]byte(text(2, "")), 50_000)),
		"spans":     appendField(nil, tagResourceSpans, appendField(nil, tagScopeSpans, bytes.Repeat([]byte(text(2, "")), 50_000))),
	}
	for name, req := range hollow {
		s := NewSplitter(SplitOptions{Partitions: 4})
		out, err := s.Split(nil, req)
		if err != nil || out.Spans != 0 || cap(s.resources) > 10 || cap(s.scopes) > 10 || cap(s.spans) > 10 || len(out.Bytes) != 0 {
			t.Errorf("%s: %v, %+v; %d resources, %d scopes, %d spans kept", name, err, out, cap(s.resources), cap(s.scopes), cap(s.spans))
		}
	}
}

func TestSplitterForgetsTheRequest(t *testing.T) {
	s := NewSplitter(SplitOptions{Partitions: 8})
	a, b := marshal(t, sampleTraces(100, 3, 2, 2)), marshal(t, sampleTraces(10, 1, 1, 1))
	var buf []byte
	for _, req := range [][]byte{a, b, b[:20], {}, a, b} {
		want, wantErr := NewSplitter(SplitOptions{Partitions: 8}).Split(nil, req)
		got, err := s.Split(buf[:0], req)
		if (err == nil) != (wantErr == nil) || !bytes.Equal(got.Bytes, want.Bytes) || len(got.Fragments) != len(want.Fragments) {
			t.Errorf("another outcome the second time: %v, %v", err, wantErr)
		}
		buf = got.Bytes
	}
	if allocs := testing.AllocsPerRun(10, func() {
		out, err := s.Split(buf[:0], a)
		if err != nil {
			t.Fatal(err)
		}
		buf = out.Bytes
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestNewSplitterWithoutPartitions(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewSplitter(SplitOptions{})
}
