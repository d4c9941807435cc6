package demo

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"thresher/bench/shop"
)

// every yields a request each second of virtual time, from zero.
type every struct{ n, most int }

func (e *every) Next() shop.Request {
	if e.n == e.most {
		return shop.Request{}
	}
	e.n++
	return shop.Request{At: time.Duration(e.n-1) * time.Second, Spans: 1}
}

func TestDriverKeepsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		d := Driver{Source: &every{most: 4}, Pace: 2, Concurrent: 1, Send: func(context.Context, shop.Request) error {
			at = append(at, time.Since(start))
			return nil
		}}
		require.NoError(t, d.Run(t.Context()))
		require.Equal(t, []time.Duration{0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond}, at)
		require.Zero(t, d.Lag())
	})
}

func TestDriverCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at, lags []time.Duration
		d := Driver{Source: &every{most: 7}, Concurrent: 1}
		d.Send = func(context.Context, shop.Request) error {
			at = append(at, time.Since(start))
			lags = append(lags, d.Lag())
			if len(at) == 2 {
				<-time.After(3500 * time.Millisecond) // the stall that is caught up with
			}
			return nil
		}
		require.NoError(t, d.Run(t.Context()))
		stalled := 4500 * time.Millisecond
		require.Equal(t, []time.Duration{0, time.Second, stalled, stalled, stalled, 5 * time.Second, 6 * time.Second}, at)
		require.Positive(t, max(lags[2], lags[3], lags[4]))
		require.Zero(t, d.Lag())
	})
}

func TestDriverSendsAtOnceUpToItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		d := Driver{Source: &every{most: 20}, Pace: 1e6, Concurrent: 3, Send: func(context.Context, shop.Request) error {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-time.After(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		}}
		require.NoError(t, d.Run(t.Context()))
		require.Equal(t, 3, most)
		require.Zero(t, now, "all have ended when Run returns")
	})
}

func TestDriverEnds(t *testing.T) {
	t.Run("with its context, which is no error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			start := time.Now()
			sent := 0
			d := Driver{Source: &every{most: -1}, Concurrent: 1, Send: func(ctx context.Context, _ shop.Request) error {
				if sent++; sent == 3 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}}
			require.NoError(t, d.Run(ctx))
			require.Equal(t, 3, sent)
			require.Equal(t, 2500*time.Millisecond, time.Since(start))
		})
	})
	t.Run("with the error of a send", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			refused := errors.New("refused")
			d := Driver{Source: &every{most: -1}, Send: func(_ context.Context, r shop.Request) error {
				if r.At == 3*time.Second {
					return refused
				}
				return nil
			}}
			require.ErrorIs(t, d.Run(t.Context()), refused)
		})
	})
}
