package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A writer is a franz-go client that gets over a topic that was deleted and made anew. franz-go refuses for ever to
// write to such a topic until it is told to forget the old one. We do want the new one: what is written does not build on
// what was there.
type writer struct {
	*kgo.Client
	log   *slog.Logger
	stale atomic.Pointer[string]
}

// produce is Produce of the client.
func (w *writer) produce(ctx context.Context, rec *kgo.Record, done func(error)) {
	// Here and not in the callback: purging waits for callbacks.
	if topic := w.stale.Swap(nil); topic != nil {
		w.log.Error("the topic was deleted and created again; writing to the new one", "topic", *topic)
		w.PurgeTopicsFromProducing(*topic)
	}
	w.Produce(ctx, rec, func(r *kgo.Record, err error) {
		if errors.Is(err, kerr.UnknownTopicID) {
			w.stale.Store(&r.Topic)
		}
		done(err)
	})
}
