package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestReadInOrderFromAnyOffset(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 2, nil)
	p := startProducer(t, c)
	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	before := time.Now().UnixMilli()
	produce(t, p, 0, numbered(0, 100)...)
	produce(t, p, 1, "other")
	values, at := collect(t, f, 100)
	require.Equal(t, numbered(0, 100), values)
	require.EqualValues(t, 100, at)

	_, err = r.Assign(0, 0)
	require.ErrorContains(t, err, "assigned already")
	_, err = r.Assign(2, 0)
	require.Error(t, err)
	_, err = r.Assign(1, -1)
	require.Error(t, err)

	r.Unassign(0)
	_, ok := f.Take()
	require.False(t, ok)
	f, err = r.Assign(0, 97)
	require.NoError(t, err)
	b := nextBatch(t, f)
	require.EqualValues(t, 97, b.Records[0].Offset)
	require.EqualValues(t, 100, b.HighWatermark)
	require.Equal(t, []Header{{FormatHeader, []byte(FormatVersion)}}, b.Records[0].Headers)
	require.GreaterOrEqual(t, b.Records[0].Timestamp, before)
	require.EqualValues(t, 103, c.Stats().ConsumedRecords)
	require.EqualValues(t, 1, c.Stats().AssignedPartitions)
}

// A partition that nobody drains is paused, once and not per batch; the other one is read on.
func TestAStuckPartitionHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 2, func(cfg *Config) {
		cfg.Reader.BufferBytes = 1 << 20
		cfg.Reader.FetchBytes = 256 << 10
		cfg.Reader.PartitionBytes = 64 << 10
		cfg.Compression = "none"
	})
	p := startProducer(t, c)
	r := startReader(t, c)
	stuck, err := r.Assign(0, 0)
	require.NoError(t, err)
	flows, err := r.Assign(1, 0)
	require.NoError(t, err)
	value := strings.Repeat("x", 16<<10)
	const n = 400 // 6.4 MB each
	for i := range n {
		v := fmt.Sprintf("%04d%s", i, value)
		p.Produce(testContext(t), 0, []byte(v), func(error) {})
		p.Produce(testContext(t), 1, []byte(v), func(error) {})
	}
	got, _ := collect(t, flows, n)
	require.Len(t, got, n)
	require.Eventually(t, func() bool { return c.Stats().PausedPartitions == 1 }, soon, time.Millisecond)
	require.LessOrEqual(t, c.Stats().Pauses, uint64(8))
	require.LessOrEqual(t, c.Stats().QueuedBytes, int64(4<<20))

	got, at := collect(t, stuck, n)
	require.EqualValues(t, n, at)
	for i, v := range got {
		require.Equal(t, fmt.Sprintf("%04d", i), v[:4])
		require.Len(t, v, 4+len(value))
	}
	require.Eventually(t, func() bool { return c.Stats().PausedPartitions == 0 }, soon, time.Millisecond)
	require.Zero(t, c.Stats().QueuedBytes)
	require.Less(t, c.Stats().Pauses, uint64(40))
}

// No partition is over its own bound, but together those that are stuck hold the whole budget.
func TestManyStuckPartitionsHoldNobodyBack(t *testing.T) {
	t.Parallel()
	const parts = 16
	_, c, _ := setup(t, parts, func(cfg *Config) {
		cfg.Reader.BufferBytes = 1 << 20
		cfg.Reader.FetchBytes = 256 << 10
		cfg.Reader.PartitionBytes = 256 << 10
		cfg.Compression = "none"
	})
	p := startProducer(t, c)
	r := startReader(t, c)
	value := strings.Repeat("x", 16<<10)
	var values []string
	for range 12 {
		values = append(values, value)
	}
	for i := range int32(parts - 1) {
		_, err := r.Assign(i, 0)
		require.NoError(t, err)
		produce(t, p, i, values...)
	}
	// All is there or the budget is used up; then somebody comes who works.
	require.Eventually(t, func() bool { return c.Stats().QueuedBytes >= 1<<20 }, soon, time.Millisecond)
	f, err := r.Assign(parts-1, 0)
	require.NoError(t, err)
	for range 5 {
		produce(t, p, parts-1, values...)
		collect(t, f, len(values))
	}
}

func TestGapWhenRetentionWasFaster(t *testing.T) {
	t.Parallel()
	e, c, said := setup(t, 2, nil)
	p := startProducer(t, c)
	produce(t, p, 0, numbered(0, 10)...)
	produce(t, p, 1, numbered(0, 10)...)
	require.NoError(t, e.cluster.DeleteRecords("thresher.spans", 0, 4))
	require.NoError(t, e.cluster.DeleteRecords("thresher.spans", 1, 10)) // nothing is left
	r := startReader(t, c)

	f, err := r.Assign(0, 1)
	require.NoError(t, err)
	g := next(t, f).Gap
	require.NotNil(t, g)
	require.EqualValues(t, 1, g.From)
	require.EqualValues(t, 4, g.To)
	values, _ := collect(t, f, 6)
	require.Equal(t, numbered(4, 10), values)

	f, err = r.Assign(1, 2)
	require.NoError(t, err)
	g = next(t, f).Gap
	require.NotNil(t, g)
	require.EqualValues(t, 10, g.To)
	produce(t, p, 1, "new")
	values, _ = collect(t, f, 1)
	require.Equal(t, []string{"new"}, values)

	require.Equal(t, 2, said.count("records were lost before they were read"))
	require.EqualValues(t, 2, c.Stats().Gaps)
	require.EqualValues(t, 3+8, c.Stats().LostRecords)
}

func TestGapWhenTheLogIsShorter(t *testing.T) {
	t.Parallel()
	_, c, said := setup(t, 1, nil)
	p := startProducer(t, c)
	produce(t, p, 0, numbered(0, 10)...)
	r := startReader(t, c)
	f, err := r.Assign(0, 25)
	require.NoError(t, err)
	g := next(t, f).Gap
	require.NotNil(t, g)
	require.EqualValues(t, 25, g.From)
	require.EqualValues(t, 10, g.To)
	produce(t, p, 0, "new")
	values, _ := collect(t, f, 1)
	require.Equal(t, []string{"new"}, values)
	require.Equal(t, 1, said.count("the log was cut back"))
	require.Zero(t, c.Stats().LostRecords)
}

// A leader that knows less than the one before: franz-go notices by the epoch.
func TestGapAfterUncleanElection(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.BrokerConfigs(map[string]string{"log.message.timestamp.type": "LogAppendTime"}))
	require.NoError(t, err)
	defer cluster.Close()
	cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		adaptTopics(req.(*kmsg.CreateTopicsRequest), 1<<20)
		return nil, nil, false
	})
	c, _ := connect(t, testConfig(cluster.ListenAddrs()[0], 1))
	p := startProducer(t, c)
	produce(t, p, 0, numbered(0, 10)...)
	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	collect(t, f, 10)
	cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := answerEpochs(req.(*kmsg.OffsetForLeaderEpochRequest)).(*kmsg.OffsetForLeaderEpochResponse)
		resp.Topics[0].Partitions[0].EndOffset = 7
		return resp, nil, true
	})
	require.NoError(t, cluster.MoveTopicPartition("thresher.spans", 0, 1-cluster.LeaderFor("thresher.spans", 0)))
	g := next(t, f).Gap
	require.NotNil(t, g)
	require.EqualValues(t, 10, g.From)
	require.EqualValues(t, 7, g.To)
	values, _ := collect(t, f, 3)
	require.Equal(t, numbered(7, 10), values)
}

func TestLeaderChangeIsNoEvent(t *testing.T) {
	t.Parallel()
	e := startBroker(t, EmbeddedOptions{Partitions: 1}, kfake.NumBrokers(3))
	c, _ := connect(t, testConfig(e.Addr(), 1))
	p := startProducer(t, c)
	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	for i := range 5 {
		produce(t, p, 0, numbered(10*i, 10*i+10)...)
		values, _ := collect(t, f, 10)
		require.Equal(t, numbered(10*i, 10*i+10), values)
		to := (e.cluster.LeaderFor("thresher.spans", 0) + 1) % 3
		require.NoError(t, e.cluster.MoveTopicPartition("thresher.spans", 0, to))
	}
	require.Zero(t, c.Stats().Gaps)
}

func TestTopicMadeAnew(t *testing.T) {
	t.Parallel()
	e, c, said := setup(t, 2, nil)
	p := startProducer(t, c)
	produce(t, p, 0, numbered(0, 10)...)
	produce(t, p, 1, numbered(0, 5)...)
	r := startReader(t, c)
	f0, err := r.Assign(0, 0)
	require.NoError(t, err)
	f1, err := r.Assign(1, 0)
	require.NoError(t, err)
	collect(t, f0, 10)
	collect(t, f1, 5)
	require.NoError(t, e.cluster.DeleteTopic("thresher.spans"))
	require.NoError(t, e.cluster.CreateTopic("thresher.spans", 2, nil))
	for _, f := range []*Feed{f0, f1} {
		g := next(t, f).Gap
		require.NotNil(t, g)
		require.Zero(t, g.To)
	}
	require.Equal(t, 1, said.count("deleted and created again"))
	// The producer gets over it too.
	a := startAccumulator(t, p)
	require.Eventually(t, func() bool {
		return a.Publish(testContext(t), []Fragment{{0, []byte("again"), 1}, {1, []byte("again"), 1}}) == nil
	}, soon, time.Millisecond)
	for _, f := range []*Feed{f0, f1} {
		values, _ := collect(t, f, 1)
		require.Contains(t, values, "again")
	}
	require.Equal(t, 1, said.count("writing to the new one"))
}

func TestBrokerDownAndBack(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	e := startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 1, Port: port})
	c, _ := connect(t, testConfig(e.Addr(), 1))
	p := startProducer(t, c)
	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	produce(t, p, 0, numbered(0, 5)...)
	collect(t, f, 5)
	e.Close()
	done := make(chan error, 1)
	p.Produce(testContext(t), 0, []byte("v5"), func(err error) { done <- err })
	require.Eventually(t, func() bool { return !c.Connected() }, soon, 5*time.Millisecond)
	startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 1, Port: port})
	require.NoError(t, <-done)
	values, _ := collect(t, f, 1)
	require.Equal(t, []string{"v5"}, values)
}

// Next passes over transaction markers, and what was rolled back is not seen.
func TestTransactionsOfOthers(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	tx, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.TransactionalID("t"), kgo.DefaultProduceTopic("thresher.spans"))
	require.NoError(t, err)
	defer tx.Close()
	ctx := testContext(t)
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		require.NoError(t, tx.BeginTransaction())
		require.NoError(t, tx.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint("t", i))).FirstErr())
		require.NoError(t, tx.EndTransaction(ctx, end))
	}
	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	var values []string
	var at int64
	for at < 6 { // 3 records, 3 markers
		b := nextBatch(t, f)
		at = b.Next
		for _, rec := range b.Records {
			values = append(values, string(rec.Value))
		}
	}
	require.Equal(t, []string{"t0", "t2"}, values)
	require.Zero(t, c.Stats().Gaps)
}

func TestOffsetsByTime(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 1, nil)
	ctx := testContext(t)
	p := startProducer(t, c)
	at, err := c.OffsetForTime(ctx, 0, 0)
	require.NoError(t, err)
	require.Zero(t, at)
	r := startReader(t, c)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	var times []int64
	for i := range 4 {
		// Two records are never within a millisecond: wait until the clock has moved.
		require.Eventually(t, func() bool { return len(times) == 0 || time.Now().UnixMilli() > times[len(times)-1]+1 }, soon, time.Millisecond)
		produce(t, p, 0, fmt.Sprint(i))
		times = append(times, nextBatch(t, f).Records[0].Timestamp)
	}
	for i, ms := range times {
		at, err := c.OffsetForTime(ctx, 0, ms)
		require.NoError(t, err)
		require.EqualValues(t, i, at)
		at, err = c.OffsetForTime(ctx, 0, ms+1)
		require.NoError(t, err)
		require.EqualValues(t, i+1, at)
	}
	ends, err := c.EndOffsets(ctx, []int32{0})
	require.NoError(t, err)
	require.Equal(t, map[int32]int64{0: 4}, ends)
	start, err := c.StartOffset(ctx, 0)
	require.NoError(t, err)
	require.Zero(t, start)
	c.cfg.RequestTimeout = 200 * time.Millisecond // a partition that is not there may be one that is not there yet
	_, err = c.OffsetForTime(ctx, 7, 0)
	require.Error(t, err)
}

func TestReadRange(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	p := startProducer(t, c)
	produce(t, p, 0, numbered(0, 10)...)
	read := func(from, to int64) (got []string) {
		require.NoError(t, c.ReadRange(testContext(t), 0, from, to, func(r Record) error {
			got = append(got, string(r.Value))
			return nil
		}))
		return got
	}
	require.Equal(t, numbered(3, 7), read(3, 7))
	require.Equal(t, numbered(8, 10), read(8, 99))
	require.Empty(t, read(10, 99))
	require.Empty(t, read(50, 99))
	require.NoError(t, e.cluster.DeleteRecords("thresher.spans", 0, 5))
	require.Equal(t, numbered(5, 7), read(0, 7))
}

func TestRunEndsCleanly(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 1, nil)
	r, err := c.NewReader()
	require.NoError(t, err)
	f, err := r.Assign(0, 0)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, r.Run(ctx), context.Canceled)
	_, ok := f.Take()
	require.False(t, ok)
	require.Zero(t, c.Stats().AssignedPartitions)
}
