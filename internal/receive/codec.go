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
// wants it in one piece. The frames go back to the transport at once.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	q, ok := v.(*request)
	if !ok {
		return fmt.Errorf("%T is not a request of this server", v)
	}
	if n := data.Len(); cap(q.body) < n {
		q.body = make([]byte, 0, roundUp(n))
	}
	q.body = q.body[:0]
	for _, b := range data {
		q.body = append(q.body, b.ReadOnlyData()...)
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

// roundUp leaves room, so that requests that grow a little do not make their memory anew each time.
func roundUp(n int) int {
	const step = 64 << 10
	return (n + n/8 + step) / step * step
}
