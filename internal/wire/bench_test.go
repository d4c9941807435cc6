package wire

import (
	"bytes"
	"testing"
)

func sampleSpans(b *testing.B, req []byte) [][]byte {
	var r recorder
	if err := Walk(req, &Scratch{}, &r); err != nil {
		b.Fatal(err)
	}
	return r.spans
}

// benchRequests runs a benchmark on 1000 spans in the field order of the Collector and in that of SDKs. run says how many
// spans it has processed.
func benchRequests(b *testing.B, run func(b *testing.B, req []byte) int) {
	req := marshal(b, sampleTraces(1000, 10, 4, 2))
	for name, req := range map[string][]byte{"backward": req, "forward": forward(b, req, shapeTracesData)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := run(b, req)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/span")
		})
	}
}

func benchScan(b *testing.B, keys ...string) {
	set := NewKeySet(keys)
	benchRequests(b, func(b *testing.B, req []byte) (n int) {
		var s Span
		spans := sampleSpans(b, req)
		for b.Loop() {
			for _, raw := range spans {
				if err := ScanSpan(raw, set, &s); err != nil {
					b.Fatal(err)
				}
			}
			n += len(spans)
		}
		return n
	})
}

func BenchmarkScanSpan0Keys(b *testing.B) { benchScan(b) }

func BenchmarkScanSpan4Keys(b *testing.B) {
	benchScan(b, "http.response.status_code", "http.route", "app.user.id", "service.name")
}

func BenchmarkValidate(b *testing.B) {
	benchRequests(b, func(b *testing.B, req []byte) (n int) {
		spans := sampleSpans(b, req)
		for b.Loop() {
			for _, raw := range spans {
				if err := Validate(raw); err != nil {
					b.Fatal(err)
				}
			}
			n += len(spans)
		}
		return n
	})
}

type countVisitor struct{ spans, bytes int }

func (c *countVisitor) Resource([]byte) error { return nil }
func (c *countVisitor) Scope([]byte) error    { return nil }
func (c *countVisitor) Span(raw []byte) error {
	c.spans++
	c.bytes += len(raw)
	return nil
}

func BenchmarkWalk(b *testing.B) {
	benchRequests(b, func(b *testing.B, req []byte) int {
		var scratch Scratch
		var v countVisitor
		for b.Loop() {
			if err := Walk(req, &scratch, &v); err != nil {
				b.Fatal(err)
			}
		}
		return v.spans
	})
}

func benchSplit(b *testing.B, deep bool) {
	benchRequests(b, func(b *testing.B, req []byte) (n int) {
		s := NewSplitter(SplitOptions{Partitions: 64, MaxFragment: 1 << 20, Deep: deep})
		var buf []byte
		for b.Loop() {
			out, err := s.Split(buf[:0], req)
			if err != nil || out.Dropped() > 0 {
				b.Fatal(err, out.Reason)
			}
			buf = out.Bytes
			n += out.Spans
		}
		return n
	})
}

func BenchmarkSplit(b *testing.B)     { benchSplit(b, false) }
func BenchmarkSplitDeep(b *testing.B) { benchSplit(b, true) }

type sampleHeaders [][]byte // by number

func (h *sampleHeaders) AppendTo(dst []byte, id uint32) []byte { return append(dst, (*h)[id]...) }

func benchAssemble(b *testing.B, spans, groups int) {
	raw := sampleSpans(b, marshal(b, sampleTraces(1000, 10, 4, 2)))
	headers := make(sampleHeaders, groups+1)
	for i := range headers {
		headers[i] = bytes.Repeat([]byte{byte(i)}, 100)
	}
	var a Assembler
	var buf []byte
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range spans {
			g := uint32(i*7919%groups + 1)
			a.Add(g/4, g, raw[i%len(raw)])
		}
		n += a.Len()
		buf = a.AppendTo(buf[:0], &headers)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/span")
}

func BenchmarkAssemble(b *testing.B) {
	b.Run("spans=10/groups=8", func(b *testing.B) { benchAssemble(b, 10, 8) })
	b.Run("spans=1000/groups=8", func(b *testing.B) { benchAssemble(b, 1000, 8) })
	b.Run("spans=20000/groups=20000", func(b *testing.B) { benchAssemble(b, 20000, 20000) })
	b.Run("spans=200000/groups=50000", func(b *testing.B) { benchAssemble(b, 200000, 50000) })
}
