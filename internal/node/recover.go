package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"thresher/internal/kafka"
	"thresher/policies"
	"thresher/sampler"
)

// A takeover is what is known of a partition when it is taken over.
type takeover struct {
	partition  int32
	topic      [16]byte // ID of the topic that is there now
	stored     kafka.Stored
	checkpoint *sampler.Checkpoint // that is stored; nil if it cannot be used, or there is none
	why        error               // it cannot be used
	committed  *kafka.Committed    // if there is no checkpoint: what the consumer group holds, if it holds something
	start, end int64               // of the log
	cut        int64               // the offset from which on the log is known to have been replaced; math.MaxInt64: it is not
}

// lookUp asks Kafka for what is to be known of partitions that are taken over.
func (n *Node) lookUp(ctx context.Context, partitions []int32) (map[int32]*takeover, error) {
	topic, err := n.client.SpansTopicID(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := n.checkpoints.LoadAll(ctx, partitions)
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoints: %w", err)
	}
	starts, err := n.client.StartOffsets(ctx, partitions)
	if err != nil {
		return nil, fmt.Errorf("reading where the log begins: %w", err)
	}
	ends, err := n.client.EndOffsets(ctx, partitions)
	if err != nil {
		return nil, fmt.Errorf("reading the ends of the log: %w", err)
	}
	all := make(map[int32]*takeover, len(partitions))
	complete := true
	for _, p := range partitions {
		t := &takeover{partition: p, topic: topic, stored: stored[p], start: starts[p], end: ends[p], cut: math.MaxInt64}
		t.checkpoint, t.why = n.checkpointOf(t)
		complete = complete && t.checkpoint != nil
		all[p] = t
	}
	if complete {
		return all, nil
	}
	committed, err := n.checkpoints.Committed(ctx)
	if err != nil {
		return nil, err
	}
	for p, c := range committed {
		if t := all[p]; t != nil {
			t.committed = &c
		}
	}
	return all, nil
}

// restore makes the machine of a partition, and says where to read from: from its checkpoint; or else from the nearest place of which it
// is known that everything before is settled, which is better than to deliver all that the log has once more.
func (n *Node) restore(ctx context.Context, t *takeover) (*sampler.Machine, int64, error) {
	log := n.log.With("partition", t.partition)
	limits := n.limits
	limits.Partition = int(t.partition)
	c, why := t.checkpoint, t.why
	if c == nil && t.committed != nil {
		var err error
		if c, err = n.fromCommitted(ctx, t); err != nil {
			return nil, 0, err
		}
		if c != nil {
			log.Warn("there is no usable checkpoint: goes on where the consumer group is; traces without a root span that may be the rest of earlier ones are kept for a while, "+
				"whatever policies say", "offset", c.Resume, "reason", cmp.Or(why, errors.New("there is none")))
		}
	}
	if c == nil {
		if why != nil {
			log.Error("there is neither a usable checkpoint nor a committed offset: all that the log has is decided again", "reason", why)
		}
		m, err := sampler.New(limits, n.settings)
		if err != nil {
			return nil, 0, err
		}
		m.Skip(sampler.Resume(t.start))
		return m, t.start, nil
	}
	if cut := min(t.cut, t.end); cut < int64(c.Next) {
		log.Error("the log was cut back behind what was read of it: goes on from there", "read_to", c.Next, "resume", c.Resume, "cut", cut)
		c.Cut(min(sampler.Resume(cut), c.Resume))
	}
	m, err := sampler.Restore(limits, n.settings, c)
	if err != nil {
		return nil, 0, err
	}
	if c.Policies != n.settings.Plan.Fingerprint() {
		log.Info("the policies have changed since the checkpoint; traces that are not settled are decided by the new ones")
	}
	from := int64(c.ReplayFrom.Offset)
	if t.start > from {
		n.forgot.Add(1)
		log.Error("the log no longer has what is needed to remember earlier decisions: for a late window, traces without a root span are kept "+
			"whatever policies say, because they may be the rest of a kept trace; raise kafka.spans.retention",
			"needed_from", from, "begins_at", t.start, "resume", c.Resume)
		m.Lost(sampler.Resume(t.start))
		// Not beyond the resume offset: what was not read is reported as lost by the reader.
		from = min(t.start, int64(c.Resume))
	}
	return m, from, nil
}

// checkpointOf decodes what is stored. The error says why it cannot be used; it is nil if there is nothing.
func (n *Node) checkpointOf(t *takeover) (*sampler.Checkpoint, error) {
	if t.stored.Epoch == 0 {
		return nil, nil
	}
	c, err := n.sealer.unseal(t.stored.Data, t.topic)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// fromCommitted goes on at the offset that the consumer group holds. What was known of decisions before is lost, except for what
// comes of reading a little from before it. nil: the offset is of another topic.
func (n *Node) fromCommitted(ctx context.Context, t *takeover) (*sampler.Checkpoint, error) {
	// Brokers delete the offsets of a topic with it. The ID is beside the offset because that may take a while.
	if id := t.committed.Metadata; id != "" && id != topicText(t.topic) {
		return nil, nil
	}
	resume := max(t.start, min(t.committed.Offset, t.end))
	from := resume
	if resume > t.start {
		stamp := int64(-1)
		err := n.client.ReadRange(ctx, t.partition, resume-1, resume, func(r kafka.Record) error {
			stamp = r.Timestamp
			return nil
		})
		if err != nil {
			return nil, err
		}
		if stamp >= 0 {
			back := n.limits.LateWindow + 2*(n.settings.DecisionWait+policies.Tick)
			at, err := n.client.OffsetForTime(ctx, t.partition, stamp-back)
			if err != nil {
				return nil, err
			}
			from = min(at, resume)
		}
	}
	return sampler.ResumeAt(&n.limits, &n.settings, sampler.Resume(from), sampler.Resume(resume)), nil
}

// topicText is how the ID of the spans topic stands beside a committed offset.
func topicText(id [16]byte) string {
	if bytes.Equal(id[:], make([]byte, len(id))) {
		return "" // the brokers are too old to say
	}
	return hex.EncodeToString(id[:])
}
