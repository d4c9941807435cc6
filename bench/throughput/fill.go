package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"thresher/internal/kafka"
	"thresher/internal/wire"
)

// logged is what is in the log.
type logged struct {
	Topic      string  `json:"topic"`
	Partitions int     `json:"partitions"`
	Records    int64   `json:"records"`
	Spans      int64   `json:"spans"`
	SpanBytes  int64   `json:"span_bytes"` // of the span messages alone
	Bytes      int64   `json:"bytes"`      // of the records' values, before compression
	Stored     int64   `json:"stored_bytes,omitempty"`
	Seconds    float64 `json:"fill_seconds"`
}

// fill writes the traffic as the receivers of a busy node would: split by partition, each fragment repeating the
// resources and scopes of its spans, and put together until a record has its size.
func fill(ctx context.Context, o *options, c *kafka.Client) (logged, error) {
	began := time.Now()
	p, err := c.NewProducer()
	if err != nil {
		return logged{}, err
	}
	defer p.Close()
	f := &filler{ctx: ctx, producer: p, log: logged{Topic: c.Config().Spans.Topic, Partitions: o.partitions}, open: make([][]byte, o.partitions)}
	splitter := wire.NewSplitter(wire.SplitOptions{Partitions: o.partitions, MaxFragment: p.MaxValue()})
	u := o.traffic()
	var request, cut []byte
	for u.Spans() < int64(o.spans) && ctx.Err() == nil && f.failed() == nil {
		q := u.NextInto(request)
		request = q.Data
		split, err := splitter.Split(cut[:0], q.Data)
		if err != nil {
			return f.log, err
		}
		if split.Dropped() > 0 {
			return f.log, fmt.Errorf("%d spans of the traffic cannot be taken: %w", split.Dropped(), split.Reason)
		}
		cut = split.Bytes
		for _, g := range split.Fragments {
			f.open[g.Partition] = append(f.open[g.Partition], g.Bytes...)
			if len(f.open[g.Partition]) >= o.recordBytes {
				f.ship(g.Partition)
			}
		}
	}
	for partition := range f.open {
		f.ship(partition)
	}
	f.flight.Wait()
	f.log.Spans, f.log.SpanBytes = u.Spans(), u.Spans()*int64(o.spanBytes)
	f.log.Seconds = time.Since(began).Seconds()
	if err := f.failed(); err != nil {
		return f.log, fmt.Errorf("filling the log: %w", err)
	}
	return f.log, ctx.Err()
}

type filler struct {
	ctx      context.Context
	producer *kafka.Producer
	log      logged
	open     [][]byte // by partition: the record that is being made
	spare    sync.Pool
	flight   sync.WaitGroup
	err      atomic.Pointer[error]
}

func (f *filler) failed() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *filler) ship(partition int) {
	value := f.open[partition]
	if len(value) == 0 {
		return
	}
	f.log.Records++
	f.log.Bytes += int64(len(value))
	f.flight.Add(1)
	f.producer.Produce(f.ctx, int32(partition), value, func(err error) {
		if err != nil {
			f.err.CompareAndSwap(nil, &err)
		}
		f.spare.Put(&value)
		f.flight.Done()
	})
	f.open[partition] = nil
	if b, ok := f.spare.Get().(*[]byte); ok {
		f.open[partition] = (*b)[:0]
	}
}
