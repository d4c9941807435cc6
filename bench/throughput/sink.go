package main

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // so that the sink takes gzip, and clients can send it
	"google.golang.org/grpc/mem"

	"thresher/internal/wire"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"
	exportMethod = "/" + traceService + "/Export"
)

// sink is an OTLP backend that counts and throws away.
type sink struct {
	server *grpc.Server
	addr   string
	done   chan struct{}

	requests, bytes, spans atomic.Int64
}

// received is what a sink got.
type received struct {
	Requests int64 `json:"requests"`
	Spans    int64 `json:"spans"`
	Bytes    int64 `json:"bytes"` // uncompressed
}

func startSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String(), done: make(chan struct{})}
	s.server = grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(256<<20))
	s.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: traceService,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: s.export}},
	}, s)
	go func() {
		defer close(s.done)
		_ = s.server.Serve(l) // it ends with stop, and a sink that ended earlier shows in what arrives
	}()
	return s, nil
}

func (s *sink) export(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var m message
	if err := decode(&m); err != nil {
		return nil, err
	}
	var n spanCount
	if err := wire.Walk(m, &wire.Scratch{}, &n); err != nil {
		return nil, err
	}
	s.requests.Add(1)
	s.bytes.Add(int64(len(m)))
	s.spans.Add(int64(n))
	return message(nil), nil
}

func (s *sink) received() received {
	return received{Requests: s.requests.Load(), Spans: s.spans.Load(), Bytes: s.bytes.Load()}
}

func (s *sink) stop() {
	s.server.Stop()
	<-s.done
}

// message is the bytes of a protobuf message.
type message []byte

// rawCodec sends and delivers messages as they are.
type rawCodec struct{}

// Name is the content subtype that OTLP uses.
func (rawCodec) Name() string { return "proto" }

// Marshal hands the bytes of a message over.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(m)}, nil
}

// Unmarshal copies the bytes of a message.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*message)
	if !ok {
		return fmt.Errorf("%T is not a message", v)
	}
	*m = data.Materialize()
	return nil
}

// spanCount counts the spans of a request without looking into them.
type spanCount int64

// Resource is called by wire.Walk.
func (*spanCount) Resource([]byte) error { return nil }

// Scope is called by wire.Walk.
func (*spanCount) Scope([]byte) error { return nil }

// Span is called by wire.Walk.
func (c *spanCount) Span([]byte) error {
	*c++
	return nil
}
