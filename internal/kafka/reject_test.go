package kafka

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// readRejected returns the first records of the rejected topic.
func readRejected(t *testing.T, e *Embedded, count int) (got []*kgo.Record) {
	t.Helper()
	kc, err := kgo.NewClient(kgo.SeedBrokers(e.Addr()), kgo.ConsumeTopics("thresher.rejected"))
	require.NoError(t, err)
	defer kc.Close()
	for len(got) < count {
		fetches := kc.PollFetches(testContext(t))
		require.NoError(t, fetches.Err0())
		got = append(got, fetches.Records()...)
	}
	return got
}

func headersOf(r *kgo.Record) map[string]string {
	m := make(map[string]string)
	for _, h := range r.Headers {
		m[h.Key] = string(h.Value)
	}
	return m
}

func TestReject(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, func(cfg *Config) {
		cfg.Spans.MaxRecordBytes = 64 << 10
		cfg.Producer.RecordBytes = 4 << 10
	})
	r := c.NewRejecter()
	done := make(chan struct{})
	there := func() { done <- struct{}{} }
	r.Reject(Rejected{Reason: "no protobuf", Value: []byte("junk"), Topic: "in", Partition: 3, Offset: 77}, there)
	<-done
	r.Reject(Rejected{Reason: "too long", Value: bytes.Repeat([]byte("j"), 100<<10)}, there)
	<-done

	got := readRejected(t, e, 2)
	require.Equal(t, "junk", string(got[0].Value))
	require.Equal(t, map[string]string{HeaderReason: "no protobuf", HeaderTopic: "in", HeaderPartition: "3", HeaderOffset: "77"}, headersOf(got[0]))
	require.Equal(t, map[string]string{HeaderReason: "too long", HeaderCut: "102400"}, headersOf(got[1]))
	require.Less(t, len(got[1].Value), 64<<10)
	require.EqualValues(t, 2, c.Stats().RejectedRecords)
	require.Zero(t, c.Stats().RejectWaiting)
}

// However much is rejected at once, all of it gets there: nothing is dropped for lack of room.
func TestRejectedBurst(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	r := c.NewRejecter()
	const count = 1000
	value := bytes.Repeat([]byte("x"), 100<<10)
	var there [count]atomic.Int32
	left := make(chan struct{}, count)
	for i := range count {
		r.Reject(Rejected{Reason: strconv.Itoa(i), Value: value}, func() { there[i].Add(1); left <- struct{}{} })
	}
	for range count {
		<-left
	}
	var reasons []int
	for _, rec := range readRejected(t, e, count) {
		n, err := strconv.Atoi(headersOf(rec)[HeaderReason])
		require.NoError(t, err)
		reasons = append(reasons, n)
	}
	slices.Sort(reasons)
	for i := range count {
		require.EqualValues(t, 1, there[i].Load())
		require.Equal(t, i, reasons[i])
	}
}

// A topic that does not take records is asked again until it does; done is not called before.
func TestRejectIsTriedAgain(t *testing.T) {
	t.Parallel()
	e, c, said := setup(t, 1, nil)
	fault := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1})
	r := c.NewRejecter()
	var done atomic.Int32
	for i := range 10 {
		r.Reject(Rejected{Reason: fmt.Sprint(i), Value: []byte("x")}, func() { done.Add(1) })
	}
	require.Eventually(t, func() bool { return c.Stats().RejectErrors > 20 && r.Problem() != nil }, soon, 10*time.Millisecond)
	require.Zero(t, done.Load())
	require.EqualValues(t, 10, c.Stats().RejectWaiting)
	require.ErrorIs(t, r.Problem(), kerr.InvalidRecord)
	require.Equal(t, 1, said.count("does not take records"), "a line, not one for each")
	fault.Remove()
	require.Eventually(t, func() bool { return done.Load() == 10 }, soon, 10*time.Millisecond)
	require.NoError(t, r.Problem())
	require.Len(t, readRejected(t, e, 10), 10)
}

// A topic that somebody made for smaller records gets as much of the data as fits.
func TestRejectIntoATopicOfSmallRecords(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	most := "20000"
	_, err := kadm.NewClient(c.kc.Client).AlterTopicConfigs(testContext(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &most}}, c.cfg.Rejected.Topic)
	require.NoError(t, err)
	done := make(chan struct{})
	value := make([]byte, 100_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(value) // so that compression does not make it fit
	c.NewRejecter().Reject(Rejected{Reason: "large", Value: value}, func() { close(done) })
	<-done
	rec := readRejected(t, e, 1)[0]
	require.Equal(t, "100000", headersOf(rec)[HeaderCut])
	require.Equal(t, value[:len(rec.Value)], rec.Value)
	require.Greater(t, len(rec.Value), 5_000)
}

// Closing the client in the middle leaves what is not there unsettled.
func TestRejectWhileClosing(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1})
	r := c.NewRejecter()
	r.Reject(Rejected{Reason: "x"}, func() { t.Error("it is not there") })
	require.Eventually(t, func() bool { return c.Stats().RejectErrors > 1 }, soon, 10*time.Millisecond)
	c.Close()
	r.Reject(Rejected{Reason: "y"}, func() { t.Error("it is not there") })
}
