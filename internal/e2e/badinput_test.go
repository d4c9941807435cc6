//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// post sends a body over OTLP/HTTP.
func (n *node) post(contentType, encoding string, body []byte) (code int, answer []byte, err error) {
	request, err := http.NewRequest(http.MethodPost, "http://"+n.http+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", contentType)
	if encoding != "" {
		request.Header.Set("Content-Encoding", encoding)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // into memory
	_ = w.Close()
	return b.Bytes()
}

const (
	protobuf = "application/x-protobuf"
	asJSON   = "application/json"
)

// Whatever is sent, the client gets an answer that says what is wrong with it, and the node goes on.
func TestBadRequests(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	good := traceOf(1, true)

	for name, c := range map[string]struct {
		contentType, encoding string
		body                  []byte
		code                  int
	}{
		"not protobuf":           {protobuf, "", []byte("hello, is this on?"), 400},
		"truncated":              {protobuf, "", good[:len(good)-3], 400},
		"claims 4 GB":            {protobuf, "", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x01}, 400},
		"endless varint":         {protobuf, "", bytes.Repeat([]byte{0xff}, 40), 400},
		"not JSON":               {asJSON, "", []byte(`{"resourceSpans": [`), 400},
		"JSON of another schema": {asJSON, "", []byte(`[1, 2]`), 400},
		"not gzip":               {protobuf, "gzip", good, 400},
		"truncated gzip":         {protobuf, "gzip", gzipped(good)[:20], 400},
		"unknown encoding":       {protobuf, "brotli", good, 415},
		"unknown content type":   {"text/plain", "", good, 415},
		"larger than allowed":    {protobuf, "", make([]byte, 70<<20), 413},
		"a gzip bomb":            {protobuf, "gzip", gzipped(make([]byte, 200<<20)), 413},
		"empty":                  {protobuf, "", nil, 200},
		"empty JSON":             {asJSON, "", []byte(`{}`), 200},
		"gzip":                   {protobuf, "gzip", gzipped(good), 200},
	} {
		t.Run(name, func(t *testing.T) {
			code, answer, err := node.post(c.contentType, c.encoding, c.body)
			if err != nil {
				t.Fatal(err)
			}
			if code != c.code {
				t.Errorf("the answer is %d, want %d: %q", code, c.code, answer)
			}
			if code >= 400 && len(bytes.TrimSpace(answer)) == 0 {
				t.Error("the answer does not say why")
			}
			t.Logf("%d %.150q", code, answer)
		})
	}
	t.Run("gRPC", func(t *testing.T) {
		for _, body := range [][]byte{[]byte("hello, is this on?"), good[:len(good)-3]} {
			if _, _, err := from.once(t.Context(), body); status.Code(err) != codes.InvalidArgument && status.Code(err) != codes.Internal {
				t.Errorf("gRPC answers %v", err)
			}
		}
		if _, _, err := from.once(t.Context(), make([]byte, 80<<20)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("gRPC answers %v to 80 MB, want RESOURCE_EXHAUSTED", err)
		}
	})
	// Spans without IDs are refused and named; the others of the request are taken.
	mixed := build(6, func(i int, s ptrace.Span) {
		s.SetTraceID(traceID(2))
		s.Status().SetCode(ptrace.StatusCodeError)
		switch i {
		case 1:
			s.SetTraceID(pcommon.TraceID{})
		case 2, 3:
			s.SetSpanID(pcommon.SpanID{})
		}
	})
	t.Run("zero IDs by gRPC", func(t *testing.T) {
		rejected, why, err := from.once(t.Context(), proto(mixed))
		if err != nil || rejected != 3 || !strings.Contains(why, "trace ID") || !strings.Contains(why, "span ID") {
			t.Errorf("rejected %d (%q), %v; want 3 and why", rejected, why, err)
		}
	})
	t.Run("zero IDs by HTTP", func(t *testing.T) {
		code, answer, err := node.post(protobuf, "", proto(mixed))
		response := ptraceotlp.NewExportResponse()
		if err == nil {
			err = response.UnmarshalProto(answer)
		}
		if err != nil || code != 200 || response.PartialSuccess().RejectedSpans() != 3 {
			t.Errorf("%d, rejected %d, %v", code, response.PartialSuccess().RejectedSpans(), err)
		}
	})
	report := node.settled(30 * time.Second)
	if report.Ledger.KeptTraces != 2 || report.Ledger.Kept != 6 {
		t.Errorf("of two good traces with three spans each %d were kept with %d spans", report.Ledger.KeptTraces, report.Ledger.Kept)
	}
	if a, b := to.got.count(traceID(1)), to.got.count(traceID(2)); a != 3 || b != 3 {
		t.Errorf("the good spans: %d and %d delivered, want 3 and 3", a, b)
	}
}

// Unusual but valid spans go through whole.
func TestStrangeSpans(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	far := pcommon.NewTimestampFromTime(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC))
	for i, adjust := range []func(ptrace.Span){
		func(s ptrace.Span) {
			for k := range 10_000 {
				s.Attributes().PutStr(fmt.Sprint("key.", k), "value")
			}
		},
		func(s ptrace.Span) { s.SetStartTimestamp(0); s.SetEndTimestamp(0) },
		func(s ptrace.Span) { s.SetStartTimestamp(far); s.SetEndTimestamp(far + 1) },
		func(s ptrace.Span) { s.SetStartTimestamp(far); s.SetEndTimestamp(0) },
		func(s ptrace.Span) { s.SetName(strings.Repeat("x", 14<<20)) }, // nearly a record of the largest size
		func(s ptrace.Span) { s.SetName("\xff\xfe not UTF-8") },
		func(s ptrace.Span) { s.SetParentSpanID(s.SpanID()) },
		func(s ptrace.Span) { s.SetKind(99); s.TraceState().FromRaw("=,=,;;") },
	} {
		request := build(2, func(_ int, s ptrace.Span) {
			s.SetTraceID(traceID(uint64(i) + 1))
			s.Status().SetCode(ptrace.StatusCodeError)
			adjust(s)
		})
		if i == 4 { // one such span alone fits
			request = build(1, func(_ int, s ptrace.Span) {
				s.SetTraceID(traceID(uint64(i) + 1))
				s.Status().SetCode(ptrace.StatusCodeError)
				adjust(s)
			})
		}
		if _, err := from.until(t.Context(), proto(request)); err != nil {
			t.Errorf("number %d is refused: %v", i, err)
		}
	}
	// One that cannot fit into a record is refused, with the reason.
	rejected, why, err := from.once(t.Context(), proto(build(1, func(_ int, s ptrace.Span) { s.SetName(strings.Repeat("x", 20<<20)) })))
	if rejected != 1 && err == nil || why == "" && err == nil {
		t.Errorf("a span of 20 MB: rejected %d (%q), %v", rejected, why, err)
	}
	node.settled(30 * time.Second)
	judge(t, names.spans, rules()).compare(t, from.sent, to.got)
}

// A trace of 200,000 spans is delivered whole.
func TestHugeTrace(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to), wait: "10s", after: "5s"}).run()
	from := newSender(t, node.grpc)
	const requests, each = 40, 5000
	for r := range requests {
		request := build(each, func(i int, s ptrace.Span) {
			n := uint64(r*each + i + 1)
			s.SetSpanID(spanID(n))
			s.SetParentSpanID(spanID(n / 2)) // 0 for the first: the root
			if n == requests*each {
				s.Status().SetCode(ptrace.StatusCodeError)
			}
		})
		if _, err := from.until(t.Context(), proto(request)); err != nil {
			t.Fatal(err)
		}
	}
	node.settled(time.Minute)
	if n := to.got.count(traceID(1)); n != requests*each {
		t.Errorf("%d of %d spans delivered", n, requests*each)
	}
	strict := rules()
	strict.DecisionWaitMs, strict.AfterRootMs = 10_000, 5_000
	judge(t, names.spans, strict).compare(t, from.sent, to.got)
}

// Garbage that others have written to the topic goes to the rejected topic with its origin; the rest is processed.
func TestDamagedRecords(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	produce(t, names.spans, 3, []byte("this is not OTLP"), []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, nil)
	for i := range uint64(16) {
		if _, err := from.until(t.Context(), traceOf(i+1, true)); err != nil {
			t.Fatal(err)
		}
	}
	node.settled(30 * time.Second)
	if traces, _, spans := to.got.totals(); traces != 16 || spans != 48 {
		t.Errorf("delivered %d traces with %d spans, want 16 and 48", traces, spans)
	}
	found := 0
	for _, records := range readTopic(t, names.rejected) {
		for _, r := range records {
			found++
			var headers []string
			for _, h := range r.Headers {
				headers = append(headers, fmt.Sprintf("%s=%s", h.Key, h.Value))
			}
			all := strings.Join(headers, " ")
			t.Logf("rejected: %.40q %s", r.Value, all)
			if !strings.Contains(all, names.spans) || len(r.Headers) < 3 {
				t.Errorf("a rejected record does not say where it comes from: %s", all)
			}
		}
	}
	if found != 2 {
		t.Errorf("%d records in the rejected topic, want 2", found)
	}
}
