//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // what exporters compress with by default
)

// raw is a codec that leaves messages as they are: the tests compare bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) {
	data, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("cannot marshal %T", v)
	}
	return *data, nil
}

func (raw) Unmarshal(data []byte, v any) error {
	to, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("cannot unmarshal to %T", v)
	}
	*to = append([]byte(nil), data...)
	return nil
}

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// A backend is an OTLP gRPC server that records what it accepts.
type backend struct {
	addr   string
	got    *book
	server *grpc.Server

	mu       sync.Mutex
	requests int
	answer   answer
}

// An answer says what becomes of the n-th request: the response, or an error, after whatever time it takes.
type answer func(ctx context.Context, n int, request []byte) (response []byte, accepted bool, err error)

func acceptAll(context.Context, int, []byte) ([]byte, bool, error) { return nil, true, nil }

// startBackend listens on addr, or on a free port if that is "".
func startBackend(t testing.TB, addr string) *backend {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{addr: l.Addr().String(), got: newBook(), answer: acceptAll}
	b.server = grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.MaxRecvMsgSize(1<<30))
	b.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request []byte
			if err := dec(&request); err != nil {
				return nil, err
			}
			response, err := b.export(ctx, request)
			return &response, err
		}}},
	}, b)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = b.server.Serve(l) // ends with Stop
	}()
	t.Cleanup(func() {
		b.server.Stop()
		<-served
	})
	return b
}

func (b *backend) export(ctx context.Context, request []byte) ([]byte, error) {
	b.mu.Lock()
	b.requests++
	n, ask := b.requests, b.answer
	b.mu.Unlock()
	response, accepted, err := ask(ctx, n, request)
	if accepted {
		if err := b.got.enter(request); err != nil {
			return nil, fmt.Errorf("not OTLP: %w", err)
		}
	}
	return response, err
}

// behave changes the answers from now on.
func (b *backend) behave(a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = a
}

func (b *backend) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// slow accepts after a time.
func slow(d time.Duration) answer {
	return func(ctx context.Context, _ int, _ []byte) ([]byte, bool, error) {
		select {
		case <-time.After(d):
			return nil, true, nil
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}
