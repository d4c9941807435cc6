package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func save(t *testing.T, k *Checkpoints, partition int32, epoch uint64, data []byte) error {
	t.Helper()
	done := make(chan error, 1)
	k.Save(testContext(t), partition, epoch, data, func(err error) { done <- err })
	return <-done
}

func TestCheckpointsNewestWins(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 4, nil)
	k := c.Checkpoints()
	got, err := k.Load(testContext(t), 1)
	require.NoError(t, err)
	require.Zero(t, got)

	for i := range 20 {
		require.NoError(t, save(t, k, 1, 1, []byte(fmt.Sprint("one-", i))))
	}
	require.NoError(t, save(t, k, 3, 5, []byte("three")))
	require.NoError(t, save(t, k, 2, 1, nil))
	other, _ := connect(t, testConfig(e.Addr(), 4))
	check := func() {
		t.Helper()
		all, err := other.Checkpoints().LoadAll(testContext(t), []int32{0, 1, 2, 3})
		require.NoError(t, err)
		require.Equal(t, map[int32]Stored{1: {Epoch: 1, Data: []byte("one-19")}, 2: {Epoch: 1, Data: []byte{}}, 3: {Epoch: 5, Data: []byte("three")}}, all)
	}
	check()
	e.cluster.Compact()
	check()

	// What others put behind it is not ours, unless it deletes ours.
	kc, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("thresher.checkpoints"))
	require.NoError(t, err)
	defer kc.Close()
	for range 100 {
		require.NoError(t, kc.ProduceSync(testContext(t), &kgo.Record{Partition: 1, Key: []byte("foreign"), Value: []byte("junk")}).FirstErr())
	}
	check()
	require.NoError(t, kc.ProduceSync(testContext(t), &kgo.Record{Partition: 1, Key: []byte("1@1")}).FirstErr())
	got, err = k.Load(testContext(t), 1)
	require.NoError(t, err)
	require.Zero(t, got)
	require.EqualValues(t, 22, c.Stats().CheckpointWrites)
}

// TestAnOlderOwnerDoesNotWin walks the case at Checkpoints.Load, also over a compaction, and then retires what is left of the
// older owner.
func TestAnOlderOwnerDoesNotWin(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 2, nil)
	k := c.Checkpoints()
	for i := range 30 {
		require.NoError(t, save(t, k, 1, 1, []byte(fmt.Sprint("a-", i))))
	}
	for i := range 3 {
		require.NoError(t, save(t, k, 1, 2, []byte(fmt.Sprint("b-", i))))
	}
	for i := range 5 {
		require.NoError(t, save(t, k, 1, 1, []byte(fmt.Sprint("a-", 30+i))))
	}
	want := Stored{Epoch: 2, Data: []byte("b-2"), Older: []uint64{1}}
	for range 2 {
		got, err := k.Load(testContext(t), 1)
		require.NoError(t, err)
		require.Equal(t, want, got)
		e.cluster.Compact()
	}
	require.NoError(t, save(t, k, 1, 3, []byte("c")))
	k.Retire(1, []uint64{1, 2})
	require.Eventually(t, func() bool {
		got, err := k.Load(testContext(t), 1)
		return err == nil && got.Epoch == 3 && len(got.Older) == 0
	}, soon, 10*time.Millisecond)
}

func TestTick(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 2, nil)
	type ticked struct {
		offset int64
		err    error
	}
	done := make(chan ticked, 1)
	r := startReader(t, c)
	f, err := r.Assign(1, 0)
	require.NoError(t, err)
	for i := range 2 {
		c.Tick(1, func(o int64, err error) { done <- ticked{o, err} })
		require.Equal(t, ticked{int64(i), nil}, <-done)
		rec := nextBatch(t, f).Records
		require.Len(t, rec, 1)
		require.Empty(t, rec[0].Value)
		require.Equal(t, []Header{{FormatHeader, []byte(FormatVersion)}}, rec[0].Headers)
		require.InDelta(t, time.Now().UnixMilli(), rec[0].Timestamp, 10_000)
	}
	require.EqualValues(t, 2, c.Stats().Ticks)
}

func TestCheckpointSizes(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 1, func(cfg *Config) { cfg.Compression = "none" })
	k := c.Checkpoints()
	big := []byte(strings.Repeat("x", MaxCheckpoint))
	require.NoError(t, save(t, k, 0, 1, big))
	got, err := k.Load(testContext(t), 0)
	require.NoError(t, err)
	require.Equal(t, big, got.Data)
	err = save(t, k, 0, 1, append(big, 'x'))
	require.ErrorIs(t, err, ErrTooLarge)
	require.False(t, IsRetryable(err))
	require.Error(t, save(t, k, 7, 1, []byte("no such partition")))
	require.EqualValues(t, 2, c.Stats().CheckpointErrors)
}

func TestLoadSurvivesALeaderChange(t *testing.T) {
	t.Parallel()
	e := startBroker(t, EmbeddedOptions{Partitions: 1}, kfake.NumBrokers(2))
	c, _ := connect(t, testConfig(e.Addr(), 1))
	k := c.Checkpoints()
	for i := range 4 {
		want := fmt.Sprint(i)
		require.NoError(t, save(t, k, 0, 1, []byte(want)))
		got, err := k.Load(testContext(t), 0)
		require.NoError(t, err)
		require.Equal(t, want, string(got.Data))
		require.NoError(t, e.cluster.MoveTopicPartition("thresher.checkpoints", 0, 1-e.cluster.LeaderFor("thresher.checkpoints", 0)))
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 2, nil)
	k := c.Checkpoints()
	got, err := k.Committed(testContext(t))
	require.NoError(t, err)
	require.Empty(t, got)
	produce(t, startProducer(t, c), 1, "x")

	want := map[int32]Committed{0: {Offset: 0, LeaderEpoch: -1}, 1: {Offset: 1, LeaderEpoch: 0, Metadata: "t=5"}}
	require.NoError(t, k.Commit(testContext(t), want))
	got, err = k.Committed(testContext(t))
	require.NoError(t, err)
	require.Equal(t, want, got)
	lag, err := c.adm.Lag(testContext(t), "thresher") // what kafka-consumer-groups.sh --describe shows
	require.NoError(t, err)
	require.Zero(t, lag["thresher"].Lag.Total())

	err = k.Commit(testContext(t), map[int32]Committed{0: {Metadata: strings.Repeat("m", 4097)}})
	require.ErrorContains(t, err, "4096")
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed})
	require.ErrorIs(t, k.Commit(testContext(t), want), kerr.GroupAuthorizationFailed)
	require.EqualValues(t, 1, c.Stats().Commits)
	require.EqualValues(t, 1, c.Stats().CommitErrors)
}

func TestCommitWhileSomebodyElseIsInTheGroup(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	kc, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.ConsumerGroup("thresher"), kgo.ConsumeTopics("thresher.spans"), kgo.DisableAutoCommit())
	require.NoError(t, err)
	defer kc.Close()
	go kc.PollFetches(ctx)
	_, err = e.cluster.WaitGroupStable(ctx, "thresher", 1)
	require.NoError(t, err)
	err = c.Checkpoints().Commit(ctx, map[int32]Committed{0: {Offset: 1, LeaderEpoch: -1}})
	require.ErrorIs(t, err, kerr.UnknownMemberID)
	require.ErrorContains(t, err, "it must be Thresher's alone")
}

// TestCommittedWaitsForTheCoordinator: a new Kafka has none at first.
func TestCommittedWaitsForTheCoordinator(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	missing := 3 // questions
	e.cluster.ControlKey(int16(kmsg.FindCoordinator), func(req kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		if missing--; missing < 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		for _, key := range req.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
			one := kmsg.NewFindCoordinatorResponseCoordinator()
			one.Key, one.ErrorCode = key, kerr.CoordinatorNotAvailable.Code
			resp.Coordinators = append(resp.Coordinators, one)
		}
		return resp, nil, true
	})
	got, err := c.Checkpoints().Committed(testContext(t))
	require.NoError(t, err)
	require.Empty(t, got)
	require.Negative(t, missing)
}
