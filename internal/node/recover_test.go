package node

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/kafka"
	"thresher/sampler"
)

func admin(t *testing.T, broker *kafka.Embedded) *kadm.Client {
	t.Helper()
	kc, err := kgo.NewClient(kgo.SeedBrokers(broker.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(kc.Close)
	return kadm.NewClient(kc)
}

// settledNode sends traffic through a node until everything is delivered and the checkpoints say so.
func settledNode(t *testing.T, cfg *config.Config, seed int64, spans int) *live {
	t.Helper()
	n := startNode(t, cfg)
	reqs := traffic(seed, spans)
	n.send(reqs...)
	n.quiet(count(reqs))
	return n
}

// TestTopicMadeAnewWhileItIsEmpty: the node notices although no offset has changed, so that the checkpoints of the new topic are used after
// a restart, and nothing comes twice.
func TestTopicMadeAnewWhileItIsEmpty(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	n := startNode(t, cfg)
	adm := admin(t, broker)
	ctx := context.Background()
	_, err := adm.DeleteTopic(ctx, cfg.Kafka.Spans.Topic)
	require.NoError(t, err)
	large := strconv.Itoa(cfg.Kafka.Spans.MaxRecordBytes)
	_, err = adm.CreateTopic(ctx, partitionCount, 1, map[string]*string{"max.message.bytes": &large}, cfg.Kafka.Spans.Topic)
	require.NoError(t, err)
	topic, err := n.client.SpansTopicID(ctx)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return n.client.Stats().Gaps >= partitionCount }, 20*time.Second, 20*time.Millisecond)
	reqs := traffic(7, 3000)
	n.send(reqs...)
	n.quiet(count(reqs))
	n.end()
	for p := range int32(partitionCount) {
		m := must(New(cfg, Options{Logger: n.log}))(t)
		require.NoError(t, m.client.Ensure(ctx))
		stored, err := m.checkpoints.Load(ctx, p)
		require.NoError(t, err)
		_, err = m.sealer.unseal(stored.Data, topic)
		require.NoError(t, err, "partition %d: the checkpoint is of the new topic", p)
		m.client.Close()
	}
	n = settledNode(t, cfg, 8, 500)
	require.Zero(t, back.twice())
	kept, _ := oracle(t, cfg)
	require.Equal(t, kept, back.names())
	http.DefaultClient.CloseIdleConnections()
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}

// TestUsableCheckpointsMissing: without one that can be used, a partition goes on where the consumer group is; without that, too, from
// the beginning.
func TestUsableCheckpointsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		data      []byte
		committed bool
	}{
		"unreadable":                 {[]byte("garbage"), true},
		"of another version":         {append([]byte{99}, make([]byte, 40)...), true},
		"unreadable, and no offsets": {[]byte("garbage"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker, back := startBroker(t), startBackend(t)
			cfg := testConfig(t, broker.Addr(), back.addr)
			settledNode(t, cfg, 7, 2000).end()
			ctx := context.Background()
			adm := admin(t, broker)
			m := must(New(cfg, Options{Logger: slog.New(slog.DiscardHandler)}))(t)
			for p := range int32(partitionCount) {
				done := make(chan error, 1)
				m.checkpoints.Save(ctx, p, 99, test.data, func(err error) { done <- err })
				require.NoError(t, <-done)
			}
			m.client.Close()
			if !test.committed {
				_, err := adm.DeleteGroups(ctx, cfg.Kafka.Group)
				require.NoError(t, err)
			}
			n := startNode(t, cfg)
			reqs := traffic(8, 500)
			n.send(reqs...)
			_, ledger := oracle(t, cfg)
			if test.committed {
				n.quiet(count(reqs))
				require.Zero(t, back.twice())
			} else {
				n.quiet(ledger.Received)
				require.Positive(t, back.twice())
			}
			kept, _ := oracle(t, cfg)
			for _, name := range kept {
				require.Contains(t, back.spans, name, "lost")
			}
			n.end()
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

// TestLogCutWhileDown: a log that has lost its last record resumes at its end, and not at its beginning.
func TestLogCutWhileDown(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := testConfig(t, broker.Addr(), back.addr)
	n := settledNode(t, cfg, 7, 3000)
	n.end()
	m := must(New(cfg, Options{Logger: n.log}))(t)
	defer m.client.Close()
	ctx := context.Background()
	require.NoError(t, m.client.Ensure(ctx))
	known := must(m.lookUp(ctx, []int32{0}))(t)
	taken := known[0]
	taken.end--
	restored, from, err := m.restore(ctx, taken)
	require.NoError(t, err)
	defer restored.Release()
	c := must(m.sealer.unseal(taken.stored.Data, taken.topic))(t) // restore has cut the one of taken
	require.EqualValues(t, taken.end+1, c.Resume)
	require.Equal(t, int64(c.ReplayFrom.Offset), from, "what was decided before is read again")
	require.NoError(t, m.client.ReadRange(ctx, 0, from, taken.end, func(r kafka.Record) error {
		require.NoError(t, restored.Record(sampler.Offset(r.Offset), r.Timestamp, r.Value))
		return nil
	}))
	require.EqualValues(t, taken.end, restored.Resume())
	require.Empty(t, restored.Effects().Deliveries)
	http.DefaultClient.CloseIdleConnections()
}

// TestRetentionOvertakesMemory: what lies between the place to read from and the resume offset is gone. The node says so, and loses no
// late span of a kept trace.
func TestRetentionOvertakesMemory(t *testing.T) {
	broker, back := startBroker(t), startBackend(t)
	cfg := configWith(t, broker.Addr(), back.addr, "late_window: 60s\n  policies:\n"+testPolicies)
	n := settledNode(t, cfg, 7, 3000)
	n.end()
	_, ends := readLog(t, cfg)
	cut := kadm.Offsets{}
	for p, end := range ends {
		cut.Add(kadm.Offset{Topic: cfg.Kafka.Spans.Topic, Partition: p, At: end - 1})
	}
	deleted, err := admin(t, broker).DeleteRecords(context.Background(), cut)
	require.NoError(t, errors.Join(err, deleted.Error()))

	var late []string
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	seen := map[string]bool{}
	for _, name := range back.names() {
		id, err := hex.DecodeString(name[:32])
		require.NoError(t, err)
		if seen[name[:32]] {
			continue
		}
		seen[name[:32]] = true
		s := spans.AppendEmpty()
		s.SetTraceID(pcommon.TraceID(id))
		s.SetParentSpanID(pcommon.SpanID{1})
		s.SetSpanID(pcommon.SpanID{2, 2, 2, 2, 2, 2, 2, 2})
		late = append(late, nameOf(s))
	}
	require.Greater(t, len(late), 20)
	data, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	require.NoError(t, err)

	n = startNode(t, cfg)
	require.EqualValues(t, partitionCount, n.forgot.Load())
	n.send(shop.Request{Data: data, Spans: len(late)})
	n.quiet(len(late))
	require.Subset(t, back.names(), late)
	n.end()
	http.DefaultClient.CloseIdleConnections()
}
