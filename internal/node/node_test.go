package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // what the exporter sends by default
	"google.golang.org/grpc/status"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/kafka"
	"thresher/internal/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitionCount = 4

// backend is an OTLP server that remembers how often each span came.
type backend struct {
	ptraceotlp.UnimplementedGRPCServer
	addr   string
	server *grpc.Server
	mu     sync.Mutex
	spans  map[string]int // by trace and span
	last   map[string]ptrace.Span
	said   map[string][]string // why they are kept
	refuse error
	large  error // answers requests above 1 KiB
}

func startBackend(t *testing.T) *backend {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &backend{addr: l.Addr().String(), server: grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20)),
		spans: map[string]int{}, last: map[string]ptrace.Span{}, said: map[string][]string{}}
	ptraceotlp.RegisterGRPCServer(b.server, b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.server.Serve(l)
	}()
	t.Cleanup(func() { b.server.Stop(); <-done })
	return b
}

func (b *backend) Export(_ context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return ptraceotlp.NewExportResponse(), b.refuse
	}
	if data, err := req.MarshalProto(); b.large != nil && (err != nil || len(data) > 1<<10) {
		return ptraceotlp.NewExportResponse(), b.large
	}
	eachSpan(req.Traces(), func(s ptrace.Span) {
		name := nameOf(s)
		b.spans[name]++
		b.last[name] = s
		b.said[name] = append(b.said[name], reasonOn(s))
	})
	return ptraceotlp.NewExportResponse(), nil
}

func spanName(id pcommon.TraceID, k twin.SpanKey) string {
	return fmt.Sprintf("%x/%x/%v", [16]byte(id), [8]byte(k.ID), k.Server)
}

func (b *backend) setRefuse(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = err
}

// setRefuseBig refuses large requests only.
func (b *backend) setRefuseBig(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse, b.large = nil, err
}

func (b *backend) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.spans))
}

func (b *backend) twice() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.spans {
		if c > 1 {
			n++
		}
	}
	return n
}

const testPolicies = `
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: r, type: string_attribute, string_attribute: {key: http.route, values: [/healthz]}}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
    - {name: ten, type: probabilistic, probabilistic: {sampling_percentage: 10}}
`

func testTwin() twin.Set {
	return twin.Set{
		{Name: "health", Policy: twin.Drop{twin.StringAttribute{Key: "http.route", Values: []string{"/healthz"}}}},
		{Name: "errors", Policy: twin.StatusCode{ptrace.StatusCodeError}},
		{Name: "slow", Policy: twin.Latency{ThresholdMs: 1000}},
		{Name: "ten", Policy: twin.Probabilistic{Percentage: 10}},
	}
}

func testConfig(t *testing.T, broker, backend string) *config.Config {
	t.Helper()
	return configWith(t, broker, backend, "late_window: 1500ms\n  policies:\n"+testPolicies)
}

// configWith is the configuration with more lines of the section sampling, indented by two but for the first.
func configWith(t *testing.T, broker, backend, sampling string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test", fmt.Appendf(nil, `
kafka: {brokers: [%q], spans: {partitions: %d, allow_create_time: true}, tick_interval: 100ms}
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:0"}, http: {endpoint: "127.0.0.1:0"}}}}
exporters: {otlp_grpc: {endpoint: %q, tls: {insecure: true}, retry_on_failure: {initial_interval: 50ms, max_interval: 200ms}}}
node: {listen: "127.0.0.1:0", memory_limit: 1GiB}
sampling:
  decision_wait: 600ms
  decision_wait_after_root_received: 200ms
  %s`, broker, partitionCount, backend, sampling), func(string) (string, bool) { return "", false })
	require.NoError(t, err)
	return cfg
}

// live is a node in this process.
type live struct {
	*Node
	t     *testing.T
	stop  context.CancelFunc
	ended chan error
	http  string
}

func startNode(t *testing.T, cfg *config.Config) *live {
	t.Helper()
	return startChanged(t, cfg, func(*Node) {})
}

// startChanged starts a node of which something was changed that the configuration cannot.
func startChanged(t *testing.T, cfg *config.Config, change func(*Node)) *live {
	t.Helper()
	ready := make(chan struct{})
	n, err := New(cfg, Options{Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Version: "test", Ready: func() { close(ready) }})
	require.NoError(t, err)
	change(n)
	ctx, stop := context.WithCancel(context.Background())
	r := &live{Node: n, t: t, stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- n.Run(ctx) }()
	t.Cleanup(func() { r.end() })
	select {
	case <-ready:
	case err := <-r.ended:
		t.Fatalf("the node ended: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("the node did not start")
	}
	_, r.http = n.Addresses("otlp")
	return r
}

func (r *live) end() time.Duration {
	start := time.Now()
	r.stop()
	select {
	case err, ok := <-r.ended:
		if ok {
			require.NoError(r.t, err)
			close(r.ended)
		}
	case <-time.After(10 * time.Second):
		r.t.Fatal("the node did not stop")
	}
	return time.Since(start)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// send posts requests until they are taken.
func (r *live) send(reqs ...shop.Request) {
	for _, q := range reqs {
		require.Eventually(r.t, func() bool {
			resp, err := http.Post("http://"+r.http+"/v1/traces", "application/x-protobuf", bytes.NewReader(q.Data))
			if err != nil {
				return false
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}, 10*time.Second, 50*time.Millisecond)
	}
}

// get asks the node's own HTTP server.
func (r *live) get(path string) (int, string) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.web() + path)
	require.NoError(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(b)
}

// quiet waits until everything is decided and delivered.
func (r *live) quiet(spans int) Status {
	r.t.Helper()
	var s Status
	require.Eventually(r.t, func() bool {
		s = r.Status()
		unsettled := 0
		for _, p := range s.Partitions {
			unsettled += p.Unsettled
		}
		return int(s.Ledger.Received) >= spans && s.Ledger.InFlight == 0 && unsettled == 0
	}, 20*time.Second, 20*time.Millisecond)
	require.True(r.t, s.Ledger.Balanced(), "%+v", s.Ledger)
	return s
}

// oracle reads the whole log and lets the naive twin decide it.
func oracle(t *testing.T, cfg *config.Config) (kept []string, ledger twin.Ledger) {
	t.Helper()
	client, err := kafka.New(cfg.Kafka, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer client.Close()
	ctx := context.Background()
	require.NoError(t, client.Ensure(ctx))
	for p := range int32(partitionCount) {
		ends, err := client.EndOffsets(ctx, []int32{p})
		require.NoError(t, err)
		var log []twin.Record
		require.NoError(t, client.ReadRange(ctx, p, 0, ends[p], func(r kafka.Record) error {
			log = append(log, twin.Record{Offset: r.Offset, TimestampMs: r.Timestamp, Value: bytes.Clone(r.Value)})
			return nil
		}))
		res := twin.Run(log, twin.Rules{DecisionWaitMs: 600, AfterRootMs: 200, LateWindowMs: 1500, Decide: testTwin().Decide}, 1<<50)
		for _, tr := range res.Decided {
			if !tr.Keep {
				continue
			}
			for _, k := range slices.Concat(tr.Spans, tr.Late) {
				kept = append(kept, spanName(tr.ID, k))
			}
		}
		ledger.Received += res.Ledger.Received
		ledger.Kept += res.Ledger.Kept
		ledger.Dropped += res.Ledger.Dropped
		ledger.LateKept += res.Ledger.LateKept
		ledger.LateDropped += res.Ledger.LateDropped
		ledger.Duplicate += res.Ledger.Duplicate
	}
	slices.Sort(kept)
	return slices.Compact(kept), ledger
}

func traffic(seed int64, spans int) (reqs []shop.Request) {
	cfg := shop.Default(seed)
	cfg.TracesPerSecond, cfg.DuplicateRate, cfg.LateRate, cfg.LateBy = 2000, 0.03, 0.05, 300*time.Millisecond
	s := shop.New(cfg)
	for n := 0; n < spans; {
		r := s.Next()
		n += r.Spans
		reqs = append(reqs, r)
	}
	return reqs
}

func count(reqs []shop.Request) (n int) {
	for _, r := range reqs {
		n += r.Spans
	}
	return n
}

func startBroker(t *testing.T) *kafka.Embedded {
	b, err := kafka.StartEmbedded(kafka.EmbeddedOptions{Partitions: partitionCount})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// TestNodeDecidesAsTheTwin sends traffic through the whole node and compares what the backend got, and the ledger, with what the
// naive twin makes of the log.
func TestNodeDecidesAsTheTwin(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	n := startNode(t, cfg)
	reqs := traffic(1, 20_000)
	n.send(reqs...)
	s := n.quiet(count(reqs))
	kept, ledger := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	require.Zero(t, back.twice(), "nothing went wrong, so nothing comes twice")
	require.Equal(t, ledger, twin.Ledger{Received: int(s.Ledger.Received), Kept: int(s.Ledger.Kept), Dropped: int(s.Ledger.Dropped),
		LateKept: int(s.Ledger.LateKept), LateDropped: int(s.Ledger.LateDropped), Duplicate: int(s.Ledger.Duplicate)})

	code, body := n.get("/readyz")
	require.Equal(t, 200, code, body)
	_, body = n.get("/api/status")
	var status Status
	require.NoError(t, json.Unmarshal([]byte(body), &status))
	require.Equal(t, s.Ledger, status.Ledger)
	_, body = n.get("/metrics")
	for _, want := range []string{
		fmt.Sprintf(`thresher_spans_total{outcome="kept"} %d`, s.Ledger.Kept),
		`thresher_traces_total{decision="kept",policy="errors"}`, `thresher_lag_records{partition="3"} 0`,
		`thresher_decision_delay_seconds_bucket`, `thresher_exporter_latency_seconds_count{exporter="otlp_grpc"}`,
		fmt.Sprintf(`thresher_receiver_spans_total{outcome="accepted",protocol="http",receiver="otlp"} %d`, count(reqs)),
	} {
		require.Contains(t, body, want)
	}
	http.DefaultClient.CloseIdleConnections()
	require.Less(t, n.end(), 5*time.Second)
}

// TestDrainAndStart stops the node again and again while traffic flows: what the backend has in the end is what the twin says, and
// after an orderly stop nothing came twice.
func TestDrainAndStart(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	reqs := traffic(2, 16_000)
	quarter := len(reqs) / 4
	var n *live
	for i := range 4 {
		n = startNode(t, cfg)
		n.send(reqs[i*quarter : (i+1)*quarter]...)
		if i < 3 {
			n.end()
		}
	}
	n.quiet(0)
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	http.DefaultClient.CloseIdleConnections()
}

// TestBackendDown: while the backend refuses, kept traces wait and nothing is lost; what it refuses for good goes to the rejected topic.
func TestBackendDown(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	back.setRefuse(status.Error(codes.Unavailable, "not now"))
	cfg := testConfig(t, broker.Addr(), back.addr)
	n := startNode(t, cfg)
	reqs := traffic(3, 5000)
	n.send(reqs...)
	require.Eventually(t, func() bool { return n.Status().Ledger.KeptTraces > 10 }, 10*time.Second, 20*time.Millisecond)
	for _, p := range n.Status().Partitions {
		require.NotEqual(t, p.NextOffset, p.ResumeOffset, "what the backend has not taken holds the resume offset")
	}
	require.Empty(t, back.names())
	back.setRefuse(nil)
	n.quiet(count(reqs))
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())

	back.setRefuse(status.Error(codes.InvalidArgument, "bad trace"))
	before := n.Status()
	more := traffic(4, 3000)
	n.send(more...)
	s := n.quiet(count(reqs) + count(more))
	require.Positive(t, s.Exporters[0].RejectedTraces)
	require.Eventually(t, func() bool { return n.Status().Kafka.RejectedRecords > before.Kafka.RejectedRecords }, 5*time.Second, 20*time.Millisecond)
	http.DefaultClient.CloseIdleConnections()
}

// TestSpilledTracesAreReadAgain: with hardly any memory for spans, what is kept is read from Kafka again and arrives whole.
func TestSpilledTracesAreReadAgain(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	r := startChanged(t, cfg, func(n *Node) { n.limits.BufferBytes = 20_000 })
	reqs := traffic(5, 20_000)
	r.send(reqs...)
	s := r.quiet(count(reqs))
	require.Positive(t, s.Ledger.SpilledTraces)
	require.Zero(t, s.Ledger.LostTraces)
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	require.Zero(t, back.twice())
	http.DefaultClient.CloseIdleConnections()
}

// TestWaitsForKafka: a node without Kafka is alive and not ready, says why, and stops when it is told to. Its log says what it waits
// for, and what it would do.
func TestWaitsForKafka(t *testing.T) {
	cfg, said := testConfig(t, "127.0.0.1:1", "127.0.0.1:1"), &lines{}
	n, err := New(cfg, Options{Logger: slog.New(slog.NewTextHandler(said, nil))})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	require.Eventually(t, func() bool { return n.web() != "" }, 5*time.Second, 5*time.Millisecond)
	resp, err := http.Get("http://" + n.web() + "/readyz")
	require.NoError(t, err)
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Contains(t, string(b), "Kafka")
	require.Regexp(t, `brokers=127.0.0.1:1 topic=thresher.spans partitions=4 group=thresher kept_to=otlp_grpc dropped_to=nobody`,
		strings.Join(said.about("this node reads the topic"), ""))
	http.DefaultClient.CloseIdleConnections()
	stop()
	require.NoError(t, <-ended)
}

// TestTopicMadeAnew deletes and recreates the spans topic under a running node: it says so, begins anew, and goes on.
func TestTopicMadeAnew(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	n := startNode(t, cfg)
	first := traffic(6, 3000)
	n.send(first...)
	n.quiet(count(first))

	kc, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()))
	require.NoError(t, err)
	defer kc.Close()
	admin := kadm.NewClient(kc)
	_, err = admin.DeleteTopic(context.Background(), cfg.Kafka.Spans.Topic)
	require.NoError(t, err)
	large := strconv.Itoa(cfg.Kafka.Spans.MaxRecordBytes)
	_, err = admin.CreateTopic(context.Background(), partitionCount, 1, map[string]*string{"max.message.bytes": &large}, cfg.Kafka.Spans.Topic)
	require.NoError(t, err)

	before := len(back.names())
	second := traffic(7, 3000)
	n.send(second...)
	require.Eventually(t, func() bool {
		kept, _ := oracle(t, cfg)
		return len(kept) > 0 && len(back.names()) > before && subset(kept, back.names())
	}, 40*time.Second, 500*time.Millisecond, "what the new topic has is decided")
	http.DefaultClient.CloseIdleConnections()
}

func subset(part, whole []string) bool {
	for _, p := range part {
		if _, ok := slices.BinarySearch(whole, p); !ok {
			return false
		}
	}
	return true
}
