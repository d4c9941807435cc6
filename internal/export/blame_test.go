package export

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// flapping accepts requests with chance p, whatever is in them, and fails the rest; poison always fails.
func flapping(seed uint64, p float64, poison func(seq uint64) bool, fail outcome) func(context.Context, *batch) outcome {
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(seed, 1))
	return func(_ context.Context, b *batch) outcome {
		mu.Lock()
		defer mu.Unlock()
		for _, en := range b.entries {
			if poison != nil && poison(en.Seq) {
				return fail
			}
		}
		if chance.Float64() < p {
			return outcome{}
		}
		return fail
	}
}

var failure = outcome{verdict: again, kind: kindInternal, err: errors.New("database is down")}

// What counts against a trace: A and F are fresh answers, x a failure of the trace alone, r one of another batch that was
// tried before, a an acceptance of such a one, t a failure of the trace with a time to come back.
func TestWhatCountsAgainstATrace(t *testing.T) {
	for story, want := range map[string]int{
		"AxA": 1, "AxxxA": 1, "AxAxA": 2, "AxAAxA": 2, "AxraA": 1,
		"xA": 0, "Ax": 0, "FxA": 0, "AxF": 0, "AxFxA": 0, "AxFAxA": 1, "axaxa": 0, "AtA": 0, "AtxA": 1, "FxFxFxF": 0, "AxxxxFxxxxA": 0,
	} {
		e := &exporter{}
		trace := newBatch([]*entry{{}})
		trace.attempts = 1
		for _, answer := range story {
			other := newBatch([]*entry{{}})
			switch answer {
			case 'A':
				e.endGap(other, true)
			case 'a':
				other.attempts = 1
				e.endGap(other, true)
			case 'F':
				e.fails(other, kindInternal)
			case 'r':
				other.attempts = 1
				e.fails(other, kindInternal)
			case 'x':
				e.fails(trace, kindInternal)
			case 't':
				e.fails(trace, kindThrottled)
			}
		}
		require.Equal(t, want, trace.against, story)
	}
}

// A backend that accepts now and then, whatever it is sent, makes no trace guilty.
func TestFlappingBackendBlamesNoTrace(t *testing.T) {
	for _, p := range []float64{0.05, 0.2, 0.5, 0.8} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%v %d", p, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l, s := newLedger(), &script{answer: flapping(seed, p, nil, failure)}
					d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
					sent := 0
					for range 1500 { // single traces: nothing needs to be taken apart before it can be blamed
						d.Submit(small(7, sent, 1, 10))
						sent++
						elapse(2 * time.Second)
					}
					elapse(20 * time.Hour)
					synctest.Wait()
					l.once(t, sent)
					require.Empty(t, l.rejections())
				})
			})
		}
	}
}

// Outages at any rhythm, short or long, make no trace guilty.
func TestOutagesBlameNoTrace(t *testing.T) {
	for _, rhythm := range []struct{ up, down time.Duration }{
		{time.Second, 9 * time.Second}, {10 * time.Second, 10 * time.Second}, {time.Minute, 9 * time.Minute},
		{7 * time.Second, 3 * time.Second}, {300 * time.Millisecond, 700 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(rhythm), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				l, s := newLedger(), &script{answer: func(context.Context, *batch) outcome {
					if time.Since(begin)%(rhythm.up+rhythm.down) < rhythm.up {
						return outcome{}
					}
					return failure
				}}
				d := scripted(t, l, map[string]any{"a": s}, kept("a"), func(d *Delivery, _ *Options) {
					if d != nil {
						d.exporters[0].random = rand.New(rand.NewPCG(1, 2)).Float64
					}
				})
				sent := 0
				for range 2000 {
					d.Submit(small(7, sent, 3, 10))
					sent += 3
					elapse(1700 * time.Millisecond)
				}
				elapse(2 * time.Hour)
				synctest.Wait()
				l.once(t, sent)
				require.Empty(t, l.rejections())
			})
		})
	}
}

// Poison is found even if a third of all traces are poison, the backend fails now and then anyway, or it takes a timeout to fail.
func TestPoisonIsFound(t *testing.T) {
	third := func(seq uint64) bool { return seq%3 == 0 }
	few := func(seq uint64) bool { return seq%500 == 123 }
	timeout := outcome{verdict: again, kind: kindTimeout, err: errors.New("no answer in time")}
	forbidden := outcome{verdict: again, kind: kindForbidden, err: errors.New("attack")}
	patient := outcome{verdict: again, kind: kindInternal, err: errors.New("come back"), after: 30 * time.Second}
	for name, c := range map[string]struct {
		p      float64
		poison func(uint64) bool
		fail   outcome
		slow   time.Duration
	}{
		"few": {1, few, failure, 0}, "forbidden": {1, few, forbidden, 0}, "a third": {1, third, failure, 0},
		"a third, flapping": {0.9, third, failure, 0}, "slow": {1, few, timeout, 5 * time.Second}, "asks to wait": {1, few, patient, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLedger()
				judge := flapping(1, c.p, c.poison, c.fail)
				s := &script{answer: func(ctx context.Context, b *batch) outcome {
					out := judge(ctx, b)
					if out.verdict == again {
						<-time.After(c.slow)
					}
					return out
				}}
				d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
				sent, poison := 0, 0
				for range 600 {
					for i := range 5 {
						if c.poison(uint64(sent + i)) {
							poison++
						}
					}
					d.Submit(small(7, sent, 5, 10))
					sent += 5
					elapse(time.Second)
				}
				// Without others there is no verdict, so some more come while the last of the bad ones are judged.
				more := sent
				for tries := 0; l.acked() < more && tries < 6*3600; tries++ {
					for ; c.poison(uint64(more)); more++ {
						l.ack(7, uint64(more)) // skipped
					}
					d.Submit(small(7, more, 1, 10))
					more++
					elapse(time.Second)
				}
				synctest.Wait()
				l.once(t, more)
				require.Len(t, l.rejections(), poison)
			})
		})
	}
}

// One bad trace that asks for pauses does not slow the others down.
func TestPoisonThatAsksForAPauseGetsItAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{answer: flapping(1, 1, func(seq uint64) bool { return seq == 3 },
			outcome{verdict: again, kind: kindThrottled, err: errors.New("come back"), after: time.Minute})}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 10, 10))
		elapse(20 * time.Minute)
		for i := range 1000 {
			d.Submit(small(7, 10+10*i, 10, 10))
			elapse(time.Second)
			if i > 300 {
				synctest.Wait()
				require.Equal(t, 1, l.count(uint64(10+10*i)), "%d s", i)
			}
		}
		require.Equal(t, 10_009, l.acked(), "all but the bad one")
		elapse(24 * time.Hour)
		synctest.Wait()
		require.Empty(t, l.rejections(), "a backend that throttles is believed")
	})
}

// Poison that takes a timeout to fail leaves places in flight to others.
func TestSlowPoisonLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		bad := func(seq uint64) bool { return seq < 40 }
		s := &script{answer: func(_ context.Context, b *batch) outcome {
			for _, en := range b.entries {
				if bad(en.Seq) {
					<-time.After(30 * time.Second)
					return outcome{verdict: again, kind: kindTimeout, err: errors.New("no answer in time")}
				}
			}
			return outcome{}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), func(d *Delivery, _ *Options) {
			if d != nil {
				d.exporters[0].batching.MaxBatchTraces = 1
				d.exporters[0].batching.MaxInFlight = 4
			}
		})
		good := 1000
		for i := range 40 {
			d.Submit(small(7, i, 1, 10))
			d.Submit(small(7, good, 1, 10))
			good++
			elapse(30 * time.Second)
		}
		late := 0
		for range 200 {
			d.Submit(small(7, good, 1, 10))
			elapse(2 * time.Second)
			synctest.Wait()
			if l.count(uint64(good)) == 0 {
				late++
			}
			good++
		}
		require.Less(t, late, 10, "traces that had to wait for more than two seconds")
	})
}
