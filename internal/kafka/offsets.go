package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	askLatest   = -1 // special timestamps of ListOffsets
	askEarliest = -2
)

// EndOffsets tells for each partition of the spans topic the offset that the next visible record will have, at some
// moment between the call and its return. It retries until the context or kafka.request_timeout ends.
func (c *Client) EndOffsets(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	return c.listOffsets(ctx, c.cfg.Spans.Topic, askLatest, partitions)
}

// StartOffsets tells for each partition of the spans topic the offset of the oldest record that it still has.
func (c *Client) StartOffsets(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	return c.listOffsets(ctx, c.cfg.Spans.Topic, askEarliest, partitions)
}

// EndOffsetsNow is EndOffsets without the retries: partitions whose leader does not answer at once are left out.
func (c *Client) EndOffsetsNow(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	out := make(map[int32]int64, len(partitions))
	_, err := c.askOffsets(ctx, c.cfg.Spans.Topic, askLatest, partitions, out)
	return out, err
}

// StartOffset tells the offset of the oldest record that the partition of the spans topic still has; if it has none,
// the offset that the next one will have.
func (c *Client) StartOffset(ctx context.Context, partition int32) (int64, error) {
	m, err := c.listOffsets(ctx, c.cfg.Spans.Topic, askEarliest, []int32{partition})
	return m[partition], err
}

// OffsetForTime tells the offset of the first record whose timestamp is at or after unixMs (milliseconds), or the end
// offset if there is none.
func (c *Client) OffsetForTime(ctx context.Context, partition int32, unixMs int64) (int64, error) {
	// The end first: what is appended between the two questions is not skipped then.
	ends, err := c.EndOffsets(ctx, []int32{partition})
	if err != nil {
		return 0, err
	}
	m, err := c.listOffsets(ctx, c.cfg.Spans.Topic, max(unixMs, 0), []int32{partition})
	if err != nil {
		return 0, err
	}
	if m[partition] < 0 {
		return ends[partition], nil
	}
	return m[partition], nil
}

// listOffsets asks the leaders of the partitions, one request a broker, and again as long as the answer is one that
// passes by itself. A partition without a record for a time has -1.
func (c *Client) listOffsets(ctx context.Context, topic string, timestamp int64, partitions []int32) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	out := make(map[int32]int64, len(partitions))
	for try := 1; ; try++ {
		left, err := c.askOffsets(ctx, topic, timestamp, partitions, out)
		if err == nil {
			return out, nil
		}
		if IsFatal(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("offsets of %s: %w", topic, err)
		}
		partitions = left
		select {
		case <-time.After(backoff(try)):
		case <-ctx.Done():
			return nil, fmt.Errorf("offsets of %s: %w: %w", topic, ctx.Err(), err)
		}
	}
}

// askOffsets fills out, and returns the partitions that have no answer with the last reason.
func (c *Client) askOffsets(ctx context.Context, topic string, timestamp int64, partitions []int32, out map[int32]int64) (left []int32, err error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1     // a consumer
	req.IsolationLevel = 1 // read committed, as the reader does
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition = p
		rp.Timestamp = timestamp
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)

	answered := make(map[int32]bool, len(partitions))
	for _, shard := range c.kc.RequestSharded(ctx, req) {
		if shard.Err != nil {
			err = shard.Err
			continue
		}
		for _, st := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, sp := range st.Partitions {
				if e := kerr.ErrorForCode(sp.ErrorCode); e != nil {
					err = fmt.Errorf("partition %d: %w", sp.Partition, e)
					continue
				}
				out[sp.Partition] = sp.Offset
				answered[sp.Partition] = true
			}
		}
	}
	for _, p := range partitions {
		if !answered[p] {
			left = append(left, p)
		}
	}
	if len(left) > 0 && err == nil {
		err = errors.New("the brokers left partitions out of their answer")
	}
	if len(left) == 0 {
		err = nil
	}
	return left, err
}
