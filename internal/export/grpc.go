package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/mem"
)

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// grpcSender calls Export with the stored bytes as they are.
type grpcSender struct {
	conn    *grpc.ClientConn
	timeout time.Duration
}

func openGRPC(ctx context.Context, cfg *GRPCConfig, opts Options) (*grpcSender, error) {
	if cfg.Client.Auth.HasValue() && opts.Extensions == nil {
		return nil, errors.New("auth names an authenticator extension and there are none; put credentials into headers or tls")
	}
	// gRPC waits up to two minutes before it connects anew to a backend that was absent. Our own pauses are shorter, and
	// would be wasted on the error it remembers.
	connect := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: shortestPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: max(cfg.Retry.MaxInterval/2, shortestPause)},
		MinConnectTimeout: 5 * time.Second,
	}
	conn, err := cfg.Client.ToClientConn(ctx, opts.Extensions, silent(),
		configgrpc.WithGrpcDialOption(grpc.WithConnectParams(connect)),
		configgrpc.WithGrpcDialOption(grpc.WithUserAgent(userAgent)),
		configgrpc.WithGrpcDialOption(grpc.WithDisableServiceConfig()))
	if err != nil {
		return nil, err
	}
	return &grpcSender{conn: conn, timeout: cfg.Timeout}, nil
}

const userAgent = "thresher"

// silent keeps the Collector's libraries from measuring, tracing and logging: the delivery does that itself.
func silent() component.TelemetrySettings {
	return component.TelemetrySettings{
		Logger:         zap.NewNop(),
		TracerProvider: tracenoop.NewTracerProvider(),
		MeterProvider:  noop.NewMeterProvider(),
	}
}

func (s *grpcSender) send(ctx context.Context, b *batch) outcome {
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	var answer exportAnswer
	if err := s.conn.Invoke(ctx, exportMethod, b, &answer, grpc.ForceCodecV2(rawCodec{})); err != nil {
		return classifyGRPC(err)
	}
	return answer.outcome()
}

func (s *grpcSender) close() error { return s.conn.Close() }

// rawCodec puts a batch on the wire without copying its payloads, and reads the little that answers hold.
type rawCodec struct{}

// Name is part of the content type: application/grpc+proto.
func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*batch)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", v)
	}
	out := make(mem.BufferSlice, len(b.entries))
	for i, e := range b.entries {
		out[i] = mem.SliceBuffer(e.Payload)
	}
	return out, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	answer, ok := v.(*exportAnswer)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	if err := answer.parse(data.Materialize()); err != nil {
		// The status is OK: the traces have arrived. An error here would send them again and again.
		answer.message = err.Error()
	}
	return nil
}
