package node

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sync/errgroup"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/kafka"
	"thresher/internal/twin"
	"thresher/sampler"
)

// sharedPolicies depend on other traces, each in another way. What they know must come along when a partition changes hands.
const sharedPolicies = `late_window: 4s
  reasons: all
  policies:
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: r, type: string_attribute, string_attribute: {key: http.route, values: [/healthz]}}]}}
    - name: some-errors
      type: and
      and:
        and_sub_policy:
          - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
          - {name: limit, type: rate_limiting, rate_limiting: {spans_per_second: 4, burst_capacity: 400}}
    - {name: slow, type: baseline_latency, baseline_latency: {keys: [service.name, span.name], quantile: 0.9, min_traces: 5, half_life: 1m}}
    - {name: kinds, type: diversity, diversity: {fingerprint: [service.name, span.name], traces: 2, period: 2m}}
    - {name: goal, type: adaptive, adaptive: {keys: [service.name, span.name], spans_per_second: 10, adjustment_period: 10s}}
    - {name: rest, type: bytes_limiting, bytes_limiting: {bytes_per_second: 4000}}
`

// logClock is the clock of a broker, ahead of everyone else's, so that minutes of log pass in seconds and no node hurries time on.
type logClock struct{ ms atomic.Int64 }

func newLogClock() *logClock {
	c := &logClock{}
	c.ms.Store(time.Now().Add(time.Hour).UnixMilli())
	return c
}

func (c *logClock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

// stream is the shop's traffic by the second.
type stream struct {
	s     *shop.Shop
	clock *logClock
	next  *shop.Request
	began int64
	until time.Duration
}

func newStream(clock *logClock, seed int64) *stream {
	cfg := shop.Default(seed)
	cfg.TracesPerSecond, cfg.ErrorRate, cfg.LateRate, cfg.LateBy = 12, 0.05, 0.05, 3*time.Second
	return &stream{s: shop.New(cfg), clock: clock, began: clock.ms.Load()}
}

// to sends what the shop says in the next seconds to the nodes in turn, in time of the log.
func (s *stream) to(t *testing.T, seconds int, nodes ...*live) {
	t.Helper()
	for range seconds {
		s.until += time.Second
		s.clock.ms.Store(s.began + s.until.Milliseconds())
		var parts [8][]byte // requests behind each other are a request
		for i := 0; ; i++ {
			if s.next == nil {
				r := s.s.Next()
				s.next = &r
			}
			if s.next.At >= s.until {
				break
			}
			parts[i%len(parts)] = append(parts[i%len(parts)], s.next.Data...)
			s.next = nil
		}
		var g errgroup.Group
		for i, part := range parts {
			g.Go(func() error { return nodes[i%len(nodes)].post(part) })
		}
		require.NoError(t, g.Wait())
	}
}

func (r *live) post(data []byte) error {
	resp, err := http.Post("http://"+r.http+"/v1/traces", "application/x-protobuf", bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", r.http, resp.Status)
	}
	return nil
}

// caughtUp waits until the nodes have read all that is in the log.
func caughtUp(t *testing.T, cfg *config.Config, nodes ...*live) {
	t.Helper()
	_, ends := readLog(t, cfg)
	require.Eventually(t, func() bool {
		for _, n := range nodes {
			for _, p := range n.Status().Partitions {
				if p.NextOffset < ends[p.Partition] || p.Rebuilding {
					return false
				}
			}
		}
		return true
	}, 30*time.Second, 10*time.Millisecond)
}

// readLog returns the records of the spans topic, by partition.
func readLog(t *testing.T, cfg *config.Config) (log [partitionCount][]kafka.Record, ends map[int32]int64) {
	t.Helper()
	client, err := kafka.New(cfg.Kafka, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer client.Close()
	ctx := context.Background()
	require.NoError(t, client.Ensure(ctx))
	var all []int32
	for p := range int32(partitionCount) {
		all = append(all, p)
	}
	ends, err = client.EndOffsets(ctx, all)
	require.NoError(t, err)
	for _, p := range all {
		require.NoError(t, client.ReadRange(ctx, p, 0, ends[p], func(r kafka.Record) error {
			r.Value = bytes.Clone(r.Value)
			log[p] = append(log[p], r)
			return nil
		}))
	}
	return log, ends
}

// undisturbed is what one machine a partition makes of the log: each span that it keeps, with why; and who decided how many traces.
func undisturbed(t *testing.T, cfg *config.Config) (kept map[string]string, policies map[string]uint64) {
	t.Helper()
	said := map[string][]string{}
	policies = map[string]uint64{}
	n, err := New(cfg, Options{Logger: slog.New(slog.DiscardHandler)}) // for its settings
	require.NoError(t, err)
	defer n.client.Close()
	log, _ := readLog(t, cfg)
	for _, records := range log {
		m, err := sampler.New(sampler.Limits{LateWindow: n.limits.LateWindow}, n.settings)
		require.NoError(t, err)
		for _, r := range records {
			require.NoError(t, m.Record(sampler.Offset(r.Offset), r.Timestamp, r.Value))
			for _, d := range m.Effects().Deliveries {
				td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(d.Payload)
				require.NoError(t, err)
				eachSpan(td, func(s ptrace.Span) { said[nameOf(s)] = append(said[nameOf(s)], reasonOn(s)) })
			}
			m.Clear()
		}
		for _, p := range m.Stats().Policies {
			policies[p.Name] += p.KeptTraces
		}
	}
	return distinct(said), policies
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

func nameOf(s ptrace.Span) string {
	return spanName(s.TraceID(), twin.SpanKey{ID: s.SpanID(), Server: s.Kind() == ptrace.SpanKindServer})
}

// reasonOn is what a delivered span says of its trace's verdict.
func reasonOn(s ptrace.Span) string {
	why := s.Attributes().AsRaw()
	return fmt.Sprintf("%v %v %s", why["thresher.policy"], why["thresher.probability"], s.TraceState().AsRaw())
}

// TestHandoverOfWhatPoliciesKnow: limits, goals and what else depends on other traces go on when nodes join and leave. Whoever decides,
// and however often, the backend has what one machine that read the whole log would have delivered, with the same reasons.
func TestHandoverOfWhatPoliciesKnow(t *testing.T) {
	clock := newLogClock()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{Partitions: partitionCount, Now: clock.now})
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	back := startBackend(t)
	cfg := configWith(t, broker.Addr(), back.addr, sharedPolicies)
	traffic := newStream(clock, 21)

	one := startNode(t, cfg)
	traffic.to(t, 100, one)
	caughtUp(t, cfg, one)
	two := startNode(t, cfg) // while the first goes on
	traffic.to(t, 20, one, two)
	one.end()
	traffic.to(t, 80, two)
	three := startNode(t, cfg)
	traffic.to(t, 3, two, three)
	two.end() // right after the join, perhaps before what the third reads again is read
	traffic.to(t, 60, three)
	three.end()
	four := startNode(t, cfg) // alone, from what the third left
	require.Positive(t, statesStored(t, four.Node), "states from within the run")
	traffic.to(t, 60, four)
	clock.ms.Add(60_000)
	traffic.began += 60_000
	traffic.to(t, 10, four) // lets all that came before be due
	caughtUp(t, cfg, four)

	want, policies := undisturbed(t, cfg)
	for _, name := range []string{"some-errors", "slow", "kinds", "goal", "rest"} {
		require.Positive(t, policies[name], name)
	}
	require.Eventually(t, func() bool { return len(back.names()) >= len(want) }, 10*time.Second, 20*time.Millisecond)
	got := back.reasons()
	t.Logf("%d spans kept, %d came twice, traces by policy: %v", len(want), back.twice(), policies)
	require.Empty(t, unlike(want, got))
	require.Positive(t, back.twice(), "more than one node delivered what two decided")
	http.DefaultClient.CloseIdleConnections()
}

// unlike tells of a few spans that are not as wanted.
func unlike(want, got map[string]string) (lines []string) {
	both := maps.Clone(want)
	maps.Copy(both, got)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		if want[name] != got[name] && len(lines) < 10 {
			lines = append(lines, fmt.Sprintf("%s: wanted %q, got %q", name, want[name], got[name]))
		}
	}
	return lines
}

// reasons are what delivered spans say.
func (b *backend) reasons() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return distinct(b.said)
}

// distinct joins what is different. A copy of a span that comes after its trace is forgotten is a trace of its own.
func distinct(said map[string][]string) map[string]string {
	out := map[string]string{}
	for name, all := range said {
		all = slices.Clone(all)
		slices.Sort(all)
		out[name] = strings.Join(slices.Compact(all), " | ")
	}
	return out
}

// statesStored counts the partitions whose checkpoint has what policies knew at a time after the first record.
func statesStored(t *testing.T, n *Node) (count int) {
	t.Helper()
	log, _ := readLog(t, n.cfg)
	for p, records := range log {
		stored, err := n.checkpoints.Load(t.Context(), int32(p))
		require.NoError(t, err)
		require.Positive(t, stored.Epoch)
		topic, err := n.client.SpansTopicID(t.Context())
		require.NoError(t, err)
		c, err := n.sealer.unseal(stored.Data, topic)
		require.NoError(t, err)
		if len(c.State) > 0 && c.StateAt > records[0].Timestamp {
			count++
		}
	}
	return count
}
