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

// gathered is a part of a spilled trace that was read again, or the end of it.
type gathered struct {
	of   *sampler.Machine // that wants it; another one does not know its sequence
	d    *sampler.Delivery
	part sampler.Part
	end  bool  // no part, and no more come
	err  error // why not all of the trace came, at the end
}

var (
	errGone    = errors.New("records of the trace are no longer in the log")
	errStopped = errors.New("stopped")
)

// want queues a kept trace whose spans are to be read from Kafka again.
func (r *runner) want(d sampler.Delivery) {
	r.wanted = append(r.wanted, d)
	r.wantedOffsets += len(d.Offsets)
	r.fetchNext()
}

// fetchNext starts to read what is wanted, beside the partition's goroutine, because that waits for Kafka.
func (r *runner) fetchNext() {
	for r.fetching < fetchers && len(r.wanted) > 0 {
		d, of := r.wanted[0], r.machine
		r.wanted[0] = sampler.Delivery{}
		r.wanted = r.wanted[1:]
		r.wantedOffsets -= len(d.Offsets)
		r.fetching++
		r.reading.Go(func() { r.fetch(of, &d) })
	}
}

// wantsMuch reports whether so much is to be read again that the partition should not read on: what is wanted takes memory too.
func (r *runner) wantsMuch() bool {
	const offsetBytes = 8
	return len(r.wanted) > mostWanted || r.wantedOffsets*offsetBytes > r.n.limits.SettlementBytes
}

// fetch reads a trace again and hands it to the partition's goroutine, part by part. That takes no part while the backends are full,
// and then neither this trace is read on nor another in its place, so that however large traces are, there is one part of each.
func (r *runner) fetch(of *sampler.Machine, d *sampler.Delivery) {
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
	hand := func(g gathered) error {
		g.of, g.d = of, d
		select {
		case r.gathered <- g:
			return nil
		case <-stop:
			return errStopped
		}
	}
	a := &again{
		d: d, of: sampler.NewGathering(d, r.n.limits.MaxPayload),
		hand: func(p sampler.Part) error { return hand(gathered{part: p}) },
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		select {
		case r.n.readers <- struct{}{}:
		case <-stop:
			return
		}
		err := a.read(ctx, r.n.client, r.partition)
		<-r.n.readers
		switch {
		case err == nil, errors.Is(err, errGone):
			_ = hand(gathered{end: true, err: err}) // nobody is there to take it only at the end of everything
			return
		case ctx.Err() != nil, errors.Is(err, errStopped):
			return
		}
		r.log.Warn("reading a kept trace again failed, going on where it did", "trace_id", fmt.Sprintf("%x", d.TraceID), "error", err)
		select {
		case <-time.After(wait):
		case <-stop:
			return
		}
	}
}

// again is the reading of a spilled trace. If it fails, the next attempt goes on where it did: the parts before are on their way.
type again struct {
	d    *sampler.Delivery
	of   *sampler.Gathering
	done int // of d.Offsets
	hand func(sampler.Part) error
}

func (a *again) read(ctx context.Context, client *kafka.Client, partition int32) error {
	for offsets := a.d.Offsets; a.done < len(offsets); {
		first, last := offsets[a.done], offsets[a.done]
		for _, o := range offsets[a.done:] {
			if o >= last+neighbours {
				break
			}
			last = o
		}
		err := client.ReadRange(ctx, partition, int64(first), int64(last)+1, func(rec kafka.Record) error {
			if a.done == len(offsets) || rec.Offset != int64(offsets[a.done]) {
				return nil
			}
			a.done++
			parts, err := a.of.Add(rec.Value)
			if err != nil {
				return fmt.Errorf("%w: %d of partition %d cannot be decoded any more: %w", errGone, rec.Offset, partition, err)
			}
			return a.handOver(parts)
		})
		if err != nil {
			return err
		}
		if a.done < len(offsets) && offsets[a.done] <= last {
			return fmt.Errorf("%w: %d of partition %d", errGone, offsets[a.done], partition)
		}
	}
	parts, whole := a.of.End()
	if err := a.handOver(parts); err != nil {
		return err
	}
	if !whole {
		return fmt.Errorf("%w: not all of its spans were found", errGone)
	}
	return nil
}

func (a *again) handOver(parts []sampler.Part) error {
	for _, p := range parts {
		if err := a.hand(p); err != nil {
			return err
		}
	}
	return nil
}

// submitGathered hands out what was read again of a trace. One whose records are gone is given up, loudly.
func (r *runner) submitGathered(g gathered) {
	if g.end {
		r.fetching--
		r.fetchNext()
	}
	if g.of != r.machine {
		return
	}
	if !g.end {
		r.machine.Parts(g.d.Seq, 1) // before an acknowledgement of it can come
		r.n.delivery.Submit([]export.Item{r.item(g.d, g.part.Payload, g.part.Spans)})
		return
	}
	if g.err != nil {
		r.lost++
		r.log.Error("a kept trace cannot be delivered whole: its records were deleted while it waited; raise kafka.spans.retention or node.memory_limit",
			"trace_id", fmt.Sprintf("%x", g.d.TraceID), "error", g.err)
	}
	r.machine.Ack(g.d.Seq) // for the reading itself: no more parts come
}
