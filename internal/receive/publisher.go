package receive

import (
	"context"
	"errors"
)

// A Fragment is a part of a request whose spans all belong to traces of one partition: again a valid
// ExportTraceServiceRequest.
type Fragment struct {
	Partition int32
	Data      []byte
	Spans     int // at least 1
}

// A Publisher stores fragments in the log. It is called concurrently, once for each request that has spans.
type Publisher interface {
	// Publish returns nil once every fragment has been acknowledged by all in-sync replicas, and never earlier: the
	// client is told "success" next and forgets the spans.
	//
	// After an error any part of the fragments may have been stored. The client is told to send everything again; the
	// duplicates this makes are removed by span ID later. An error that wraps ErrPermanent says that sending again
	// cannot help, and the client is told to give up.
	//
	// Publish returns soon after ctx is done: the client has gone or the node is shutting down.
	//
	// frags and their Data are used again for another request after Publish has returned nil. After an error they
	// never are, so a Publisher that gives up waiting may leave them with whoever is still reading them.
	Publish(ctx context.Context, frags []Fragment) error
}

// ErrPermanent marks errors of a Publisher that sending the same spans again cannot cure.
var ErrPermanent = errors.New("will never be accepted")
