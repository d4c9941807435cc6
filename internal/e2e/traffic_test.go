//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"thresher/bench/shop"
)

// traffic is the shop's ordinary day at a pace of spans a second, with late spans that come after the decision.
func traffic(seed int64, spansPerSecond float64) shop.Config {
	cfg := shop.Default(seed)
	cfg.TracesPerSecond = spansPerSecond / shop.MeanSpans
	cfg.LateBy = 3 * time.Second
	return cfg
}

func otlpTo(b *backend) string {
	return fmt.Sprintf("{otlp_grpc: {endpoint: %q, tls: {insecure: true}}}", b.addr)
}

// A million spans go from OTLP through Kafka to the backend. The twin then decides what Kafka holds: the same traces are kept,
// each is delivered whole and once, byte for byte, and the ledger agrees to the span.
func TestMillionSpans(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{partitions: 16, exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	from.load(t, traffic(1, 40_000), 1_000_000, nil)
	report := node.settled(2 * time.Minute)

	v := judge(t, names.spans, rules())
	v.compare(t, from.sent, to.got)
	if report.Ledger != v.ledger {
		t.Errorf("ledger\n got %+v\nwant %+v", report.Ledger, v.ledger)
	}
	for name, traces := range v.policies {
		if got := report.Policies[name].KeptTraces; got != traces {
			t.Errorf("policy %s kept %d traces, the twin %d", name, got, traces)
		}
	}
	traces, _, spans := to.got.totals()
	if twice := to.got.twice(); len(twice) > 0 {
		t.Errorf("delivered twice: %s", some(twice))
	}
	if v.ledger.LateKept == 0 || v.ledger.LateDropped == 0 || v.ledger.Duplicate == 0 || len(v.policies) < 4 {
		t.Errorf("the traffic does not try everything: %+v %v", v.ledger, v.policies)
	}
	noLag(t, names, readTopic(t, names.spans))
	t.Logf("kept %d traces, %d spans; %+v; by policy %v", traces, spans, v.ledger, v.policies)
}

// The node is killed with SIGKILL twice under load and started again. Nothing is lost; what is delivered twice was delivered
// since the last checkpoint.
func TestKill(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	kills := []int{60_000, 130_000}
	from.load(t, traffic(2, 15_000), 200_000, func(sent int) {
		if len(kills) > 0 && sent >= kills[0] {
			kills = kills[1:]
			node.kill()
			node.start()
		}
	})
	if len(kills) > 0 {
		t.Fatal("the load ended before the last kill")
	}
	node.settled(time.Minute)
	judge(t, names.spans, rules()).compare(t, from.sent, to.got)
	traces, different, spans := to.got.totals()
	t.Logf("delivered %d traces, %d spans, %d of them twice", traces, different, spans-different)
	noLag(t, names, readTopic(t, names.spans))
}

// An orderly restart under load loses nothing either, delivers nothing twice and takes less than five seconds.
func TestTerminate(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{exporters: otlpTo(to)}).run()
	from := newSender(t, node.grpc)
	var took time.Duration
	from.load(t, traffic(3, 10_000), 80_000, func(sent int) {
		if took == 0 && sent >= 40_000 {
			took = node.stop()
			node.start()
		}
	})
	if took == 0 || took > 5*time.Second {
		t.Errorf("SIGTERM took %v", took)
	}
	node.settled(time.Minute)
	judge(t, names.spans, rules()).compare(t, from.sent, to.got)
	if twice := to.got.twice(); len(twice) > 0 {
		t.Errorf("delivered twice across an orderly restart: %s", some(twice))
	}
	t.Logf("SIGTERM took %v", took)
}
