//go:build e2e

package e2e

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"thresher/bench/shop"
)

// A sender is an OTLP gRPC client for requests that are bytes already.
type sender struct {
	conn *grpc.ClientConn
	sent *book // what was acknowledged
}

func newSender(t testing.TB, addr string) *sender {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallSendMsgSize(1<<30)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, MaxDelay: 500 * time.Millisecond}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &sender{conn: conn, sent: newBook()}
}

// once sends a request and tells how many of its spans were rejected, and why.
func (s *sender) once(ctx context.Context, request []byte) (rejected int64, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var answer []byte
	if err := s.conn.Invoke(ctx, exportMethod, &request, &answer); err != nil {
		return 0, "", err
	}
	response := ptraceotlp.NewExportResponse()
	if err := response.UnmarshalProto(answer); err != nil {
		return 0, "", err
	}
	return response.PartialSuccess().RejectedSpans(), response.PartialSuccess().ErrorMessage(), nil
}

// until sends a request again and again as long as the answer is retryable, as SDKs do. It counts the attempts that failed.
func (s *sender) until(ctx context.Context, request []byte) (failed int, err error) {
	for {
		rejected, why, err := s.once(ctx, request)
		switch {
		case err == nil && rejected > 0:
			return failed, errors.New("partially rejected: " + why)
		case err == nil:
			return failed, s.sent.enter(request)
		}
		if c := status.Code(err); c != codes.Unavailable && c != codes.DeadlineExceeded && c != codes.Canceled {
			return failed, err
		}
		failed++
		select {
		case <-ctx.Done():
			return failed, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// load sends the shop's traffic at the pace of its virtual time over several connections' worth of requests, until about
// that many spans are out, all traces ended. at is called, if not nil, with the number of spans sent so far. It returns the number of
// attempts that had to be repeated.
func (s *sender) load(t testing.TB, cfg shop.Config, spans int, at func(sent int)) (retries int) {
	t.Helper()
	cfg.Base = time.Now()
	traffic := shop.New(cfg)
	requests := make(chan []byte, 16)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	var workers sync.WaitGroup
	var failure error
	for range 8 {
		workers.Go(func() {
			for request := range requests {
				failed, err := s.until(ctx, request)
				mu.Lock()
				retries += failed
				if err != nil && failure == nil {
					failure = err
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	begin, sent, stopped := time.Now(), 0, false
	for {
		if sent >= spans && !stopped {
			traffic.Stop()
			stopped = true
		}
		request := traffic.Next()
		if request.Spans == 0 {
			break
		}
		waitUntil(begin.Add(request.At))
		if at != nil {
			at(sent)
		}
		requests <- request.Data
		sent += request.Spans
		if ctx.Err() != nil {
			break
		}
	}
	close(requests)
	workers.Wait()
	if failure != nil {
		t.Fatalf("sending: %v", failure)
	}
	t.Logf("sent %d spans in %v, %.0f a second, %d attempts repeated", sent, time.Since(begin).Round(time.Millisecond),
		float64(sent)/time.Since(begin).Seconds(), retries)
	return retries
}
