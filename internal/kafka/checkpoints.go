package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// maxMetadata is the brokers' default of offset.metadata.max.bytes.
const maxMetadata = 4096

// MaxCheckpoint is how many bytes one checkpoint may have.
const MaxCheckpoint = checkpointMaxBytes - recordOverhead

// Checkpoints keeps the newest checkpoint of each owner of each partition of the spans topic in the partition of the same number of a
// compacted topic, and offsets in a consumer group. Its methods may be called from any goroutine.
type Checkpoints struct{ c *Client }

// Checkpoints gives access to the client's checkpoints. It lives as long as the client.
func (c *Client) Checkpoints() *Checkpoints { return &Checkpoints{c} }

// A Stored checkpoint was written by the owner of an epoch. Whoever takes a partition over writes under a greater epoch than all
// it has found, and so tells its checkpoints from those of an owner that does not know yet that it is none: see Load.
type Stored struct {
	Epoch uint64 // 0: there is no checkpoint
	Data  []byte
	Older []uint64 // epochs of others that were found beside it, to be retired once there is one of a greater epoch
}

// Save writes without waiting and calls done exactly once: with nil when all in-sync replicas have it, or with why not.
// Checkpoints of a partition are written in the order of the calls; if one fails, so do those behind it that were saved
// before done was called. data must not change until then. done must not block.
func (k *Checkpoints) Save(ctx context.Context, partition int32, epoch uint64, data []byte, done func(error)) {
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
	rec := &kgo.Record{Topic: c.cfg.Checkpoints.Topic, Partition: partition, Key: checkpointKey(partition, epoch), Value: data}
	c.kc.produce(ctx, rec, finish)
}

// Retire deletes the checkpoints of owners before. It is called AFTER one of a greater epoch was stored, does not wait, and may fail: what
// is left costs some bytes.
func (k *Checkpoints) Retire(partition int32, epochs []uint64) {
	for _, e := range epochs {
		rec := &kgo.Record{Topic: k.c.cfg.Checkpoints.Topic, Partition: partition, Key: checkpointKey(partition, e)}
		k.c.kc.produce(context.Background(), rec, func(error) {})
	}
}

// checkpointKey is one for each owner of each partition: compaction leaves the last checkpoint of each, and an owner of before that
// writes once more does not make it remove what its successor has written.
func checkpointKey(partition int32, epoch uint64) []byte {
	return fmt.Appendf(nil, "%d@%d", partition, epoch)
}

// epochOf returns the epoch of a key, and false if it is not one of the partition.
func epochOf(key []byte, partition int32) (uint64, bool) {
	p, e, ok := strings.Cut(string(key), "@")
	epoch, err := strconv.ParseUint(e, 10, 64)
	return epoch, ok && err == nil && epoch > 0 && p == strconv.Itoa(int(partition))
}

// lookBack is how many records are looked at for one of a greater epoch than that of the last. Two owners are so for seconds, and a
// checkpoint a second is the most that one stores.
const lookBack = 16

// Load returns the checkpoint of the greatest epoch of a partition, the newest one of it; its Epoch is 0 if there is none. It sees
// every checkpoint that was acknowledged before the call, whoever wrote it.
//
// Why not simply the newest? A node that was stopped for a while does not know that another one has taken its partition over:
//
//  1. Node a, epoch 1, is about to store that it has settled up to 100. It stops (SIGSTOP, a long pause of its machine).
//  2. Node b takes the partition over under epoch 2 and stores that it has settled up to 5000.
//  3. a wakes up, and its checkpoint is stored. b dies.
//  4. Who comes next would begin at 100, and deliver 4900 records again.
func (k *Checkpoints) Load(ctx context.Context, partition int32) (Stored, error) {
	c, topic := k.c, k.c.cfg.Checkpoints.Topic
	ps := []int32{partition}
	ends, err := c.listOffsets(ctx, topic, askLatest, ps)
	if err != nil {
		return Stored{}, fmt.Errorf("loading a checkpoint: %w", err)
	}
	starts, err := c.listOffsets(ctx, topic, askEarliest, ps)
	if err != nil {
		return Stored{}, fmt.Errorf("loading a checkpoint: %w", err)
	}
	// From the end backwards in growing steps: the newest is nearly always among the last records, and there may be gigabytes
	// that are not compacted yet.
	newest := map[uint64][]byte{} // by epoch; nil: retired
	for hi, step := ends[partition], int64(lookBack); hi > starts[partition]; step *= 8 {
		lo := max(starts[partition], hi-step)
		here := map[uint64][]byte{}
		err := c.readRange(ctx, topic, partition, lo, hi, func(r *kgo.Record) error {
			if epoch, ours := epochOf(r.Key, partition); ours {
				here[epoch] = r.Value
			}
			return nil
		})
		if err != nil {
			return Stored{}, fmt.Errorf("loading a checkpoint: %w", err)
		}
		for epoch, data := range here {
			if _, later := newest[epoch]; !later {
				newest[epoch] = data
			}
		}
		if s := greatest(newest); s.Epoch > 0 {
			return s, nil
		}
		hi = lo
	}
	return Stored{}, nil
}

func greatest(newest map[uint64][]byte) (s Stored) {
	for _, epoch := range slices.Sorted(maps.Keys(newest)) {
		if newest[epoch] == nil {
			continue
		}
		if s.Epoch > 0 {
			s.Older = append(s.Older, s.Epoch)
		}
		s.Epoch, s.Data = epoch, newest[epoch]
	}
	return s
}

// LoadAll loads the checkpoints of all partitions that have one.
func (k *Checkpoints) LoadAll(ctx context.Context, partitions []int32) (map[int32]Stored, error) {
	var mu sync.Mutex
	out := make(map[int32]Stored, len(partitions))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, p := range partitions {
		g.Go(func() error {
			s, err := k.Load(ctx, p)
			if err == nil && s.Epoch > 0 {
				mu.Lock()
				defer mu.Unlock()
				out[p] = s
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

// coordinatorWithin is how long a group may have no coordinator: a cluster whose first group this is makes the topic for offsets.
const coordinatorWithin = time.Minute

// Committed returns what the group holds for the spans topic; nothing if the group is new. It waits for the group's coordinator.
func (k *Checkpoints) Committed(ctx context.Context) (map[int32]Committed, error) {
	ctx, cancel := context.WithTimeout(ctx, coordinatorWithin)
	defer cancel()
	for try := 1; ; try++ {
		out, err := k.askCommitted(ctx)
		if err == nil || !kerr.IsRetriable(err) && !IsRetryable(err) || ctx.Err() != nil {
			return out, err
		}
		select {
		case <-time.After(backoff(try)):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (k *Checkpoints) askCommitted(ctx context.Context) (map[int32]Committed, error) {
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
