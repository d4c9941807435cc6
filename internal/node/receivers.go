package node

import (
	"context"
	"fmt"
	"sync"

	"thresher/internal/kafka"
	"thresher/internal/receive"
)

// publisher is the log as the receivers see it.
type publisher struct{ log *kafka.Accumulator }

// Publish implements receive.Publisher.
func (p publisher) Publish(ctx context.Context, frags []receive.Fragment) error {
	out := make([]kafka.Fragment, len(frags))
	for i, f := range frags {
		out[i] = kafka.Fragment(f)
	}
	err := p.log.Publish(ctx, out)
	if err != nil && !kafka.IsRetryable(err) && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", receive.ErrPermanent, err)
	}
	return err
}

// startReceivers opens the OTLP ports. maxRecord is the most bytes that one record can take.
func (n *Node) startReceivers(ctx context.Context, log receive.Publisher, maxRecord int) error {
	for _, c := range n.cfg.Receivers {
		r, err := receive.New(c.Config, receive.Settings{
			Name: c.Name, Logger: n.log.With("part", "receive"), Publisher: log,
			Partitions: n.cfg.Kafka.Spans.Partitions, MaxFragment: maxRecord, Memory: n.receiving,
		})
		if err == nil {
			err = r.Start(ctx)
		}
		if err != nil {
			n.stopReceivers()
			return err
		}
		n.mu.Lock()
		n.receivers = append(n.receivers, &receiver{c.Name, r})
		n.mu.Unlock()
	}
	return nil
}

// stopReceivers lets requests that are being served finish, for a moment: their clients were promised nothing yet.
func (n *Node) stopReceivers() {
	grace, cancel := context.WithTimeout(context.Background(), receiversGrace)
	defer cancel()
	var all sync.WaitGroup
	for _, r := range n.receivers {
		all.Go(func() {
			if err := r.Shutdown(grace); err != nil {
				n.log.Warn("a receiver did not finish its requests; their clients send them again", "receiver", r.name, "error", err)
			}
		})
	}
	all.Wait()
}

func (n *Node) receiverStats() map[string]receive.Stats {
	n.mu.RLock()
	defer n.mu.RUnlock()
	out := map[string]receive.Stats{}
	for _, r := range n.receivers {
		out[r.name] = r.Stats()
	}
	return out
}

// Addresses are where a receiver listens, for programs that let the system choose the ports; empty if it does not.
func (n *Node) Addresses(receiver string) (grpc, http string) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, r := range n.receivers {
		if r.name != receiver {
			continue
		}
		if a := r.GRPCAddr(); a != nil {
			grpc = a.String()
		}
		if a := r.HTTPAddr(); a != nil {
			http = a.String()
		}
	}
	return grpc, http
}
