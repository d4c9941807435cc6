package kafka

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func startAccumulator(t *testing.T, p *Producer) *Accumulator {
	t.Helper()
	a := NewAccumulator(p)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.Close(ctx) // closing the producer settles the rest
	})
	return a
}

func contents(t *testing.T, c *Client, partition int32) (records int, all string) {
	t.Helper()
	require.NoError(t, c.ReadRange(testContext(t), partition, 0, 1<<62, func(r Record) error {
		records++
		all += string(r.Value)
		return nil
	}))
	return records, all
}

// Many small requests at once become few records that hold each fragment once.
func TestSmallRequestsShareRecords(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 4, nil)
	a := startAccumulator(t, startProducer(t, c))
	const requests = 500
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			data := []byte(fmt.Sprintf("<%d>", i))
			err := a.Publish(testContext(t), []Fragment{{0, data, 1}, {1, data, 1}, {3, data, 1}})
			clear(data) // ours again
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	total := 0
	for _, partition := range []int32{0, 1, 3} {
		records, all := contents(t, c, partition)
		total += records
		require.Equal(t, requests, strings.Count(all, "<"))
		for i := range requests {
			require.Contains(t, all, fmt.Sprintf("<%d>", i))
		}
	}
	require.Less(t, total, 3*requests/10)
	records, _ := contents(t, c, 2)
	require.Zero(t, records)
	require.EqualValues(t, total, c.Stats().ProducedRecords)
	require.Zero(t, c.Stats().WaitingBytes)
}

func TestRecordsAreCutAtTheirSize(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 1, func(cfg *Config) {
		cfg.Producer.RecordBytes = 4 << 10
		cfg.Producer.Linger = time.Second // only the size may send
		cfg.Spans.MaxRecordBytes = 64 << 10
	})
	a := startAccumulator(t, startProducer(t, c))
	var wg sync.WaitGroup
	began := time.Now()
	for range 16 {
		wg.Go(func() {
			if err := a.Publish(testContext(t), []Fragment{{0, bytes.Repeat([]byte("x"), 1<<10), 1}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Less(t, time.Since(began), time.Second)
	records, all := contents(t, c, 0)
	require.Equal(t, 4, records)
	require.Len(t, all, 16<<10)

	// A large fragment travels alone and at once; one that fits into no record is the request's fault.
	require.NoError(t, a.Publish(testContext(t), []Fragment{{0, make([]byte, 63<<10), 1}}))
	err := a.Publish(testContext(t), []Fragment{{0, []byte("x"), 1}, {0, make([]byte, 64<<10), 1}})
	require.ErrorIs(t, err, ErrTooLarge)
	require.False(t, IsRetryable(err))
	records, _ = contents(t, c, 0)
	require.Equal(t, 5, records)
}

func TestPublishRidesOutPassingErrors(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	a := startAccumulator(t, startProducer(t, c))
	for _, passing := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut} {
		h := e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "thresher.spans", Err: passing, Count: 2})
		require.NoError(t, a.Publish(testContext(t), []Fragment{{0, []byte(passing.Message), 1}}), passing.Message)
		require.NotZero(t, h.Hits(), passing.Message)
	}
	// Those that were written before the error came are not written twice: that is what idempotence is for.
	records, _ := contents(t, c, 0)
	require.Equal(t, 4, records)
}

func TestPublishGivesUpInTime(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*Embedded) (mend func()){
		"replicas missing": func(e *Embedded) func() {
			return e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "thresher.spans", Err: kerr.NotEnoughReplicas, Count: -1}).Remove
		},
		"broker hangs": func(e *Embedded) func() {
			release := make(chan struct{})
			e.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				e.cluster.SleepControl(func() { <-release })
				return nil, nil, false
			})
			return func() { close(release) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, c, _ := setup(t, 1, func(cfg *Config) { cfg.Producer.DeliveryTimeout = time.Second })
			p := startProducer(t, c)
			a := startAccumulator(t, p)
			require.NoError(t, a.Publish(testContext(t), []Fragment{{0, []byte("before"), 1}}))
			mend := breakIt(e)
			began := time.Now()
			err := a.Publish(testContext(t), []Fragment{{0, []byte("lost"), 1}})
			require.ErrorIs(t, err, ErrTimeout)
			require.True(t, IsRetryable(err))
			require.Less(t, time.Since(began), 3*time.Second)
			mend()
			require.Eventually(t, func() bool {
				return a.Publish(testContext(t), []Fragment{{0, []byte("after"), 1}}) == nil
			}, soon, 10*time.Millisecond)
		})
	}
}

func TestPublishWhileTheBrokerIsDown(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	e := startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 1, Port: port})
	cfg := testConfig(e.Addr(), 1)
	cfg.Producer.DeliveryTimeout = time.Second
	c, _ := connect(t, cfg)
	a := startAccumulator(t, startProducer(t, c))
	require.NoError(t, a.Publish(testContext(t), []Fragment{{0, []byte("1"), 1}}))
	e.Close()
	err := a.Publish(testContext(t), []Fragment{{0, []byte("2"), 1}})
	require.Error(t, err)
	require.True(t, IsRetryable(err), "%v", err)
	startBroker(t, EmbeddedOptions{Dir: dir, Partitions: 1, Port: port})
	require.Eventually(t, func() bool {
		return a.Publish(testContext(t), []Fragment{{0, []byte("3"), 1}}) == nil
	}, soon, 10*time.Millisecond)
	_, all := contents(t, c, 0)
	require.Contains(t, all, "1")
	require.Contains(t, all, "3")
}

func TestPublishWaitsForBudget(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 2, func(cfg *Config) {
		cfg.Producer.BufferBytes = 1 << 20
		cfg.Producer.DeliveryTimeout = 2 * time.Second
	})
	a := startAccumulator(t, startProducer(t, c))
	release := make(chan struct{})
	e.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	first := make(chan error, 1)
	go func() { first <- a.Publish(testContext(t), []Fragment{{0, make([]byte, 2<<20), 1}}) }() // more than all of it
	require.Eventually(t, func() bool { return c.Stats().WaitingBytes > 0 }, soon, time.Millisecond)

	ctx, cancel := context.WithTimeout(testContext(t), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, a.Publish(ctx, []Fragment{{1, []byte("x"), 1}}), context.DeadlineExceeded)
	second := make(chan error, 1)
	go func() { second <- a.Publish(testContext(t), []Fragment{{1, []byte("y"), 1}}) }()
	close(release)
	require.NoError(t, <-first)
	require.NoError(t, <-second)
}

// While Kafka does not answer, what waits for it takes what it was counted for: tiny parcels do not hold the buffers that large
// ones have left behind.
func TestWaitingParcelsTakeWhatTheyAreCountedFor(t *testing.T) { // not parallel: it looks at the heap
	const partitions, rounds = 64, 20
	e, c, _ := setup(t, partitions, func(cfg *Config) { cfg.Producer.Linger = time.Millisecond })
	a := startAccumulator(t, startProducer(t, c))
	fragments := func(size int) (all []Fragment) {
		for p := range int32(partitions) {
			all = append(all, Fragment{p, make([]byte, size), 1})
		}
		return all
	}
	release := make(chan struct{})
	e.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		e.cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what is in a pool survives one
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range 2 * partitions { // as if large parcels had just been acknowledged
		b := make([]byte, 0, 2*a.full)
		a.recycle(&b)
	}
	var published sync.WaitGroup
	for round := range rounds {
		published.Go(func() {
			if err := a.Publish(testContext(t), fragments(1)); err != nil {
				t.Error(err)
			}
		})
		require.Eventually(t, func() bool { return c.Stats().WaitingBytes == int64(round+1)*partitions }, soon, time.Millisecond)
	}
	held := a.Held()
	require.EqualValues(t, rounds*partitions*(1+fragmentBytes), held)
	// The broker of the test and the race detector take some MB in this process, too; with the fault it is 77 MB.
	require.Less(t, heap()-before, 2*held+24<<20)
	close(release)
	published.Wait()
	require.Zero(t, a.Held())
}

func TestParcelsOfAllPartitionsFitIntoTheBuffer(t *testing.T) {
	for _, c := range []struct{ buffer, partitions, want int }{
		{128 << 20, 64, 256 << 10}, {8 << 20, 64, 32 << 10}, {8 << 20, 10_000, 4 << 10},
	} {
		cfg := DefaultConfig()
		cfg.Producer.BufferBytes, cfg.Spans.Partitions = c.buffer, c.partitions
		require.Equal(t, c.want, parcelBytes(&cfg))
	}
}

func TestTogetherTooLargeIsNobodysFault(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, func(cfg *Config) { cfg.Producer.Linger = 50 * time.Millisecond })
	a := startAccumulator(t, startProducer(t, c))
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "thresher.spans", Err: kerr.MessageTooLarge, Count: -1})
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- a.Publish(testContext(t), []Fragment{{0, []byte("x"), 1}}) }()
	}
	for range 2 {
		err := <-errs
		require.True(t, IsRetryable(err), "%v", err)
	}
	err := a.Publish(testContext(t), []Fragment{{0, []byte("x"), 1}})
	require.ErrorIs(t, err, ErrTooLarge) // alone it is
}

func TestAccumulatorClose(t *testing.T) {
	t.Parallel()
	_, c, _ := setup(t, 1, func(cfg *Config) { cfg.Producer.Linger = time.Second })
	a := NewAccumulator(startProducer(t, c))
	open := make(chan error, 1)
	go func() { open <- a.Publish(testContext(t), []Fragment{{0, []byte("x"), 1}}) }()
	require.Eventually(t, func() bool {
		a.slots[0].mu.Lock()
		defer a.slots[0].mu.Unlock()
		return a.slots[0].open != nil
	}, soon, time.Millisecond)
	began := time.Now()
	require.NoError(t, a.Close(testContext(t)))
	require.Less(t, time.Since(began), 900*time.Millisecond) // it does not wait out the linger
	require.NoError(t, <-open)
	require.ErrorIs(t, a.Publish(testContext(t), []Fragment{{0, []byte("x"), 1}}), ErrClosed)
	require.NoError(t, a.Close(testContext(t)))
}

func TestProducerCloseSettlesEverything(t *testing.T) {
	t.Parallel()
	e, c, _ := setup(t, 1, nil)
	e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	p, err := c.NewProducer()
	require.NoError(t, err)
	done := make(chan error, 1)
	p.Produce(testContext(t), 0, []byte("x"), func(err error) { done <- err })
	p.Close()
	err = <-done
	require.ErrorIs(t, err, ErrClosed)
	require.True(t, IsRetryable(err))
	require.EqualValues(t, 1, c.Stats().ProduceErrors)
}
