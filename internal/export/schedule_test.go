package export

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// script is an exporter whose backend is a function; with synctest its time is virtual.
type script struct {
	answer func(ctx context.Context, b *batch) outcome

	mu    sync.Mutex
	calls []call
}

type call struct {
	at     time.Duration // since the first
	traces []uint64
}

func (s *script) open() (sender, error) { return s, nil }
func (s *script) close() error          { return nil }

func (s *script) send(ctx context.Context, b *batch) outcome {
	c := call{at: time.Duration(time.Now().UnixNano())}
	for _, en := range b.entries {
		c.traces = append(c.traces, en.Seq)
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	return s.answer(ctx, b)
}

// elapse lets virtual time pass.
func elapse(d time.Duration) { <-time.After(d) }

// times returns when the calls were made, relative to the first.
func (s *script) times() (list []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		list = append(list, c.at-s.calls[0].at)
	}
	return list
}

func holds(b *batch, seq uint64) bool {
	for _, en := range b.entries {
		if en.Seq == seq {
			return true
		}
	}
	return false
}

var (
	fine = func(context.Context, *batch) outcome { return outcome{} }
	down = func(context.Context, *batch) outcome {
		return outcome{verdict: again, kind: kindUnreachable, err: errors.New("down")}
	}
	hanging = func(ctx context.Context, _ *batch) outcome {
		<-ctx.Done()
		return outcome{verdict: again, kind: kindTimeout, err: ctx.Err()}
	}
)

// scripted starts a delivery with scripted exporters, named by letters, and routes. Retries are exact: no spread.
func scripted(t *testing.T, l *ledger, exporters map[string]any, routes Routes, change func(*Delivery, *Options)) *Delivery {
	t.Helper()
	opts := Options{Ack: l.ack, Reject: l.reject}
	if change != nil {
		change(nil, &opts)
	}
	d, err := New(Config{Exporters: exporters}, routes, opts)
	require.NoError(t, err)
	for _, e := range d.exporters {
		e.random = func() float64 { return 0.5 }
		e.batching.MaxBatchTraces = 10
		e.batching.MaxInFlight = 2
	}
	if change != nil {
		change(d, &opts)
	}
	require.NoError(t, d.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, d.Shutdown(context.Background())) })
	return d
}

// small makes items without real payloads.
func small(partition int32, first, count, size int) []Item {
	list := make([]Item, count)
	for i := range list {
		list[i] = Item{Partition: partition, Seq: uint64(first + i), TraceID: traceID(first + i), Payload: make([]byte, size), Spans: 1}
	}
	return list
}

func kept(ids ...string) Routes {
	var r Routes
	for _, id := range ids {
		r.Kept = append(r.Kept, Route{Exporter: id, Required: true})
	}
	return r
}

func TestBatchWaitsForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newLedger(), &script{answer: fine}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 3, 10))
		elapse(49 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, s.times(), "the batch is not full and not old enough")
		d.Submit(small(7, 3, 1, 10))
		elapse(time.Millisecond)
		synctest.Wait()
		require.Len(t, s.calls, 1)
		require.Equal(t, []uint64{0, 1, 2, 3}, s.calls[0].traces)
		d.Submit(small(7, 4, 10, 10))
		synctest.Wait()
		require.Len(t, s.calls, 2, "a full batch goes at once")
		l.once(t, 14)
	})
}

func TestBatchLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newLedger(), &script{answer: fine}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), func(d *Delivery, _ *Options) {
			if d != nil {
				d.exporters[0].maxBytes = 1000
				d.exporters[0].batching.MaxInFlight = 1
			}
		})
		list := append(small(7, 0, 3, 400), small(7, 3, 1, 5000)...)
		d.Submit(append(list, small(7, 4, 12, 1)...))
		elapse(time.Second)
		synctest.Wait()
		var sizes []int
		for _, c := range s.calls {
			sizes = append(sizes, len(c.traces))
		}
		require.Equal(t, []int{2, 1, 1, 10, 2}, sizes, "by bytes, a large one alone, by traces")
		l.once(t, 16)
	})
}

func TestBackOffGrowsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		begin := time.Now()
		s := &script{answer: func(ctx context.Context, b *batch) outcome {
			if time.Since(begin) < time.Hour {
				return down(ctx, b)
			}
			return outcome{}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 10, 10))
		elapse(2 * time.Hour)
		synctest.Wait()
		l.once(t, 10)
		times := s.times()
		require.Equal(t, []time.Duration{0, 500 * time.Millisecond, 1250 * time.Millisecond, 2375 * time.Millisecond}, times[:4])
		require.Equal(t, 10*time.Second, times[20]-times[19])
		require.InDelta(t, 3600, times[len(times)-1].Seconds(), 10, "found soon after it came back")
	})
}

func TestBackendDownSeesFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newLedger(), &script{answer: down}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		for i := range 100 {
			d.Submit(small(7, 10*i, 10, 10))
		}
		elapse(time.Minute)
		synctest.Wait()
		require.Less(t, len(s.calls), 50, "2 in flight, growing pauses, a probe now and then")
		require.True(t, statsOf(t, d, "a").Failing)
		s.mu.Lock()
		s.answer = fine
		s.mu.Unlock()
		elapse(15 * time.Second)
		synctest.Wait()
		l.once(t, 1000)
		require.False(t, statsOf(t, d, "a").Failing)
	})
}

func TestPauseThatTheBackendAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{}
		s.answer = func(context.Context, *batch) outcome {
			if len(s.times()) == 1 {
				return outcome{verdict: again, kind: kindThrottled, err: errors.New("slow down"), after: 7 * time.Second}
			}
			return outcome{}
		}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 10, 10))
		synctest.Wait()
		d.Submit(small(7, 10, 10, 10))
		elapse(10 * time.Second)
		synctest.Wait()
		require.Equal(t, []time.Duration{0, 7 * time.Second, 7 * time.Second}, s.times(), "new batches wait as well")
		l.once(t, 20)
	})
}

// A trace that sets off a bug in the backend is isolated and, in the end, given up; many of them do not stop the others.
func TestPoisonousTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{answer: func(_ context.Context, b *batch) outcome {
			for _, en := range b.entries {
				if en.Seq < 50 && en.Seq%10 == 3 {
					return outcome{verdict: again, kind: kindInternal, err: errors.New("panic in the indexer")}
				}
			}
			return outcome{}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		for i := range 20 {
			d.Submit(small(7, 10*i, 10, 10))
			elapse(5 * time.Second)
		}
		elapse(10 * time.Second) // new batches may have to wait for a probe
		synctest.Wait()
		require.GreaterOrEqual(t, len(l.acks), 195, "all but the poisonous have passed")
		require.Empty(t, l.rejections())
		for i := range 40 {
			d.Submit(small(7, 200+i, 1, 10))
			elapse(5 * time.Second)
		}
		synctest.Wait()
		l.once(t, 240)
		require.Len(t, l.rejections(), 5)
		require.Contains(t, l.rejections()[0].reason, "of them right between traces that were accepted: panic in the indexer")
	})
}

// When the backend fails on everything, nobody is to blame.
func TestFailingBackendBlamesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{answer: func(context.Context, *batch) outcome {
			return outcome{verdict: again, kind: kindInternal, err: errors.New("database is down")}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 100, 10))
		elapse(24 * time.Hour)
		synctest.Wait()
		require.Empty(t, l.rejections())
		require.EqualValues(t, 100, statsOf(t, d, "a").QueueTraces)
		for _, c := range s.calls {
			require.Len(t, c.traces, 10, "batches stay whole")
		}
	})
}
