package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// leaderCache remembers who leads, for requests that franz-go does not route.
type leaderCache struct {
	mu     sync.Mutex
	topics map[string]description
}

func (c *Client) leader(ctx context.Context, topic string, partition int32) (node int32, id [16]byte, err error) {
	l := &c.leaders
	l.mu.Lock()
	d, ok := l.topics[topic]
	l.mu.Unlock()
	if !ok {
		if d, err = c.describe(ctx, topic); err != nil {
			return 0, id, err
		}
		l.mu.Lock()
		if l.topics == nil {
			l.topics = make(map[string]description)
		}
		l.topics[topic] = d
		l.mu.Unlock()
	}
	node, ok = d.leaders[partition]
	if !ok {
		return 0, id, fmt.Errorf("topic %s has no partition %d: %w", topic, partition, kerr.UnknownTopicOrPartition)
	}
	if node < 0 {
		c.forgetLeaders(topic)
		return 0, id, fmt.Errorf("topic %s partition %d: %w", topic, partition, kerr.LeaderNotAvailable)
	}
	return node, d.id, nil
}

func (c *Client) forgetLeaders(topic string) {
	c.leaders.mu.Lock()
	defer c.leaders.mu.Unlock()
	delete(c.leaders.topics, topic)
}

// ReadRange calls fn for the records of a partition of the spans topic with from <= Offset < to, in order. It is
// independent of the Reader and ends at the log's end if that comes first. Records that retention has deleted are left
// out without a word: compare offsets. A record's bytes are valid during the call only. An error of fn ends it.
func (c *Client) ReadRange(ctx context.Context, partition int32, from, to int64, fn func(Record) error) error {
	return c.readRange(ctx, c.cfg.Spans.Topic, partition, from, to, func(r *kgo.Record) error { return fn(record(r)) })
}

func (c *Client) readRange(ctx context.Context, topic string, partition int32, from, to int64, fn func(*kgo.Record) error) error {
	for try := 1; from < to; {
		fp, next, err := c.fetchOnce(ctx, topic, partition, from)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			var starts map[int32]int64
			starts, err = c.listOffsets(ctx, topic, askEarliest, []int32{partition})
			if start := starts[partition]; err == nil && start > from {
				from = start
				continue
			}
			if err == nil { // past the end
				return nil
			}
		}
		if err != nil {
			if ctx.Err() != nil || IsFatal(err) {
				return fmt.Errorf("reading %s/%d at %d: %w", topic, partition, from, err)
			}
			c.forgetLeaders(topic)
			select {
			case <-time.After(backoff(try)):
			case <-ctx.Done():
				return fmt.Errorf("reading %s/%d at %d: %w: %w", topic, partition, from, ctx.Err(), err)
			}
			try++
			continue
		}
		try = 1
		for _, r := range fp.Records {
			if r.Offset >= to {
				return nil
			}
			if r.Attrs.IsControl() {
				continue
			}
			if err := fn(r); err != nil {
				return err
			}
		}
		if next == from { // nothing there, and nothing to come before the log end
			if fp.LastStableOffset <= from || fp.HighWatermark <= from {
				return nil
			}
		}
		from = next
	}
	return nil
}

// fetchOnce sends one fetch and returns the offset to go on at.
func (c *Client) fetchOnce(ctx context.Context, topic string, partition int32, at int64) (kgo.FetchPartition, int64, error) {
	rp, err := c.fetchRaw(ctx, topic, partition, at)
	if err != nil {
		return kgo.FetchPartition{}, at, err
	}
	fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: partition,
	}, rp, kgo.DefaultDecompressor(), nil)
	return fp, next, fp.Err
}

func (c *Client) fetchRaw(ctx context.Context, topic string, partition int32, at int64) (*kmsg.FetchResponseTopicPartition, error) {
	node, id, err := c.leader(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = 250
	req.MinBytes = 1
	req.MaxBytes = int32(c.cfg.Reader.FetchBytes)
	req.IsolationLevel = 1
	req.SessionEpoch = -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition = partition
	rp.FetchOffset = at
	rp.PartitionMaxBytes = int32(c.cfg.Reader.PartitionBytes)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)

	resp, err := req.RequestWith(ctx, c.kc.Broker(int(node)))
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("broker %d answered for %d topics when asked for one", node, len(resp.Topics))
	}
	p := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return nil, err
	}
	return p, nil
}

// batchEnd tells the offset after the batch at an offset, without decoding it: for batches that cannot be decoded.
func (c *Client) batchEnd(ctx context.Context, topic string, partition int32, at int64) (int64, error) {
	rp, err := c.fetchRaw(ctx, topic, partition, at)
	if err != nil {
		return 0, err
	}
	b := rp.RecordBatches
	if len(b) < 27 || b[16] != 2 {
		return 0, fmt.Errorf("no record batch at offset %d", at)
	}
	end := int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
	if end <= at {
		return 0, fmt.Errorf("the record batch at offset %d ends at %d", at, end)
	}
	return end, nil
}
