package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"thresher/internal/kafka"
	"thresher/sampler"
)

// A mover writes spans that are not in the partition of their trace to that partition, for all runners.
type mover struct {
	producer *kafka.Producer
	waiting  atomic.Int64 // bytes that Kafka has not acknowledged
	most     int64        // of them, above which nothing more is read
	record   int          // bytes at which a record is full
}

func (n *Node) newMover() (*mover, error) {
	producer, err := n.client.NewProducer()
	if err != nil {
		return nil, err
	}
	return &mover{producer: producer, most: n.budget.share(moveShare), record: min(n.cfg.Kafka.Producer.RecordBytes, producer.MaxValue())}, nil
}

// full reports whether so much waits that partitions do not read on. Each looks again at its next tick.
func (v *mover) full() bool { return v != nil && v.waiting.Load() >= v.most }

// moves are those of a runner.
type moves struct {
	open   []*parcel // being filled, in the order in which they were begun
	size   int       // bytes in them
	failed []*parcel // Kafka did not take them; they are sent again at the next tick
}

// A parcel is a record with spans that leave a partition for another one.
type parcel struct {
	of    *sampler.Machine // that wants it moved; another one does not know its sequences
	to    int32
	value []byte
	parts []movedPart
	err   error // what Kafka answered
}

// A movedPart is one sampler.Move in a parcel.
type movedPart struct {
	seq    uint64
	offset sampler.Offset
	spans  int
	end    int // in the value
}

// move puts what the machine wants moved into a parcel. Payloads one after the other are an OTLP request, so what a batch of records has for
// a partition travels together.
func (r *runner) move(mv *sampler.Move) {
	var p *parcel
	for _, o := range r.moves.open {
		if o.to == int32(mv.Partition) && len(o.value)+len(mv.Payload) <= r.n.mover.record {
			p = o
		}
	}
	if p == nil {
		p = &parcel{of: r.machine, to: int32(mv.Partition)}
		r.moves.open = append(r.moves.open, p)
	}
	p.value = append(p.value, mv.Payload...)
	p.parts = append(p.parts, movedPart{mv.Seq, mv.Offset, mv.Spans, len(p.value)})
	r.moves.size += len(mv.Payload)
}

// sendMoves hands the parcels to Kafka.
func (r *runner) sendMoves() {
	for i, p := range r.moves.open {
		r.n.mover.waiting.Add(int64(len(p.value)))
		r.send(p)
		r.moves.open[i] = nil
	}
	r.moves.open, r.moves.size = r.moves.open[:0], 0
}

func (r *runner) send(p *parcel) {
	r.n.mover.producer.Move(context.Background(), p.to, r.partition, int64(p.parts[0].offset), p.value, func(err error) {
		p.err = err
		r.acks.addParcel(p)
	})
}

func (a *acks) addParcel(p *parcel) {
	a.mu.Lock()
	a.parcels = append(a.parcels, p)
	a.mu.Unlock()
	a.signal()
}

func (a *acks) takeParcels() []*parcel {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.parcels
	a.parcels = nil
	return p
}

// moved deals with Kafka's answer to a parcel. The machine is told when Kafka has the spans, and not before: a crash until then moves
// them again.
func (r *runner) moved(p *parcel) {
	switch {
	case p.of != r.machine: // the partition was taken over anew, and moves them again
		r.n.mover.waiting.Add(-int64(len(p.value)))
	case p.err != nil && kafka.IsRetryable(p.err):
		if r.n.complaints.due("moving", time.Now()) {
			r.log.Warn("spans could not be moved to the partition of their trace, trying again; until it works this partition is not settled",
				"to", p.to, "error", p.err)
		}
		r.moves.failed = append(r.moves.failed, p)
	case p.err != nil && len(p.parts) > 1: // together they are too large, or one of them is at fault
		start := 0
		for _, part := range p.parts {
			one := &parcel{of: p.of, to: p.to, value: p.value[start:part.end:part.end], parts: []movedPart{part}}
			one.parts[0].end = len(one.value)
			start = part.end
			r.send(one)
		}
	default:
		r.n.mover.waiting.Add(-int64(len(p.value)))
		for _, part := range p.parts {
			if p.err != nil {
				r.reject(fmt.Sprintf("%d spans belong to partition %d and cannot be moved there: %s", part.spans, p.to, p.err), p.value, int64(part.offset))
			}
			r.machine.Ack(part.seq)
		}
	}
}

// moveAgain sends what Kafka did not take.
func (r *runner) moveAgain() {
	failed := r.moves.failed
	r.moves.failed = nil
	for _, p := range failed {
		r.send(p)
	}
}

// forgetMoves lets go of what another machine wanted moved. What is on its way is let go of when Kafka answers.
func (r *runner) forgetMoves() {
	for _, p := range r.moves.failed {
		r.n.mover.waiting.Add(-int64(len(p.value)))
	}
	r.moves = moves{}
}
