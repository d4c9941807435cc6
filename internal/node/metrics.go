package node

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"thresher/internal/export"
	"thresher/internal/receive"
	"thresher/sampler"
)

// newMetrics returns a registry that serves the metrics of the node. The parts count by themselves, in the partition
// machines without any clock or lock, so there are no instruments to update: each scrape reads the counts.
func newMetrics(n *Node) (*prometheus.Registry, *metric.MeterProvider, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(
		otelprom.WithRegisterer(registry),
		otelprom.WithProducer(producer{n}),
		otelprom.WithoutScopeInfo(),
		otelprom.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("metrics: %w", err)
	}
	return registry, metric.NewMeterProvider(metric.WithReader(exporter)), nil
}

// producer turns a Status into metrics. Labels are bounded by the configuration: policies, partitions, exporters,
// receivers, outcomes. There is never a trace ID.
type producer struct{ n *Node }

// Produce is called once for each scrape.
func (p producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	return produce(p.n.Status(), p.n.views(), p.n.started), nil
}

// produce declares every metric.
func produce(s Status, views []*view, started time.Time) []metricdata.ScopeMetrics {
	m := &series{start: started, now: time.Now()}
	l := &s.Ledger

	m.sum("thresher.spans.received", "{span}", "Spans read from the log. The sum of thresher_spans_total over all outcomes, and thresher_spans_in_flight.", num(l.Received))
	m.sum("thresher.spans", "{span}", "Spans by what became of them: late ones follow the decision that was made, duplicates came twice, "+
		"invalid ones have no valid IDs, moved ones are received once more in the partition of their trace.",
		num(l.Kept, "outcome", "kept"), num(l.Dropped, "outcome", "dropped"),
		num(l.LateKept, "outcome", "late_kept"), num(l.LateDropped, "outcome", "late_dropped"),
		num(l.Duplicate, "outcome", "duplicate"), num(l.Invalid, "outcome", "invalid"), num(l.Moved, "outcome", "moved"))
	m.sum("thresher.spans.misplaced", "{span}", "Spans that were not in the partition of their trace, late ones of a decided trace aside: a producer "+
		"of the spans topic uses another hash or key. See kafka.spans.misplaced.", num(l.Misplaced))
	m.gauge("thresher.spans.in_flight", "{span}", "Spans of traces that are not decided yet.", num(l.InFlight))
	m.sum("thresher.spans.rebuilt", "{span}", "Spans read again after a restart to recognise late spans; counted nowhere else.", num(l.Rebuilt))

	m.policies(s.Policies)
	m.sum("thresher.traces.flagged", "{trace}", "Decided traces with a peculiarity: early = decided by size, evicted = decided before their time for lack of memory, rootless = no root span came, "+
		"spilled = read again from the log, lost = could not be read again, rescued = dropped, and kept since a late span that a policy of rescue_on matched, "+
		"unsure = kept because it may be the rest of a trace whose decision nobody remembers, "+
		"misplaced = opened in a partition where the trace does not belong, and so decided in parts.",
		num(l.EarlyTraces, "flag", "early"), num(l.EvictedTraces, "flag", "evicted"), num(l.RootlessTraces, "flag", "rootless"), num(l.SpilledTraces, "flag", "spilled"),
		num(l.LostTraces, "flag", "lost"), num(l.RescuedTraces, "flag", "rescued"), num(l.UnsureTraces, "flag", "unsure"),
		num(l.MisplacedTraces, "flag", "misplaced"))
	m.sum("thresher.decisions.forgotten", "{trace}", "Decisions forgotten before their time for lack of room: their late spans are decided alone.", num(l.Forgotten))
	m.sum("thresher.late.span.ids.forgotten", "{trace}", "Kept traces whose span IDs were forgotten for lack of room: late spans that come twice are delivered twice.", num(l.ForgottenIDs))
	m.sum("thresher.deliveries.recognised", "{delivery}", "Deliveries decided again after a restart and known to have arrived before it.", num(l.Redelivered))
	m.sum("thresher.records.damaged", "{record}", "Log records that could not be decoded; see the rejected topic.", num(l.DamagedRecords))
	m.sum("thresher.received", "By", "Span bytes read from the log.", num(l.BytesIn))
	m.sum("thresher.kept", "By", "Span bytes kept.", num(l.BytesKept))

	m.gauge("thresher.traces.open", "{trace}", "Traces that are not decided yet.", num(uint64(s.OpenTraces)))
	m.gauge("thresher.buffered", "By", "Memory of the spans of open traces.", num(uint64(s.Buffered)))
	m.gauge("thresher.memory.total", "By", "Memory that the process has from the operating system.", num(s.Memory))
	m.memory(s.Places)
	m.gauge("thresher.ready", "", "1 if /readyz says so.", num(bit(s.Ready)))
	m.ages(views)

	m.sum("thresher.partitions.forgetful", "{partition}", "Partitions taken over of whose log too little was left to remember earlier decisions.", num(s.Forgetful))

	var lag, lagSeconds, unsettled, age, held, ahead []point
	var leaps, falls uint64
	for _, v := range views {
		leaps += v.stats.TimeLeaps
		falls += v.stats.TimeFalls
	}
	m.sum("thresher.time.jumps", "{record}", "Records stamped more than 10 s ahead of the one before, or behind all clocks that are known: wrong or mended clocks of brokers, or silence.",
		num(leaps, "direction", "forward"), num(falls, "direction", "back"))
	for _, q := range s.Partitions {
		no := strconv.Itoa(int(q.Partition))
		lag = append(lag, num(uint64(q.LagRecords), "partition", no))
		lagSeconds = append(lagSeconds, real(q.LagSeconds, "partition", no))
		unsettled = append(unsettled, num(uint64(max(0, q.NextOffset-q.ResumeOffset)), "partition", no))
		age = append(age, real(q.CheckpointAge, "partition", no))
		held = append(held, num(bit(q.Held), "partition", no))
		ahead = append(ahead, real(q.StampsAhead, "partition", no))
	}
	m.gauge("thresher.lag.records", "{record}", "Records in the log that are not read yet.", lag...)
	m.gauge("thresher.lag", "s", "Age of the oldest record in the log that is not read yet, as far as is known; 0 if all are.", lagSeconds...)
	m.gauge("thresher.unsettled.records", "{record}", "Records between the resume offset and the next one: what a restart decides again.", unsettled...)
	m.gauge("thresher.checkpoint.age", "s", "Time since the checkpoint was stored that holds now.", age...)
	m.gauge("thresher.partition.held", "", "1 while the partition waits because the backends have not taken what was kept.", held...)

	m.gauge("thresher.time.ahead", "s", "How far the timestamps of the log are ahead of the time that decides: what clocks have leapt since the log was first read.", ahead...)

	m.exporters(s.Exporters)
	m.receivers(s)
	m.kafka(s)
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: "thresher"}, Metrics: m.out}}
}

func (m *series) policies(all map[string]PolicyCount) {
	var traces, spans, bytes, soleTraces, soleSpans, soleBytes, rescued, missed, erred, failed []point
	for name, c := range all {
		traces = append(traces, num(c.KeptTraces, "decision", "kept", "policy", name), num(c.DroppedTraces, "decision", "dropped", "policy", name))
		spans = append(spans, num(c.KeptSpans, "decision", "kept", "policy", name), num(c.DroppedSpans, "decision", "dropped", "policy", name))
		bytes = append(bytes, num(c.KeptBytes, "policy", name))
		soleTraces = append(soleTraces, num(c.SoleTraces, "policy", name))
		soleSpans = append(soleSpans, num(c.SoleSpans, "policy", name))
		soleBytes = append(soleBytes, num(c.SoleBytes, "policy", name))
		rescued = append(rescued, num(c.RescuedTraces, "policy", name))
		missed = append(missed, num(c.MissedSpans, "policy", name))
		erred = append(erred, num(c.ErrorTraces, "policy", name))
		failed = append(failed, num(c.FailedTraces, "policy", name))
	}
	m.sum("thresher.traces", "{trace}", "Decided traces by decision and deciding policy.", traces...)
	m.sum("thresher.policy.spans", "{span}", "Spans of decided traces by decision and deciding policy.", spans...)
	m.sum("thresher.policy.kept", "By", "Span bytes kept, by deciding policy.", bytes...)
	m.sum("thresher.policy.sole.traces", "{trace}", "Traces that no other policy would have kept: what would not be kept without this one.", soleTraces...)
	m.sum("thresher.policy.sole.spans", "{span}", "Spans of traces that no other policy would have kept.", soleSpans...)
	m.sum("thresher.policy.sole", "By", "Span bytes of traces that no other policy would have kept: what removing the policy would save.", soleBytes...)
	m.sum("thresher.policy.rescued.traces", "{trace}", "Traces that were dropped, and are kept since a late span that this policy of rescue_on matched.", rescued...)
	m.sum("thresher.policy.missed.spans", "{span}", "Late spans of dropped traces that the policy would have kept, had they come before the decision: "+
		"part of the spans late_dropped, and 0 for policies that one span alone does not tell. See thresher_missed_delay_seconds.", missed...)
	m.sum("thresher.policy.error.traces", "{trace}", "Decided traces with a span for which a condition in the policy could not be evaluated, and none of which it was true. "+
		"With error_mode ignore or silent that is as good as false.", erred...)
	m.sum("thresher.policy.failed.traces", "{trace}", "Those of thresher_policy_error_traces_total on which the policy had no vote: error_mode propagate.", failed...)
}

func (m *series) exporters(all []export.ExporterStats) {
	var spans, traces, bytes, requests, retries, errors, queue, failing, refused []point
	latency := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
	for _, e := range all {
		id := e.ID
		spans = append(spans, num(e.Spans, "exporter", id, "outcome", "accepted"), num(e.RejectedSpans, "exporter", id, "outcome", "rejected"),
			num(e.PartialSpans, "exporter", id, "outcome", "partially_rejected"), num(e.DiscardedSpans, "exporter", id, "outcome", "discarded"))
		traces = append(traces, num(e.Traces, "exporter", id, "outcome", "accepted"), num(e.RejectedTraces, "exporter", id, "outcome", "rejected"),
			num(e.DiscardedTraces, "exporter", id, "outcome", "discarded"))
		bytes = append(bytes, num(e.Bytes, "exporter", id))
		requests = append(requests, num(e.Requests, "exporter", id))
		retries = append(retries, num(e.Retries, "exporter", id))
		for kind, count := range e.Errors {
			errors = append(errors, num(count, "exporter", id, "kind", kind))
		}
		queue = append(queue, num(uint64(max(0, e.QueueBytes)), "exporter", id))
		failing = append(failing, num(bit(e.Failing), "exporter", id))
		refused = append(refused, num(bit(e.Refusal != nil), "exporter", id))
		h := metricdata.HistogramDataPoint[float64]{
			Attributes: attribute.NewSet(attribute.String("exporter", id)), StartTime: m.start, Time: m.now,
			Count: e.Latency.Count, Sum: e.Latency.Sum.Seconds(), BucketCounts: e.Latency.Buckets[:],
		}
		for _, b := range export.LatencyBuckets {
			h.Bounds = append(h.Bounds, b.Seconds())
		}
		latency.DataPoints = append(latency.DataPoints, h)
	}
	m.sum("thresher.exporter.spans", "{span}", "Spans handed to a backend, by what it said.", spans...)
	m.sum("thresher.exporter.traces", "{trace}", "Traces handed to a backend, by what it said.", traces...)
	m.sum("thresher.exporter.sent", "By", "Payload bytes accepted by a backend, before compression.", bytes...)
	m.sum("thresher.exporter.requests", "{request}", "Requests to a backend.", requests...)
	m.sum("thresher.exporter.retries", "{request}", "Requests that are tried again.", retries...)
	m.sum("thresher.exporter.errors", "{request}", "Requests that failed, by kind.", errors...)
	m.gauge("thresher.exporter.queue", "By", "Payload bytes waiting for a backend.", queue...)
	m.gauge("thresher.exporter.failing", "", "1 while the backend does not take anything.", failing...)
	m.gauge("thresher.exporter.refused", "", "1 while the backend accepts nothing and blames the traces or the configuration: a person has to look. They are held; /api/status has the answer.", refused...)
	m.add("thresher.exporter.latency", "s", "From the decision until the backend has accepted.", latency)
}

func (m *series) receivers(s Status) {
	var spans, requests, bytes, inflight []point
	for name, r := range s.Receivers {
		for _, p := range []struct {
			protocol string
			c        receive.ProtocolStats
		}{{"grpc", r.GRPC}, {"http", r.HTTP}} {
			add := func(to *[]point, v uint64, outcome string) {
				*to = append(*to, num(v, "receiver", name, "protocol", p.protocol, "outcome", outcome))
			}
			add(&spans, p.c.Spans, "accepted")
			add(&spans, p.c.InvalidSpans(), "invalid")
			add(&spans, p.c.OversizedSpans, "oversized")
			add(&requests, p.c.Accepted, "accepted")
			add(&requests, p.c.Malformed, "malformed")
			add(&requests, p.c.TooLarge, "too_large")
			add(&requests, p.c.Rejected, "rejected")
			add(&requests, p.c.Unsupported, "unsupported")
			add(&requests, p.c.Overloaded, "overloaded")
			add(&requests, p.c.Unpublished, "unpublished")
			add(&requests, p.c.Abandoned, "abandoned")
			bytes = append(bytes, num(p.c.Bytes, "receiver", name, "protocol", p.protocol))
		}
		inflight = append(inflight, num(uint64(max(0, r.InflightBytes)), "receiver", name))
	}
	m.sum("thresher.receiver.spans", "{span}", "Spans sent to a receiver: accepted = acknowledged by Kafka.", spans...)
	m.sum("thresher.receiver.requests", "{request}", "Requests to a receiver by their answer; overloaded and unpublished ones are sent again by their clients.", requests...)
	m.sum("thresher.receiver.accepted", "By", "Bodies of accepted requests, uncompressed.", bytes...)
	m.gauge("thresher.receiver.inflight", "By", "Request bodies that Kafka has not acknowledged yet.", inflight...)
}

func (m *series) kafka(s Status) {
	k := s.Kafka
	m.gauge("thresher.kafka.connected", "", "1 while Kafka answers and every partition of the spans topic has a leader.", num(bit(k.Connected)))
	m.sum("thresher.kafka.records", "{record}", "Records of the spans topic.", num(k.ConsumedRecords, "direction", "read"), num(k.ProducedRecords, "direction", "written"))
	m.sum("thresher.kafka.values", "By", "Record values of the spans topic, uncompressed.", num(k.ConsumedBytes, "direction", "read"), num(k.ProducedBytes, "direction", "written"))
	m.sum("thresher.kafka.errors", "{error}", "What Kafka did not do when it was asked to.",
		num(k.FetchErrors, "operation", "fetch"), num(k.ProduceErrors, "operation", "produce"), num(k.RejectErrors, "operation", "reject"),
		num(k.CheckpointErrors, "operation", "checkpoint"), num(k.CommitErrors, "operation", "commit"), num(k.TickErrors, "operation", "tick"))
	m.sum("thresher.ticks", "{record}", "Records without spans that were appended because traces waited for time to pass in a silent partition.", num(k.Ticks))
	m.sum("thresher.kafka.lost.records", "{record}", "Records that were gone before they were read. Anything but 0 is loss.", num(k.LostRecords))
	m.sum("thresher.kafka.gaps", "{gap}", "Jumps over records that were gone before they were read, and logs that were cut: loss, see the metric of lost records.", num(k.Gaps))
	m.sum("thresher.rejected.records", "{record}", "Records written to the rejected topic.", num(k.RejectedRecords))
	m.gauge("thresher.rejected.waiting", "{record}", "Records that are to be written to the rejected topic and are not there yet. Their offsets are not settled.", num(uint64(max(0, k.RejectWaiting))))
	m.sum("thresher.checkpoints", "{checkpoint}", "Checkpoints stored.", num(k.CheckpointWrites))
	m.gauge("thresher.kafka.paused.partitions", "{partition}", "Partitions that are not fetched because what was fetched is not taken.", num(uint64(max(0, k.PausedPartitions))))
	m.gauge("thresher.kafka.queued", "By", "Records read and not yet taken by their partition.", num(uint64(max(0, k.QueuedBytes))))
}

// ages are the histograms of how long after the first span of a trace something was.
func (m *series) ages(views []*view) {
	delay, missed := m.age(), m.age()
	for _, v := range views {
		delay.add(&v.stats.DecisionAge, v.stats.DecisionAgeSum)
		missed.add(&v.stats.MissedAge, v.stats.MissedAgeSum)
	}
	m.histogram("thresher.decision.delay", "From the first span of a trace to its decision, in time of the log.", delay)
	m.histogram("thresher.missed.delay", "From the first span of a dropped trace to a late span that a policy would have kept it for, in time of the log: "+
		"with decision_wait and decision_wait_after_root_received above it the trace would have been kept.", missed)
}

type ageHistogram metricdata.HistogramDataPoint[float64]

func (m *series) age() *ageHistogram {
	h := &ageHistogram{BucketCounts: make([]uint64, len(sampler.AgeBounds)+1), StartTime: m.start, Time: m.now}
	for _, b := range sampler.AgeBounds {
		h.Bounds = append(h.Bounds, float64(b)/1000)
	}
	return h
}

func (h *ageHistogram) add(counts *[len(sampler.AgeBounds) + 1]uint64, milliseconds uint64) {
	for i, c := range counts {
		h.BucketCounts[i] += c
		h.Count += c
	}
	h.Sum += float64(milliseconds) / 1000
}

func (m *series) histogram(name, help string, h *ageHistogram) {
	points := []metricdata.HistogramDataPoint[float64]{metricdata.HistogramDataPoint[float64](*h)}
	m.add(name, "s", help, metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality})
}

// series collects metrics of one scrape.
type series struct {
	start, now time.Time
	out        []metricdata.Metrics
}

type point struct {
	value  float64
	labels []string
}

func num(v uint64, labels ...string) point   { return point{float64(v), labels} }
func real(v float64, labels ...string) point { return point{v, labels} }

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (m *series) add(name, unit, help string, data metricdata.Aggregation) {
	m.out = append(m.out, metricdata.Metrics{Name: name, Unit: unit, Description: help, Data: data})
}

func (m *series) sum(name, unit, help string, points ...point) {
	m.add(name, unit, help, metricdata.Sum[float64]{DataPoints: m.points(points), Temporality: metricdata.CumulativeTemporality, IsMonotonic: true})
}

func (m *series) gauge(name, unit, help string, points ...point) {
	m.add(name, unit, help, metricdata.Gauge[float64]{DataPoints: m.points(points)})
}

func (m *series) points(in []point) []metricdata.DataPoint[float64] {
	out := make([]metricdata.DataPoint[float64], len(in))
	for i, p := range in {
		var kv []attribute.KeyValue
		for j := 0; j+1 < len(p.labels); j += 2 {
			kv = append(kv, attribute.String(p.labels[j], p.labels[j+1]))
		}
		out[i] = metricdata.DataPoint[float64]{Attributes: attribute.NewSet(kv...), StartTime: m.start, Time: m.now, Value: p.value}
	}
	return out
}
