package export

import (
	"io"
	"log/slog"
	"time"

	"go.opentelemetry.io/collector/component"

	"thresher/internal/wire"
)

// Item is one trace, or the late spans of one, to deliver.
type Item struct {
	Partition int32  // given back in Ack
	Seq       uint64 // given back in Ack
	TraceID   wire.TraceID

	// Payload is the resource_spans fields of one OTLP request: payloads one after the other are a valid request. It is
	// handed over for good: whoever made it must not write to it again, not even after the Ack, because a request that
	// was given up may still be on its way through a socket.
	Payload []byte

	Spans  int
	Class  Class  // selects the route
	Policy string // what decided; for logs
}

// Options are what code wires, as opposed to what users configure.
type Options struct {
	Logger *slog.Logger // default: discards

	// Ack is called once for each item when every required exporter of its route has settled it: accepted, or refused
	// for good. It is called from sending goroutines and, for an item whose route requires no exporter, from within
	// Submit. It must not block, must not call Forget or Submit, and the locks it takes must not be held while calling
	// Submit or Forget.
	Ack func(partition int32, seq uint64)

	// Reject is called with what an exporter refused for good, for the rejected topic. Same rules as Ack. Whoever is called
	// calls done, once, when the topic has it for good, and never if it does not get there: the item is settled then and
	// not before. Until then its bytes are in the budget.
	Reject func(payload []byte, reason, exporter string, done func())

	MaxBytes      int64         // of payloads not yet delivered, default 256 MiB
	ShutdownGrace time.Duration // how long Shutdown lets requests in flight finish, default 1 s
	Debug         io.Writer     // where debug exporters write, default standard error

	// Extensions are the authenticators and middlewares that `auth` and `middlewares` settings refer to.
	Extensions map[component.ID]component.Component
}
