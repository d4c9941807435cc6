package receive

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	traceService = "opentelemetry.proto.collector.trace.v1.TraceService"
	exportMethod = "Export"
)

// registerServices puts the trace service, and refusals of the other signals, on a server that uses rawCodec.
func (r *Receiver) registerServices(s *grpc.Server) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: traceService,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{{StreamName: exportMethod, Handler: r.export, ClientStreams: true, ServerStreams: true}},
	}, r)
	for _, o := range otherSignals {
		refusal := status.Error(codes.Unimplemented, o.refusal())
		s.RegisterService(&grpc.ServiceDesc{
			ServiceName: o.service,
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{
				StreamName: exportMethod,
				Handler: func(_ any, stream grpc.ServerStream) error {
					r.grpcCounts.count(&outcome{verdict: unsupported})
					from := "?"
					if p, ok := peer.FromContext(stream.Context()); ok {
						from = p.Addr.String()
					}
					r.logOtherSignal(o.name, from)
					return refusal
				},
				ClientStreams: true, ServerStreams: true,
			}},
		}, r)
	}
}

// export serves TraceService/Export. On the wire a unary call is a stream of one message each way, and a stream's message is
// read when its handler says so: after there is room for it.
func (r *Receiver) export(_ any, stream grpc.ServerStream) error {
	c := &r.grpcCounts
	if !r.gate.enter() {
		return reply(c, stream, outcome{verdict: overloaded, message: shuttingDown})
	}
	defer r.gate.leave()
	q, err := r.requests.get()
	if err != nil {
		return reply(c, stream, noRoom(err))
	}
	stopped, err := r.readMessage(stream, q)
	if stopped {
		return reply(c, stream, outcome{verdict: overloaded, message: tooSlow})
	}
	defer r.requests.put(q)
	if err != nil {
		return r.unreceived(err)
	}
	if q.err != nil {
		return reply(c, stream, noRoom(q.err))
	}
	ctx := stream.Context()
	o := r.store(ctx, q, c)
	if o.verdict == abandoned && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.count(&o)
		return status.Error(codes.DeadlineExceeded, o.message)
	}
	return reply(c, stream, o)
}

// store splits and publishes a complete message.
func (r *Receiver) store(ctx context.Context, q *request, c *counts) outcome {
	done, err := r.work(ctx)
	if err != nil {
		return outcome{verdict: abandoned, message: "the client stopped waiting before the spans were looked at"}
	}
	o, ok := r.split(q)
	done()
	if !ok {
		return o
	}
	return r.publish(ctx, q, c)
}

// readMessage reads the one message of a stream. If stopped is true, it was told to give up and q is no longer the caller's.
func (r *Receiver) readMessage(stream grpc.ServerStream, q *request) (stopped bool, failed error) {
	read, stop := make(chan struct{}), make(chan struct{})
	var err error // of RecvMsg, once read is closed
	a := &arrival{account: &r.account, grpc: true, stop: func() { close(stop) }}
	r.account.memory.begin(a)
	// Nothing ends a RecvMsg but the end of its stream, and that is the return of the handler.
	go func() {
		defer close(read)
		err = stream.RecvMsg(q)
	}()
	select {
	case <-read:
		r.account.memory.end(a)
		return false, err
	case <-stop:
		r.account.memory.end(a)
		go func() {
			<-read
			r.requests.put(q)
		}()
		return true, nil
	}
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
	if errors.Is(err, io.EOF) {
		err = status.Error(codes.InvalidArgument, "the call ended without a message")
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
func reply(c *counts, stream grpc.ServerStream, o outcome) error {
	c.count(&o)
	if o.verdict != accepted {
		return o.status().Err()
	}
	if !o.partial() {
		return stream.SendMsg(answer(nil))
	}
	b, err := o.partialSuccess().MarshalProto()
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return stream.SendMsg(answer(b))
}
