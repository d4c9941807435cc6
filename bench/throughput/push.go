package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// pushed is what clients sent.
type pushed struct {
	Requests int64   `json:"requests"`
	Spans    int64   `json:"spans"`
	Bytes    int64   `json:"bytes"`
	Retries  int64   `json:"retries"` // refused as overloaded, and sent again
	Wall     float64 `json:"wall_seconds"`
}

// push sends the traffic to an OTLP receiver, and returns when all of it is acknowledged.
func push(ctx context.Context, o *options, address string) (pushed, error) {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex // of u
	u := o.traffic()
	var requests, sent, retries atomic.Int64
	next := func(buf []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if u.Spans() >= int64(o.spans) {
			return nil
		}
		return u.NextInto(buf).Data
	}
	options := []grpc.CallOption{grpc.ForceCodecV2(rawCodec{})}
	if o.clientGzip {
		options = append(options, grpc.UseCompressor("gzip"))
	}
	for range o.clients {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return pushed{}, err
		}
		defer func() { _ = conn.Close() }()
		for range o.inFlight {
			g.Go(func() error {
				for {
					// Its own memory each time: gRPC may still hold the last one.
					data := next(nil)
					if data == nil || ctx.Err() != nil {
						return ctx.Err()
					}
					again, err := export(ctx, conn, data, options)
					if err != nil {
						return fmt.Errorf("sending to %s: %w", address, err)
					}
					requests.Add(1)
					sent.Add(int64(len(data)))
					retries.Add(again)
				}
			})
		}
	}
	err := g.Wait()
	return pushed{requests.Load(), u.Spans(), sent.Load(), retries.Load(), time.Since(began).Seconds()}, err
}

// export sends one request until it is accepted, and returns how often it had to be sent again.
func export(ctx context.Context, conn *grpc.ClientConn, data []byte, options []grpc.CallOption) (int64, error) {
	for tries := int64(0); ; tries++ {
		var answer message
		err := conn.Invoke(ctx, exportMethod, message(data), &answer, options...)
		switch {
		case err == nil && len(answer) > 0:
			return tries, fmt.Errorf("a partial success of %d bytes", len(answer))
		case status.Code(err) != codes.Unavailable:
			return tries, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return tries, ctx.Err()
		}
	}
}
