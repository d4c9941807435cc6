package receive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"
	exportMethod = "Export"
)

// otherServices are the OTLP signals that agents often send to the same address.
var otherServices = []struct{ service, signal, setting string }{
	{"opentelemetry.proto.collector.metrics.v1.MetricsService", "metrics", "OTEL_METRICS_EXPORTER=none"},
	{"opentelemetry.proto.collector.logs.v1.LogsService", "logs", "OTEL_LOGS_EXPORTER=none"},
	{"opentelemetry.proto.collector.profiles.v1development.ProfilesService", "profiles", ""},
}

// tracesOnly tells a client where to turn the other signal off.
func tracesOnly(signal, setting string) string {
	text := fmt.Sprintf("Thresher takes traces only; send %s elsewhere", signal)
	if setting != "" {
		text += fmt.Sprintf(" (OTEL_EXPORTER_OTLP_%s_ENDPOINT) or turn them off (%s)", strings.ToUpper(signal), setting)
	}
	return text
}

// registerServices puts the trace service, and refusals of the other signals, on a server that uses rawCodec.
func (r *Receiver) registerServices(s *grpc.Server) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: traceService,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: exportMethod, Handler: r.export}},
	}, r)
	for _, o := range otherServices {
		refusal := status.Error(codes.Unimplemented, tracesOnly(o.signal, o.setting))
		s.RegisterService(&grpc.ServiceDesc{
			ServiceName: o.service,
			HandlerType: (*any)(nil),
			Methods: []grpc.MethodDesc{{
				MethodName: exportMethod,
				Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
					r.grpcCounts.count(&outcome{verdict: unsupported})
					return nil, refusal
				},
			}},
		}, r)
	}
}

// export serves TraceService/Export. The message is read only after there is room for it.
func (r *Receiver) export(_ any, ctx context.Context, read func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	c := &r.grpcCounts
	if !r.gate.enter() {
		return reply(c, outcome{verdict: overloaded, message: shuttingDown})
	}
	defer r.gate.leave()
	if r.budget.full() {
		return reply(c, outcome{verdict: overloaded, message: busy})
	}
	q := r.requests.get()
	defer r.requests.put(q)
	if err := read(q); err != nil {
		return nil, r.unreceived(err)
	}
	if interceptor == nil {
		return r.exportRead(ctx, q)
	}
	return interceptor(ctx, q, &grpc.UnaryServerInfo{Server: r, FullMethod: "/" + traceService + "/" + exportMethod},
		func(ctx context.Context, _ any) (any, error) { return r.exportRead(ctx, q) })
}

func (r *Receiver) exportRead(ctx context.Context, q *request) (any, error) {
	c := &r.grpcCounts
	if !r.requests.reserve(q, len(q.body)) {
		return reply(c, outcome{verdict: overloaded, message: busy})
	}
	o := r.take(ctx, q, c)
	if o.verdict == abandoned && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.count(&o)
		return nil, status.Error(codes.DeadlineExceeded, o.message)
	}
	return reply(c, o)
}

// unreceived counts a message that gRPC could not deliver. The client has been told already, in gRPC's own words: none
// of them is retryable.
func (r *Receiver) unreceived(err error) error {
	o := outcome{verdict: malformed}
	// Not the context: gRPC ends it as soon as it has answered.
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		o.verdict = abandoned
	case codes.ResourceExhausted:
		o.verdict = tooLarge
	case codes.Unimplemented:
		o.verdict = unsupported
	}
	r.grpcCounts.count(&o)
	if o.verdict != abandoned {
		r.rejects.log(func(suppressed int64) {
			r.log.Warn("An OTLP request was refused before it was read; batches may be as large as "+
				r.setting("protocols.grpc.max_recv_msg_size_mib")+" (default 4)", "error", err, "requests_like_it_since_last_log", suppressed)
		})
	}
	return err
}

// reply counts an outcome and puts it into gRPC's words.
func reply(c *counts, o outcome) (any, error) {
	c.count(&o)
	if o.verdict != accepted {
		return nil, o.status().Err()
	}
	if o.lost.total() == 0 {
		return answer(nil), nil
	}
	b, err := partialSuccess(o.lost).MarshalProto()
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return answer(b), nil
}

func partialSuccess(lost rejects) ptraceotlp.ExportResponse {
	resp := ptraceotlp.NewExportResponse()
	resp.PartialSuccess().SetRejectedSpans(int64(lost.total()))
	resp.PartialSuccess().SetErrorMessage(lost.message())
	return resp
}
