//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A backend that is not there when traces are decided gets them all once it comes.
func TestBackendAbsent(t *testing.T) {
	names, at := freshNames(t), freePort(t)
	node := configure(t, names, settings{exporters: fmt.Sprintf("{otlp_grpc: {endpoint: %q, tls: {insecure: true}}}", at)}).run()
	from := newSender(t, node.grpc)
	from.load(t, traffic(5, 10_000), 50_000, nil)
	eventually(t, 20*time.Second, "traces to be decided", func() error {
		s, err := node.status()
		if err == nil && s.Ledger.KeptTraces == 0 {
			err = fmt.Errorf("none yet: %+v", s.Ledger)
		}
		return err
	})
	// While nothing is delivered, the resume offset must not pass what is kept: a restart has to find it again.
	node.kill()
	node.start()
	to := startBackend(t, at)
	node.ready()
	node.settled(time.Minute)
	judge(t, names.spans, rules()).compare(t, from.sent, to.got)
}

// A slow backend and one that refuses half of the requests for now get everything in the end.
func TestBackendSlowAndFlapping(t *testing.T) {
	for name, behaviour := range map[string]answer{
		"slow": slow(300 * time.Millisecond),
		"flapping": func(_ context.Context, n int, _ []byte) ([]byte, bool, error) {
			if n%2 == 0 {
				return nil, false, status.Error(codes.Unavailable, "not now")
			}
			return nil, true, nil
		},
		"taken but not answered": func(_ context.Context, n int, _ []byte) ([]byte, bool, error) {
			if n%3 == 0 { // accepted, and the answer is lost on the way
				return nil, true, status.Error(codes.Unavailable, "gone")
			}
			return nil, true, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			names, to := freshNames(t), startBackend(t, "")
			to.behave(behaviour)
			node := configure(t, names, settings{exporters: otlpTo(to)}).run()
			from := newSender(t, node.grpc)
			from.load(t, traffic(6, 8_000), 30_000, nil)
			report := node.settled(2 * time.Minute)
			v := judge(t, names.spans, rules())
			v.compare(t, from.sent, to.got)
			if report.Ledger != v.ledger {
				t.Errorf("ledger\n got %+v\nwant %+v", report.Ledger, v.ledger)
			}
		})
	}
}

// What the backend refuses for good goes to the rejected topic, and the partition goes on.
func TestBackendRejects(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	to.behave(func(context.Context, int, []byte) ([]byte, bool, error) {
		return nil, false, status.Error(codes.InvalidArgument, "the backend does not want this")
	})
	exporters := fmt.Sprintf("{otlp_grpc: {endpoint: %q, tls: {insecure: true}, on_refusal: reject}}", to.addr)
	node := configure(t, names, settings{exporters: exporters}).run()
	from := newSender(t, node.grpc)
	for i := range uint64(20) {
		if _, err := from.until(t.Context(), traceOf(i+1, true)); err != nil {
			t.Fatal(err)
		}
	}
	report := node.settled(time.Minute)
	if report.Ledger.KeptTraces != 20 {
		t.Errorf("kept %d of 20 traces", report.Ledger.KeptTraces)
	}
	rejected, reasons := newBook(), map[string]int{}
	for _, records := range readTopic(t, names.rejected) {
		for _, r := range records {
			if err := rejected.enter(r.Value); err != nil {
				t.Errorf("rejected topic: %v", err)
			}
			for _, h := range r.Headers {
				reasons[h.Key+": "+string(h.Value)]++
			}
		}
	}
	if traces, spans, _ := rejected.totals(); traces != 20 || spans != 60 {
		t.Errorf("the rejected topic has %d traces and %d spans, want 20 and 60", traces, spans)
	}
	t.Logf("headers of the rejected topic: %v", reasons)
}

// A backend that refuses everything from the start is a wrong configuration: the node says so and is not ready, and when it is mended all
// arrives.
func TestBackendRefusesEverything(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	to.behave(func(context.Context, int, []byte) ([]byte, bool, error) {
		return nil, false, status.Error(codes.Unauthenticated, "who are you?")
	})
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	for i := range uint64(20) {
		if _, err := from.until(t.Context(), traceOf(i+1, true)); err != nil {
			t.Fatal(err)
		}
	}
	why, err := node.notReady()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(why, "otlp_grpc") || !strings.Contains(why, "who are you?") {
		t.Errorf("/readyz does not say who refuses, and what it answers: %q", why)
	}
	to.behave(acceptAll)
	node.ready()
	node.settled(time.Minute)
	if traces, spans, _ := to.got.totals(); traces != 20 || spans != 60 {
		t.Errorf("%d traces with %d spans arrived, want 20 and 60", traces, spans)
	}
	if rejected := readTopic(t, names.rejected); len(rejected) > 0 {
		t.Errorf("the rejected topic has records: %v", rejected)
	}
}

// A backend that takes a part of a request is not asked again, and the part that it refused is known.
func TestBackendPartialSuccess(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	partial := ptraceotlp.NewExportResponse()
	partial.PartialSuccess().SetRejectedSpans(1)
	partial.PartialSuccess().SetErrorMessage("one too many")
	answer, err := partial.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	to.behave(func(context.Context, int, []byte) ([]byte, bool, error) { return answer, true, nil })
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	if _, err := from.until(t.Context(), traceOf(1, true)); err != nil {
		t.Fatal(err)
	}
	node.settled(30 * time.Second)
	if n := to.asked(); n != 1 {
		t.Errorf("the backend was asked %d times, want once", n)
	}
	metric(t, node, `thresher_exporter_spans_total{exporter="otlp_grpc",outcome="partially_rejected"}`, 1)
}

// A backend that hangs does not hold up SIGTERM, and what it had not taken is delivered after the restart.
func TestTerminateWithHangingBackend(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	to.behave(func(ctx context.Context, _ int, _ []byte) ([]byte, bool, error) {
		<-ctx.Done()
		return nil, false, ctx.Err()
	})
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	from.load(t, traffic(7, 10_000), 30_000, nil)
	eventually(t, 20*time.Second, "the backend to be asked", func() error {
		if to.asked() == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	if took := node.stop(); took > 5*time.Second {
		t.Errorf("SIGTERM took %v", took)
	}
	to.behave(acceptAll)
	node.run()
	node.settled(time.Minute)
	judge(t, names.spans, rules()).compare(t, from.sent, to.got)
}
