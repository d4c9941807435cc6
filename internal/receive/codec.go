package receive

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// answer is the protobuf bytes of an ExportTraceServiceResponse. Success without reservation has none.
type answer []byte

// rawCodec hands requests over as they are and sends answers as they are. It replaces the protobuf codec of the server,
// so that spans are never decoded to objects.
type rawCodec struct{}

// Name is the content subtype that OTLP clients use.
func (rawCodec) Name() string { return "proto" }

// Unmarshal copies the message, which the transport delivers in frames of 16 KiB, into the request's memory: scanning
// wants it in one piece. The frames go back to the transport at once. That there is no room is no error to gRPC, which would tell
// the client in words of its own: the request keeps it.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	q, ok := v.(*request)
	if !ok {
		return fmt.Errorf("%T is not a request of this server", v)
	}
	if q.body, q.err = q.Grow(q.body[:0], data.Len()); q.err == nil {
		for _, b := range data {
			q.body = append(q.body, b.ReadOnlyData()...)
		}
		q.received = int64(len(q.body))
	}
	return nil
}

// Marshal gives the transport the bytes of an answer.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(answer)
	if !ok {
		return nil, fmt.Errorf("%T is not an answer of this server", v)
	}
	if len(a) == 0 {
		return nil, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(a)}, nil
}
