package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// maxMetadata is the brokers' default of offset.metadata.max.bytes.
const maxMetadata = 4096

// MaxCheckpoint is how many bytes one checkpoint may have.
const MaxCheckpoint = checkpointMaxBytes - recordOverhead

// Checkpoints keeps the newest checkpoint of each partition of the spans topic in the partition of the same number of a
// compacted topic, and offsets in a consumer group. Its methods may be called from any goroutine.
type Checkpoints struct{ c *Client }

// Checkpoints gives access to the client's checkpoints. It lives as long as the client.
func (c *Client) Checkpoints() *Checkpoints { return &Checkpoints{c} }

// Save writes without waiting and calls done exactly once: with nil when all in-sync replicas have it, or with why not.
// Checkpoints of a partition are written in the order of the calls; if one fails, so do those behind it that were saved
// before done was called. data must not change until then. done must not block.
func (k *Checkpoints) Save(ctx context.Context, partition int32, data []byte, done func(error)) {
	c := k.c
	finish := func(err error) {
		if err != nil {
			c.counters.checkpointErrors.Add(1)
			err = fmt.Errorf("writing to %s/%d: %w", c.cfg.Checkpoints.Topic, partition, deliveryError(err))
		} else {
			c.counters.checkpointWrites.Add(1)
		}
		done(err)
	}
	if len(data) > MaxCheckpoint {
		finish(fmt.Errorf("%w: a checkpoint of %d bytes, at most %d fit", ErrTooLarge, len(data), MaxCheckpoint))
		return
	}
	if data == nil {
		data = []byte{} // nil would delete what is there
	}
	rec := &kgo.Record{Topic: c.cfg.Checkpoints.Topic, Partition: partition, Key: checkpointKey(partition), Value: data}
	c.kc.produce(ctx, rec, finish)
}

// checkpointKey is one for each partition, so that compaction leaves one record in each.
func checkpointKey(partition int32) []byte { return strconv.AppendInt(nil, int64(partition), 10) }

// Load returns the newest checkpoint of a partition; false if there is none. It sees every checkpoint that was
// acknowledged before the call, whoever wrote it.
func (k *Checkpoints) Load(ctx context.Context, partition int32) (data []byte, found bool, err error) {
	c, topic, key := k.c, k.c.cfg.Checkpoints.Topic, string(checkpointKey(partition))
	ps := []int32{partition}
	ends, err := c.listOffsets(ctx, topic, askLatest, ps)
	if err != nil {
		return nil, false, fmt.Errorf("loading a checkpoint: %w", err)
	}
	starts, err := c.listOffsets(ctx, topic, askEarliest, ps)
	if err != nil {
		return nil, false, fmt.Errorf("loading a checkpoint: %w", err)
	}
	// From the end backwards in growing steps: the newest is nearly always the last record, and there may be gigabytes
	// that are not compacted yet.
	hi, step := ends[partition], int64(1)
	for hi > starts[partition] {
		lo := max(starts[partition], hi-step)
		err := c.readRange(ctx, topic, partition, lo, hi, func(r *kgo.Record) error {
			if string(r.Key) == key {
				data, found = r.Value, true
			}
			return nil
		})
		if err != nil {
			return nil, false, fmt.Errorf("loading a checkpoint: %w", err)
		}
		if found {
			return data, data != nil, nil // nil: somebody deleted it
		}
		hi, step = lo, step*8
	}
	return nil, false, nil
}

// LoadAll returns the newest checkpoint of each of the partitions that have one.
func (k *Checkpoints) LoadAll(ctx context.Context, partitions []int32) (map[int32][]byte, error) {
	var mu sync.Mutex
	out := make(map[int32][]byte, len(partitions))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, p := range partitions {
		g.Go(func() error {
			data, found, err := k.Load(ctx, p)
			if found {
				mu.Lock()
				defer mu.Unlock()
				out[p] = data
			}
			return err
		})
	}
	return out, g.Wait()
}

// Committed is what the consumer group holds for a partition.
type Committed struct {
	Offset      int64 // to read next
	LeaderEpoch int32 // of the record before it, -1 if not known
	Metadata    string
}

// Commit stores offsets in the consumer group, where kafka-consumer-groups.sh --describe shows them. The group's offsets
// expire (by default after 7 days) unless they are committed again. An error may concern some of the partitions only.
func (k *Checkpoints) Commit(ctx context.Context, offsets map[int32]Committed) error {
	c := k.c
	var set kadm.Offsets
	for p, o := range offsets {
		if len(o.Metadata) > maxMetadata {
			return fmt.Errorf("committing: metadata of partition %d has %d bytes, at most %d fit", p, len(o.Metadata), maxMetadata)
		}
		set.Add(kadm.Offset{Topic: c.cfg.Spans.Topic, Partition: p, At: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata})
	}
	if len(offsets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	resps, err := c.adm.CommitOffsets(ctx, c.cfg.Group, set)
	if err == nil {
		err = resps.Error()
	}
	if err == nil {
		c.counters.commits.Add(1)
		return nil
	}
	c.counters.commitErrors.Add(1)
	for _, e := range []error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.FencedInstanceID, kerr.RebalanceInProgress, kerr.StaleMemberEpoch} {
		if errors.Is(err, e) {
			return fmt.Errorf("committing to group %s: %w: a consumer has joined this group; it must be Thresher's alone: stop that consumer or set kafka.group to another name", c.cfg.Group, err)
		}
	}
	return fmt.Errorf("committing to group %s: %w", c.cfg.Group, err)
}

// Committed returns what the group holds for the spans topic; nothing if the group is new.
func (k *Checkpoints) Committed(ctx context.Context) (map[int32]Committed, error) {
	c := k.c
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	out := make(map[int32]Committed)
	resps, err := c.adm.FetchOffsets(ctx, c.cfg.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", c.cfg.Group, err)
	}
	for p, o := range resps[c.cfg.Spans.Topic] {
		if o.Err != nil {
			return nil, fmt.Errorf("offsets of group %s, partition %d: %w", c.cfg.Group, p, o.Err)
		}
		if o.At >= 0 {
			out[p] = Committed{Offset: o.At, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata}
		}
	}
	return out, nil
}
