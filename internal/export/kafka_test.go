package export

import (
	"context"
	"encoding/hex"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func kafkaTo(c *kfake.Cluster, more map[string]any) map[string]any {
	settings := map[string]any{"brokers": c.ListenAddrs(), "topic": "kept", "batch_timeout": "1ms", "retry_on_failure": fast()}
	for k, v := range more {
		settings[k] = v
	}
	return map[string]any{"kafka": settings}
}

// consume reads n records of the topic kept.
func consume(t testing.TB, c *kfake.Cluster, n int) (records []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("kept"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		records = append(records, fetches.Records()...)
	}
	return records
}

func TestKafkaWritesARecordATrace(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(8, "kept"))
	l := newLedger()
	d := start(t, kafkaTo(c, nil), l, nil)
	d.Submit(items(t, 0, 100))
	l.waitAcks(t, 100)
	l.once(t, 100)
	hasher := kgo.SaramaCompatHasher(fnv32a)
	seen := map[string]bool{}
	for _, r := range consume(t, c, 100) {
		require.Len(t, r.Key, 32)
		require.Equal(t, strings.ToLower(string(r.Key)), string(r.Key))
		require.EqualValues(t, hasher(r.Key, 8), r.Partition, "as Sarama's hash partitioner")
		traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(r.Value)
		require.NoError(t, err)
		require.Equal(t, 3, traces.SpanCount())
		span := traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
		require.Equal(t, span.TraceID().String(), string(r.Key))
		seen[string(r.Key)] = true
	}
	require.Len(t, seen, 100)
	id := traceID(0)
	require.True(t, seen[hex.EncodeToString(id[:])])
}

func TestKafkaKeepsTryingAndSendsNothingTwice(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(4, "kept"))
	var failures atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if failures.Add(1) > 3 {
			return nil, nil, false
		}
		req := kreq.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = partition.Partition, kerr.TopicAuthorizationFailed.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	l, log := newLedger(), &logBuffer{}
	d := start(t, kafkaTo(c, nil), l, func(o *Options) { o.Logger = log.logger() })
	d.Submit(items(t, 0, 20))
	l.waitAcks(t, 20)
	l.once(t, 20)
	require.Len(t, consume(t, c, 20), 20)
	require.NoError(t, d.Shutdown(context.Background()))
	s := statsOf(t, d, "kafka")
	require.NotZero(t, s.Errors["forbidden"])
	require.EqualValues(t, 20, s.Traces)
	require.Contains(t, log.String(), "may not write traces")
	require.Empty(t, l.rejections())
}

func TestKafkaTopicMissingThenMade(t *testing.T) {
	c := cluster(t)
	l := newLedger()
	log := &failureSignal{seen: make(chan struct{})}
	d := start(t, kafkaTo(c, nil), l, func(o *Options) { o.Logger = log.logger() })
	d.Submit(items(t, 0, 5))
	<-log.seen
	require.NotZero(t, statsOf(t, d, "kafka").Errors["not_found"])
	admin, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer admin.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "kept", 2, 1
	req.Topics = append(req.Topics, topic)
	_, err = req.RequestWith(context.Background(), admin)
	require.NoError(t, err)
	l.waitAcks(t, 5)
	l.once(t, 5)
}

func TestKafkaRefusesALargeTraceAlone(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "kept"))
	l := newLedger()
	d := start(t, kafkaTo(c, map[string]any{"max_message_bytes": 20_000, "compression": "none", "batch_timeout": "1s", "max_batch_traces": 11}), l, nil)
	list := items(t, 0, 10)
	d.Submit(append(list, Item{Partition: 7, Seq: 10, TraceID: traceID(10), Payload: payload(t, 10, 300), Spans: 300}))
	l.waitAcks(t, 11)
	l.once(t, 11)
	require.Len(t, l.rejections(), 1)
	require.Contains(t, l.rejections()[0].reason, "MESSAGE_TOO_LARGE")
	require.Len(t, consume(t, c, 10), 10)
}

func TestKafkaBrokerAbsent(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "kept"))
	l, log := newLedger(), &logBuffer{}
	settings := kafkaTo(c, map[string]any{"timeout": "1s"})
	c.Close()
	d := start(t, settings, l, func(o *Options) { o.Logger = log.logger(); o.ShutdownGrace = 5 * time.Second })
	d.Submit(items(t, 0, 1))
	require.Eventually(t, func() bool { return statsOf(t, d, "kafka").Errors["unreachable"] > 0 }, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, d.Shutdown(context.Background()))
	require.Contains(t, log.String(), "connection refused")
	l.once(t, 0)
}

func TestKafkaWithTLSAndSCRAM(t *testing.T) {
	cert, pem := selfSigned(t)
	c := cluster(t, kfake.SeedTopics(1, "kept"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "thresher", "secret"), kfake.TLS(serverTLS(cert)))
	ca := writeFile(t, "ca.pem", pem)
	for _, mechanism := range []string{"SCRAM-SHA-256"} {
		l := newLedger()
		d := start(t, kafkaTo(c, map[string]any{
			"tls":  map[string]any{"ca_file": ca},
			"sasl": map[string]any{"mechanism": mechanism, "username": "thresher", "password": "secret"},
		}), l, nil)
		d.Submit(items(t, 0, 3))
		l.waitAcks(t, 3)
		l.once(t, 3)
	}
}
