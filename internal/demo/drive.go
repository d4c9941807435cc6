package demo

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"thresher/bench/shop"
)

// A Source yields requests in order of virtual time; one without spans is the end. A shop.Shop is one.
type Source interface{ Next() shop.Request }

// A Driver sends the requests of a Source when their time has come.
type Driver struct {
	Source Source
	// Pace is how many seconds of virtual time pass in a second. Not above 0: 1, real time.
	Pace float64
	// Concurrent is the most requests being sent at once, as there are many clients. Not above 0: 16.
	Concurrent int
	// Send sends one request and returns once the answer is there. It must return when its context is done. Whatever is to
	// be tried again, it tries again: its error ends the drive.
	Send func(ctx context.Context, r shop.Request) error

	lag atomic.Int64
}

// Lag is by how much requests are sent later than they should. A Driver that is late sends as fast as it can until it has
// caught up: clients that were turned away come back.
func (d *Driver) Lag() time.Duration { return time.Duration(d.lag.Load()) }

// Run sends until the context is done or the source has ended, and returns nil, or until a Send fails, and returns its
// error. It waits for all that are being sent.
func (d *Driver) Run(ctx context.Context) error {
	pace, concurrent := d.Pace, d.Concurrent
	if pace <= 0 {
		pace = 1
	}
	if concurrent <= 0 {
		concurrent = 16
	}
	senders, sending := errgroup.WithContext(ctx)
	senders.SetLimit(concurrent)
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r := d.Source.Next()
		if r.Spans == 0 {
			break
		}
		due := time.Duration(float64(r.At) / pace)
		if wait := due - time.Since(start); wait > 0 {
			d.lag.Store(0)
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-sending.Done():
			}
		} else {
			d.lag.Store(int64(-wait))
		}
		if sending.Err() != nil {
			break
		}
		senders.Go(func() error { return d.Send(sending, r) })
	}
	err := senders.Wait()
	if ctx.Err() != nil {
		return nil // told to stop: what failed for that is no failure
	}
	return err
}
