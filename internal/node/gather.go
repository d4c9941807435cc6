package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"thresher/internal/export"
	"thresher/internal/kafka"
	"thresher/sampler"
)

const (
	// fetchers is how many spilled traces of a partition are read again at a time; Node.readers bounds all partitions.
	fetchers = 2
	// mostWanted is the number of spilled traces to be read again above which a partition does not read on.
	mostWanted = 1000
	// neighbours are records so close together that reading what is between them costs less than another request.
	neighbours = 16
)

// gathered is a spilled trace that was read again, or why it could not be.
type gathered struct {
	of    *sampler.Machine // that wants it; another one does not know its sequence
	d     sampler.Delivery
	parts []sampler.Part
	err   error
}

var errGone = errors.New("records of the trace are no longer in the log")

// want queues a kept trace whose spans are to be read from Kafka again.
func (r *runner) want(d sampler.Delivery) {
	r.wanted = append(r.wanted, d)
	r.fetchNext()
}

// fetchNext starts to read what is wanted, beside the partition's goroutine, because that waits for Kafka.
func (r *runner) fetchNext() {
	for r.fetching < fetchers && len(r.wanted) > 0 {
		g := gathered{of: r.machine, d: r.wanted[0]}
		r.wanted[0] = sampler.Delivery{}
		r.wanted = r.wanted[1:]
		r.fetching++
		r.reading.Go(func() { r.fetch(g) })
	}
}

func (r *runner) fetch(g gathered) {
	stop := r.n.stopping // what is not handed over is still in the log for whoever comes next
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		select {
		case r.n.readers <- struct{}{}:
		case <-stop:
			return
		}
		g.parts, g.err = r.n.readAgain(ctx, r.partition, &g.d)
		<-r.n.readers
		if g.err == nil || errors.Is(g.err, errGone) {
			break
		}
		r.log.Warn("reading a kept trace again failed, trying again", "trace_id", fmt.Sprintf("%x", g.d.TraceID), "error", g.err)
		select {
		case <-time.After(wait):
		case <-stop:
			return
		}
	}
	select {
	case r.gathered <- g:
	case <-stop:
	}
}

func (n *Node) readAgain(ctx context.Context, partition int32, d *sampler.Delivery) ([]sampler.Part, error) {
	g := sampler.NewGathering(d, n.limits.MaxPayload)
	for i := 0; i < len(d.Offsets); {
		j := i + 1
		for j < len(d.Offsets) && d.Offsets[j] < d.Offsets[j-1]+neighbours {
			j++
		}
		want := d.Offsets[i:j]
		err := n.client.ReadRange(ctx, partition, int64(want[0]), int64(want[len(want)-1])+1, func(rec kafka.Record) error {
			if len(want) == 0 || rec.Offset != int64(want[0]) {
				return nil
			}
			want = want[1:]
			return g.Add(rec.Value)
		})
		if err != nil {
			return nil, err
		}
		if len(want) > 0 {
			return nil, fmt.Errorf("%w: %d of partition %d", errGone, want[0], partition)
		}
		i = j
	}
	parts, whole := g.Parts()
	if !whole {
		return nil, fmt.Errorf("%w: not all of its spans were found", errGone)
	}
	return parts, nil
}

// submitGathered hands a trace out that was read again. One whose records are gone is given up, loudly.
func (r *runner) submitGathered(g gathered) {
	r.fetching--
	r.fetchNext()
	if g.of != r.machine {
		return
	}
	if g.err != nil {
		r.lost++
		r.log.Error("a kept trace cannot be delivered: its records were deleted while it waited; raise kafka.spans.retention or node.memory_limit",
			"trace_id", fmt.Sprintf("%x", g.d.TraceID), "error", g.err)
		r.machine.Ack(g.d.Seq)
		return
	}
	r.machine.Parts(g.d.Seq, len(g.parts))
	items := make([]export.Item, 0, len(g.parts))
	for _, p := range g.parts {
		items = append(items, r.item(&g.d, p.Payload, p.Spans))
	}
	r.n.delivery.Submit(items)
}
