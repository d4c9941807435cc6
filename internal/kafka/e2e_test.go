//go:build e2e

package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// realConfig is for topics and a group that nobody else uses, on the brokers in THRESHER_E2E_BROKERS.
func realConfig(t *testing.T, partitions int) Config {
	t.Helper()
	brokers := os.Getenv("THRESHER_E2E_BROKERS")
	require.NotEmpty(t, brokers, "THRESHER_E2E_BROKERS must name the brokers of a real Kafka, as host:port,host:port")
	cfg := testConfig("", partitions)
	cfg.Brokers = strings.Split(brokers, ",")
	suffix := fmt.Sprintf(".%x", rand.Uint64())
	cfg.Spans.Topic += suffix
	cfg.Checkpoints.Topic += suffix
	cfg.Rejected.Topic += suffix
	cfg.Group += suffix
	return cfg
}

// realAdmin also removes the topics at the end.
func realAdmin(t *testing.T, cfg Config) *kadm.Client {
	t.Helper()
	kc, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	require.NoError(t, err)
	adm := kadm.NewClient(kc)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		_, _ = adm.DeleteTopics(ctx, cfg.Spans.Topic, cfg.Checkpoints.Topic, cfg.Rejected.Topic)
		kc.Close()
	})
	return adm
}

func TestRealTopics(t *testing.T) {
	cfg := realConfig(t, 3)
	realAdmin(t, cfg)
	c, said := connect(t, cfg)
	require.Equal(t, 3, said.count("created topic"))
	have, err := c.settings(testContext(t), cfg.Spans.Topic)
	require.NoError(t, err)
	require.Equal(t, "LogAppendTime", have["message.timestamp.type"])
	_, said = connect(t, cfg)
	require.Zero(t, said.count("created topic"))

	// What others made wrong is refused, with the command that mends it.
	wrong := realConfig(t, 3)
	adm := realAdmin(t, wrong)
	small := "1000000"
	_, err = adm.CreateTopic(testContext(t), 2, -1, map[string]*string{"max.message.bytes": &small}, wrong.Spans.Topic)
	require.NoError(t, err)
	log, _ := logger()
	refused, err := New(wrong, log)
	require.NoError(t, err)
	defer refused.Close()
	err = refused.Ensure(testContext(t))
	require.True(t, IsFatal(err), "%v", err)
	for _, want := range []string{"has 2 partitions", "message.timestamp.type=CreateTime", "max.message.bytes=1000000"} {
		require.ErrorContains(t, err, want)
	}
}

func TestRealLog(t *testing.T) {
	cfg := realConfig(t, 2)
	adm := realAdmin(t, cfg)
	c, _ := connect(t, cfg)
	ctx := testContext(t)
	p := startProducer(t, c)
	a := startAccumulator(t, p)

	// The time of the log is the broker's, whatever clients say.
	kc, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.DefaultProduceTopic(cfg.Spans.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer kc.Close()
	before := time.Now().UnixMilli()
	require.NoError(t, kc.ProduceSync(ctx, &kgo.Record{Value: []byte("v0"), Timestamp: time.Unix(1, 0)}).FirstErr())
	for i := 1; i < 10; i++ {
		require.NoError(t, a.Publish(ctx, []Fragment{{0, []byte(fmt.Sprint("v", i)), 1}, {1, []byte("x"), 1}}))
	}
	require.NoError(t, a.Publish(ctx, []Fragment{{1, make([]byte, 3<<20), 1}}))

	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	var stamps []int64
	var epoch int32
	for len(stamps) < 10 {
		for _, rec := range nextBatch(t, f).Records {
			require.Equal(t, fmt.Sprint("v", len(stamps)), string(rec.Value))
			require.GreaterOrEqual(t, rec.Timestamp, before-1000)
			require.LessOrEqual(t, rec.Timestamp, time.Now().UnixMilli()+1000)
			stamps = append(stamps, rec.Timestamp)
			epoch = rec.LeaderEpoch
		}
	}
	require.IsIncreasing(t, append([]int64{stamps[0] - 1}, dedup(stamps)...))

	// By time.
	at, err := c.OffsetForTime(ctx, 0, stamps[9]+1)
	require.NoError(t, err)
	require.EqualValues(t, 10, at)
	at, err = c.OffsetForTime(ctx, 0, stamps[5])
	require.NoError(t, err)
	require.LessOrEqual(t, at, int64(5))
	require.Equal(t, stamps[5], stamps[at])
	var got int
	require.NoError(t, c.ReadRange(ctx, 0, 3, 7, func(rec Record) error {
		require.EqualValues(t, 3+got, rec.Offset)
		got++
		return nil
	}))
	require.Equal(t, 4, got)

	// Checkpoint, then commit; another client sees both.
	k := c.Checkpoints()
	for i := range 5 {
		require.NoError(t, save(t, k, 1, 7, []byte(fmt.Sprint(i))))
	}
	require.NoError(t, k.Commit(ctx, map[int32]Committed{0: {Offset: 9, LeaderEpoch: epoch, Metadata: "m"}}))
	other, _ := connect(t, cfg)
	all, err := other.Checkpoints().LoadAll(ctx, []int32{0, 1})
	require.NoError(t, err)
	require.Equal(t, map[int32]Stored{1: {Epoch: 7, Data: []byte("4")}}, all)
	committed, err := other.Checkpoints().Committed(ctx)
	require.NoError(t, err)
	require.Equal(t, map[int32]Committed{0: {Offset: 9, LeaderEpoch: epoch, Metadata: "m"}}, committed)
	lag, err := adm.Lag(ctx, cfg.Group)
	require.NoError(t, err)
	require.EqualValues(t, 1, lag[cfg.Group].Lag[cfg.Spans.Topic][0].Lag)

	// Retention was faster.
	_, err = adm.DeleteRecords(ctx, kadm.Offsets{cfg.Spans.Topic: {0: {Topic: cfg.Spans.Topic, Partition: 0, At: 10}}})
	require.NoError(t, err)
	r.Unassign(0)
	f, err = r.Assign(0, 2)
	require.NoError(t, err)
	g := next(t, f).Gap
	require.NotNil(t, g)
	require.EqualValues(t, 2, g.From)
	require.EqualValues(t, 10, g.To)

	rejected := make(chan struct{})
	c.NewRejecter().Reject(Rejected{Reason: "test", Value: []byte("x")}, func() { close(rejected) })
	<-rejected
	require.True(t, c.Connected())
}

// Markers at the log's end, as transactional producers leave them, are passed over.
func TestRealTransactions(t *testing.T) {
	cfg := realConfig(t, 1)
	realAdmin(t, cfg)
	c, _ := connect(t, cfg)
	ctx := testContext(t)
	tx, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.TransactionalID(cfg.Group), kgo.DefaultProduceTopic(cfg.Spans.Topic))
	require.NoError(t, err)
	defer tx.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		require.NoError(t, tx.BeginTransaction())
		require.NoError(t, tx.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint("t", i))).FirstErr())
		require.NoError(t, tx.EndTransaction(ctx, end))
	}
	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	var values []string
	for at := int64(0); at < 4; {
		b := nextBatch(t, f)
		at = b.Next
		for _, rec := range b.Records {
			values = append(values, string(rec.Value))
		}
	}
	require.Equal(t, []string{"t0"}, values)
}

func dedup(in []int64) (out []int64) {
	for _, v := range in {
		if len(out) == 0 || out[len(out)-1] != v {
			out = append(out, v)
		}
	}
	return out
}
