package kafka

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// rejectedBuffer bounds the bytes of rejected data that wait for Kafka. It is not in the way of anything: beyond it
	// data is counted and given up.
	rejectedBuffer = 32 << 20
)

// Headers of a record in the rejected topic. The value is the data as it came, cut if it does not fit.
const (
	HeaderReason    = "thresher-reason"
	HeaderTopic     = "thresher-topic"     // where it was read, if it was read from Kafka
	HeaderPartition = "thresher-partition" // decimal
	HeaderOffset    = "thresher-offset"    // decimal
	HeaderCut       = "thresher-cut"       // bytes of the whole, decimal; absent if the value is whole
)

// Rejected is data that Thresher cannot use, and why.
type Rejected struct {
	Reason string
	Value  []byte // must not change until done is called
	// Origin, if it was a record. Topic is empty otherwise.
	Topic     string
	Partition int32
	Offset    int64
}

// A Rejecter writes to the rejected topic. Its methods may be called from any goroutine.
type Rejecter struct {
	c       *Client
	waiting atomic.Int64
}

// NewRejecter makes a rejecter. It lives as long as the client.
func (c *Client) NewRejecter() *Rejecter { return &Rejecter{c: c} }

// Reject writes without waiting and calls done, which may be nil, exactly once: with nil when all in-sync replicas have
// it, with [ErrFull] at once if too much waits already, or with why not. What could not be written is counted.
func (r *Rejecter) Reject(ctx context.Context, rj Rejected, done func(error)) {
	c := r.c
	finish := func(err error) {
		if err != nil {
			c.counters.rejectErrors.Add(1)
			err = fmt.Errorf("writing to %s: %w", c.cfg.Rejected.Topic, deliveryError(err))
		} else {
			c.counters.rejected.Add(1)
		}
		if done != nil {
			done(err)
		}
	}
	rec := &kgo.Record{Topic: c.cfg.Rejected.Topic, Value: rj.Value}
	head := func(k, v string) { rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)}) }
	reason := rj.Reason
	if len(reason) > 1<<10 { // it may quote the data
		reason = reason[:1<<10]
	}
	head(HeaderReason, reason)
	if rj.Topic != "" {
		head(HeaderTopic, rj.Topic)
		head(HeaderPartition, strconv.Itoa(int(rj.Partition)))
		head(HeaderOffset, strconv.FormatInt(rj.Offset, 10))
	}
	if most := c.cfg.Spans.MaxRecordBytes - 4*recordOverhead; len(rec.Value) > most {
		head(HeaderCut, strconv.Itoa(len(rec.Value)))
		rec.Value = rec.Value[:most]
	}
	n := int64(len(rec.Value))
	if r.waiting.Add(n) > rejectedBuffer {
		r.waiting.Add(-n)
		finish(ErrFull)
		return
	}
	c.kc.produce(ctx, rec, func(err error) {
		r.waiting.Add(-n)
		finish(err)
	})
}
