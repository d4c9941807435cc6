//go:build e2e

package e2e

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/sampling"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/internal/config"
	"thresher/internal/twin"
	"thresher/policies"
	"thresher/sampler"
)

// collectorBlock is what may stand in a Collector's tail_sampling, and an adaptive policy.
const collectorBlock = `
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: probe, type: string_attribute, string_attribute: {key: http.route, values: [/healthz]}}]}}
    - name: some-errors
      type: and
      and:
        and_sub_policy:
          - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
          - {name: not-too-many, type: rate_limiting, rate_limiting: {spans_per_second: 60}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
    - {name: vip, type: ottl_condition, ottl_condition: {error_mode: ignore, span: ['attributes["user.tier"] == "vip"']}}
    - {name: few, type: probabilistic, probabilistic: {sampling_percentage: 1}}
    - {name: goal, type: adaptive, adaptive: {keys: [service.name, span.name], sampling_percentage: 3, adjustment_period: 10s}}
    - {name: rate, type: rate_limiting, rate_limiting: {spans_per_second: 40}}`

// Policies that depend on other traces go on over kill -9 as if nothing had happened: the backend has what one undisturbed machine
// makes of the log, byte for byte, with who decided and with what probability. And from these the traffic can be told.
func TestPoliciesOverKills(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	node := configure(t, names, settings{
		// No trace lives twice, and yet a restart does not begin at the beginning.
		exporters: otlpTo(to), lateWindow: "15s", policies: collectorBlock,
		marks:    "  reasons: root\n  thresholds: true\n",
		sampling: "  num_traces: 50000\n  expected_new_traces_per_sec: 400\n  decision_cache: {sampled_cache_size: 100000}\n",
	}).run()
	from := newSender(t, node.grpc)
	// 75 s: the states of policies that a restart begins with are 30 s of the log apart.
	kills := []int{200_000, 260_000}
	from.load(t, traffic(4, 4000), 300_000, func(sent int) {
		if len(kills) > 0 && sent >= kills[0] {
			kills = kills[1:]
			node.kill()
			node.start()
		}
	})
	if len(kills) > 0 {
		t.Fatal("the load ended before the last kill")
	}
	node.settled(2 * time.Minute)
	node.stop()

	log := readTopic(t, names.spans)
	want := undisturbed(t, node, log)
	missing, extra, altered := differences(want.kept, want.book, to.got)
	if len(missing)+len(extra)+len(altered) > 0 {
		t.Errorf("not what an undisturbed run delivers: %d of %d spans are missing: %s\nextra: %s\naltered: %s", len(missing), want.book.spans,
			some(missing), some(extra), some(altered))
	}
	for _, name := range []string{"some-errors", "slow", "vip", "few", "goal", "rate"} {
		if want.policies[name] == 0 {
			t.Errorf("%s has decided nothing: %v", name, want.policies)
		}
	}
	if states := statesStored(t, names); states == 0 {
		t.Error("no checkpoint has a state of policies from within the run")
	}
	_, different, spans := to.got.totals()
	t.Logf("%d spans delivered, %d of them twice; by policy %v", different, spans-different, want.policies)
	extrapolate(t, log, want.delivered)
}

// outcome is what a machine makes of the log.
type outcome struct {
	book      *book
	kept      map[pcommon.TraceID]map[twin.SpanKey]bool
	policies  map[string]uint64 // kept traces
	delivered []ptrace.Traces
}

// undisturbed reads the log from its beginning to its end by the configuration of a node.
func undisturbed(t testing.TB, n *node, log map[int32][]*kgo.Record) outcome {
	t.Helper()
	cfg, err := config.Load(n.file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{book: newBook(), kept: map[pcommon.TraceID]map[twin.SpanKey]bool{}, policies: map[string]uint64{}}
	for _, records := range log {
		m, err := sampler.New(sampler.Limits{LateWindow: cfg.Sampling.LateWindow.Milliseconds()}, sampler.Settings{
			Plan: cfg.Plan, DecisionWait: cfg.Sampling.DecisionWait.Milliseconds(), RootWait: cfg.Sampling.DecisionWaitAfterRoot.Milliseconds(),
			Marks: cfg.Sampling.Marks,
		})
		if err != nil {
			t.Fatal(err)
		}
		take := func() {
			for _, d := range m.Effects().Deliveries {
				o.deliver(t, d.Payload)
			}
			m.Clear()
		}
		for _, r := range records {
			if err := m.Record(sampler.Offset(r.Offset), r.Timestamp.UnixMilli(), r.Value); err != nil {
				t.Fatal(err)
			}
			take()
		}
		m.Elapse(cfg.Sampling.DecisionWait.Milliseconds() + policies.Tick)
		take()
		for _, p := range m.Stats().Policies {
			o.policies[p.Name] += p.KeptTraces
		}
		m.Release()
	}
	for id, spans := range o.book.traces {
		o.kept[id] = map[twin.SpanKey]bool{}
		for key := range spans {
			o.kept[id][key] = true
		}
	}
	return o
}

func (o *outcome) deliver(t testing.TB, payload []byte) {
	t.Helper()
	if err := o.book.enter(payload); err != nil {
		t.Fatal(err)
	}
	var unmarshaler ptrace.ProtoUnmarshaler
	td, err := unmarshaler.UnmarshalTraces(payload)
	if err != nil {
		t.Fatal(err)
	}
	o.delivered = append(o.delivered, td)
}

// statesStored counts the partitions whose last checkpoint has a state of policies that is younger than the first record.
func statesStored(t testing.TB, n names) (count int) {
	t.Helper()
	began := map[int32]int64{}
	for partition, records := range readTopic(t, n.spans) {
		began[partition] = records[0].Timestamp.UnixMilli()
	}
	last := map[string]*kgo.Record{}
	for _, records := range readTopic(t, n.checkpoints) {
		for _, r := range records {
			last[string(r.Key)] = r
		}
	}
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	for key, r := range last {
		if len(r.Value) == 0 {
			continue // of an earlier owner, and retired
		}
		const envelope = 1 + 16 // version, ID of the topic
		var c sampler.Checkpoint
		plain, err := unpack.DecodeAll(r.Value[envelope:], nil)
		if err == nil {
			err = c.UnmarshalBinary(plain)
		}
		if err != nil {
			t.Errorf("checkpoint of %s: %v", key, err)
		}
		if len(c.State) > 0 && c.StateAt > began[r.Partition] {
			count++
		}
	}
	return count
}

// extrapolate holds what delivered spans say of probabilities against pkg/sampling, and the number of requests told from the roots that
// were delivered against the number in the log.
func extrapolate(t testing.TB, log map[int32][]*kgo.Record, delivered []ptrace.Traces) {
	t.Helper()
	var estimate, variance float64
	var roots, uncertain int
	for _, td := range delivered {
		eachSpan(td, func(s ptrace.Span) {
			threshold := sampledBy(t, s)
			if !s.ParentSpanID().IsEmpty() {
				return
			}
			roots++
			policy, _ := s.Attributes().Get("thresher.policy")
			p, told := s.Attributes().Get("thresher.probability")
			if policy.AsString() == "" || !told || math.Abs(p.Double()-threshold.Probability()) > 1e-12 {
				t.Errorf("root %v of %v: policy %q, probability %v, by its tracestate %q %v", s.SpanID(), s.TraceID(), policy.AsString(), p.AsRaw(),
					s.TraceState().AsRaw(), threshold.Probability())
			}
			estimate += threshold.AdjustedCount()
			variance += (1 - p.Double()) / (p.Double() * p.Double())
			if p.Double() < 1 {
				uncertain++
			}
		})
	}
	truth := requests(t, log)
	off, sigma := estimate-float64(truth), math.Sqrt(variance)
	t.Logf("%d requests told from %d of them (%d by chance): %.0f, off by %.1f sigma of %.1f %%", truth, roots, uncertain, estimate, off/sigma,
		100*sigma/float64(truth))
	if math.Abs(off) > 5*sigma || sigma > 0.1*float64(truth) || uncertain < 100 {
		t.Errorf("estimated %.0f of %d requests from %d, standard error %.0f", estimate, truth, roots, sigma)
	}
}

// sampledBy returns the threshold that a span tells, which its randomness must reach.
func sampledBy(t testing.TB, s ptrace.Span) sampling.Threshold {
	t.Helper()
	state, err := sampling.NewW3CTraceState(s.TraceState().AsRaw())
	if err != nil {
		t.Fatalf("span %v of %v: tracestate %q: %v", s.SpanID(), s.TraceID(), s.TraceState().AsRaw(), err)
	}
	threshold, told := state.OTelValue().TValueThreshold()
	randomness, explicit := state.OTelValue().RValueRandomness()
	if !explicit {
		randomness = sampling.TraceIDToRandomness(s.TraceID())
	}
	if !told || !threshold.ShouldSample(randomness) {
		t.Errorf("span %v of %v: the threshold in %q is not one that its randomness %s reaches", s.SpanID(), s.TraceID(),
			s.TraceState().AsRaw(), randomness.RValue())
	}
	return threshold
}

// requests counts the different roots in the log, without health checks.
func requests(t testing.TB, log map[int32][]*kgo.Record) (count int) {
	t.Helper()
	roots, checks := map[pcommon.TraceID]map[pcommon.SpanID]bool{}, map[pcommon.TraceID]bool{}
	var unmarshaler ptrace.ProtoUnmarshaler
	for _, records := range log {
		for _, r := range records {
			td, err := unmarshaler.UnmarshalTraces(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			eachSpan(td, func(s ptrace.Span) {
				if route, ok := s.Attributes().Get("http.route"); ok && route.Str() == "/healthz" {
					checks[s.TraceID()] = true
				}
				if s.ParentSpanID().IsEmpty() {
					if roots[s.TraceID()] == nil {
						roots[s.TraceID()] = map[pcommon.SpanID]bool{}
					}
					roots[s.TraceID()][s.SpanID()] = true
				}
			})
		}
	}
	for id, spans := range roots {
		if !checks[id] {
			count += len(spans)
		}
	}
	return count
}

func eachSpan(td ptrace.Traces, f func(ptrace.Span)) {
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				f(s)
			}
		}
	}
}
