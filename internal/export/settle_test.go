package export

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRefusedTracesAreRejectedBeforeTheyAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{answer: func(_ context.Context, b *batch) outcome {
			if holds(b, 2) {
				return outcome{verdict: refused, kind: kindInvalid, err: errors.New("no")}
			}
			return outcome{}
		}}
		rejectedFirst := false
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), func(_ *Delivery, o *Options) {
			o.Ack = func(p int32, seq uint64) {
				if seq == 2 {
					rejectedFirst = len(l.rejections()) == 1
				}
				l.ack(p, seq)
			}
		})
		d.Submit(small(7, 0, 10, 10))
		synctest.Wait()
		l.once(t, 10)
		require.True(t, rejectedFirst)
	})
}

func TestTwoRequiredExportersOneAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a := newLedger(), &script{answer: fine}
		gate := make(chan struct{})
		b := &script{answer: func(context.Context, *batch) outcome { <-gate; return outcome{} }}
		d := scripted(t, l, map[string]any{"a": a, "b": b}, kept("a", "b"), nil)
		d.Submit(small(7, 0, 100, 10))
		elapse(time.Minute)
		synctest.Wait()
		l.once(t, 0)
		require.EqualValues(t, 100, statsOf(t, d, "a").Traces, "a goes on while b is stuck")
		close(gate)
		synctest.Wait()
		l.once(t, 100)
		require.Zero(t, d.Stats().QueueBytes)
	})
}

func TestStuckBestEffortExporterLosesOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a, b := newLedger(), &script{answer: fine}, &script{answer: hanging}
		log := &logBuffer{}
		routes := kept("a")
		routes.Kept = append(routes.Kept, Route{Exporter: "b"})
		d := scripted(t, l, map[string]any{"a": a, "b": b}, routes, func(_ *Delivery, o *Options) {
			o.MaxBytes = 80_000
			o.Logger = log.logger()
		})
		for i := range 100 {
			d.Submit(small(7, 10*i, 10, 1000))
			synctest.Wait()
			require.False(t, d.Full())
		}
		l.once(t, 1000)
		s := statsOf(t, d, "b")
		require.EqualValues(t, 7, s.QueueTraces, "an eighth of the budget, 10 kB, holds 7 of 1256 B")
		require.EqualValues(t, 993, s.DiscardedTraces)
		require.EqualValues(t, 993_000, s.DiscardedBytes)
		require.Contains(t, log.String(), "required: true")
	})
}

// Room that was taken is given back: a best-effort exporter that recovers loses nothing any more.
func TestBestEffortExporterRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		l, s := newLedger(), &script{answer: func(context.Context, *batch) outcome { <-gate; return outcome{} }}
		d := scripted(t, l, map[string]any{"a": s}, Routes{Kept: []Route{{Exporter: "a"}}}, func(_ *Delivery, o *Options) { o.MaxBytes = 80_000 })
		d.Submit(small(7, 0, 10, 1000))
		require.EqualValues(t, 3, statsOf(t, d, "a").DiscardedTraces)
		close(gate)
		for i := range 10 {
			elapse(time.Second)
			d.Submit(small(7, 10*(i+1), 7, 1000))
		}
		elapse(time.Second)
		synctest.Wait()
		require.EqualValues(t, 3, statsOf(t, d, "a").DiscardedTraces)
		require.EqualValues(t, 77, statsOf(t, d, "a").Traces)
		l.mu.Lock()
		defer l.mu.Unlock()
		require.Len(t, l.acks, 80, "none is required, all are acknowledged")
	})
}

func TestRoutesByClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a, b := newLedger(), &script{answer: fine}, &script{answer: hanging}
		routes := kept("a")
		routes.Dropped = []Route{{Exporter: "b"}}
		d := scripted(t, l, map[string]any{"a": a, "b": b}, routes, nil)
		require.True(t, d.Wants(Kept))
		require.True(t, d.Wants(Dropped))
		list := small(7, 0, 10, 10)
		for i := range list[:5] {
			list[i].Class = Dropped
		}
		d.Submit(list)
		for i := range 5 {
			require.Equal(t, 1, l.count(uint64(i)), "nobody required: acknowledged at once")
		}
		elapse(time.Second)
		synctest.Wait()
		l.once(t, 10)
		require.Equal(t, []uint64{5, 6, 7, 8, 9}, a.calls[0].traces)
		require.Equal(t, []uint64{0, 1, 2, 3, 4}, b.calls[0].traces)
	})
}

func TestNoRoutesAtAll(t *testing.T) {
	l := newLedger()
	d := startParsed(t, Config{}, Routes{}, l, nil)
	require.False(t, d.Wants(Kept))
	d.Submit(small(7, 0, 3, 10))
	l.once(t, 3)
}

func TestBudgetFillsAndEmpties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		l, s := newLedger(), &script{answer: func(context.Context, *batch) outcome { <-gate; return outcome{} }}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), func(_ *Delivery, o *Options) { o.MaxBytes = 100_000 })
		<-d.Ready()
		d.Submit(small(7, 0, 79, 1000))
		require.False(t, d.Full(), "79 x 1256 B")
		d.Submit(small(7, 79, 1, 1000))
		require.True(t, d.Full())
		ready := d.Ready()
		for range 2 {
			gate <- struct{}{}
		}
		synctest.Wait()
		require.True(t, d.Full(), "60 traces are above the low mark")
		gate <- struct{}{}
		<-ready
		require.False(t, d.Full())
		close(gate)
		elapse(time.Second)
		synctest.Wait()
		require.Zero(t, d.Stats().QueueBytes)
	})
}

func TestForgottenPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		l, s := newLedger(), &script{}
		s.answer = func(ctx context.Context, b *batch) outcome {
			if holds(b, 10) {
				return down(ctx, b) // parked
			}
			<-gate
			return outcome{}
		}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), func(_ *Delivery, o *Options) { o.MaxBytes = 60_000 })
		d.Submit(small(7, 0, 40, 1000)) // in flight, parked, queued
		d.Submit(small(8, 0, 10, 1000))
		synctest.Wait()
		require.True(t, d.Full())
		d.Forget(7)
		d.Forget(9)
		require.False(t, d.Full(), "what waits is discarded at once")
		d.Submit(small(7, 0, 1, 1000)) // the next tenure counts from the start again
		close(gate)
		elapse(time.Minute)
		synctest.Wait()
		require.Len(t, l.acks, 11)
		require.Equal(t, 1, l.count(0), "once, for the new tenure")
		require.Zero(t, d.Stats().QueueBytes)
		require.EqualValues(t, 20, statsOf(t, d, "a").ForgottenTraces)
		require.Zero(t, statsOf(t, d, "a").QueueTraces)
	})
}

// What was in flight when its partition was released is not tried again.
func TestForgottenInFlightIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		l, s := newLedger(), &script{}
		s.answer = func(ctx context.Context, b *batch) outcome {
			<-gate
			return down(ctx, b)
		}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 10, 10))
		synctest.Wait()
		d.Forget(7)
		close(gate)
		elapse(time.Minute)
		synctest.Wait()
		require.Len(t, s.times(), 1)
		require.Zero(t, d.Stats().QueueBytes)
		require.EqualValues(t, 10, statsOf(t, d, "a").ForgottenTraces)
	})
}

// An acknowledgement that has begun is over when Forget returns, and none follows: the caller may reuse sequence numbers
// at once.
func TestNoAckAfterForget(t *testing.T) {
	const tenures = 300
	var over [tenures]atomic.Bool
	var acks atomic.Int64
	l := newLedger()
	opts := Options{Ack: func(p int32, _ uint64) {
		for range 3 {
			runtime.Gosched()
			if over[p].Load() {
				t.Errorf("partition %d: Ack after Forget", p)
			}
		}
		acks.Add(1)
	}, Reject: l.reject}
	cfg := Config{Exporters: map[string]any{"a": &script{answer: fine}}}
	d, err := New(cfg, kept("a"), opts)
	require.NoError(t, err)
	d.exporters[0].batching.MaxBatchTraces = 5
	require.NoError(t, d.Start(context.Background()))
	for p := range int32(tenures) {
		d.Submit(small(p, 0, 100, 10))
		for range p % 7 {
			runtime.Gosched()
		}
		d.Forget(p)
		over[p].Store(true)
	}
	require.NoError(t, d.Shutdown(context.Background()))
	require.Zero(t, d.Stats().QueueBytes)
	require.NotZero(t, acks.Load(), "some were faster than Forget")
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{answer: func(context.Context, *batch) outcome { <-time.After(900 * time.Millisecond); return outcome{} }}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 30, 10))
		synctest.Wait()
		require.NoError(t, d.Shutdown(context.Background()))
		l.once(t, 20)
		d.Submit(small(7, 30, 1, 10))
		require.Len(t, s.calls, 2)
	})
}

func TestShutdownBeforeStart(t *testing.T) {
	d, err := New(Config{}, Routes{}, Options{})
	require.NoError(t, err)
	require.NoError(t, d.Shutdown(context.Background()))
	require.Error(t, d.Start(context.Background()))
}

// Random outcomes, splits and retries: every item is acknowledged once, and the books balance.
func TestEveryItemIsSettledOnce(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				a, b := &script{answer: unreliable(seed)}, &script{answer: unreliable(seed + 1000)}
				d := scripted(t, l, map[string]any{"a": a, "b": b}, kept("a", "b"), nil)
				for i := range 50 {
					d.Submit(small(7, 10*i, 10, 10+i))
					elapse(10 * time.Millisecond)
				}
				elapse(time.Hour)
				synctest.Wait()
				l.once(t, 500)
				for _, id := range []string{"a", "b"} {
					s := statsOf(t, d, id)
					require.EqualValues(t, 500, s.Traces+s.RejectedTraces)
					require.Zero(t, s.QueueTraces)
					require.Zero(t, s.InFlight)
				}
				require.Zero(t, d.Stats().QueueBytes)
			})
		})
	}
}

// unreliable accepts, fails, refuses and half accepts as the seed and the number of the call say; it ends accepting.
func unreliable(seed uint64) func(context.Context, *batch) outcome {
	var mu sync.Mutex
	state := seed*2654435761 + 1
	return func(_ context.Context, b *batch) outcome {
		mu.Lock()
		defer mu.Unlock()
		state = state*6364136223846793005 + 1442695040888963407
		switch state >> 60 {
		case 0, 1, 2:
			return outcome{verdict: again, kind: kindUnreachable, err: errors.New("again")}
		case 3:
			return outcome{verdict: refused, kind: kindInvalid, err: errors.New("refused")}
		case 4:
			return outcome{verdict: tooLarge, kind: kindTooLarge, err: errors.New("large")}
		case 5, 6:
			done := make([]bool, len(b.entries))
			for i := range done {
				done[i] = (state>>uint(i%32))&1 == 0
			}
			done[0] = false
			return outcome{verdict: again, kind: kindTimeout, err: errors.New("half"), done: done}
		}
		return outcome{}
	}
}
