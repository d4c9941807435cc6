package node

import (
	"context"
	"time"
)

const watchEvery = 2 * time.Second

// logEnds is where the log of each partition ended when it was last asked for, whether or not the partition is being read: while the
// backends hold it, nothing that it reads tells how much is coming in.
type logEnds struct {
	offset   []int64     // by partition
	caughtUp []time.Time // when there was last nothing left to read
}

// watch asks every few seconds, until ctx ends, where the log ends, and looks whether spans come too late.
func (n *Node) watch(ctx context.Context, partitions []int32) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var late missedLog
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.askEnds(ctx, partitions)
			n.warnOfMissed(&late, time.Now())
		}
	}
}

// askEnds asks once. What has no answer stays as it was; that Kafka does not answer is said by others.
func (n *Node) askEnds(ctx context.Context, partitions []int32) {
	// In this order: what is at the end now was appended later than this moment, unless it was read by then.
	now, views := time.Now(), n.views()
	ends, _ := n.client.EndOffsetsNow(ctx, partitions)
	next := &logEnds{offset: make([]int64, len(partitions)), caughtUp: make([]time.Time, len(partitions))}
	if was := n.ends.Load(); was != nil {
		copy(next.offset, was.offset)
		copy(next.caughtUp, was.caughtUp)
	}
	for p, end := range ends {
		next.offset[p] = end
	}
	for _, v := range views {
		if end, told := ends[v.no]; told && int64(v.next) >= end {
			next.caughtUp[v.no] = now
		}
	}
	n.ends.Store(next)
}

// of returns what is known of a partition.
func (e *logEnds) of(partition int32) (end int64, caughtUp time.Time) {
	if e == nil {
		return 0, time.Time{}
	}
	return e.offset[partition], e.caughtUp[partition]
}

// oldestUnread returns when the first record that is not read yet was written, as far as is known, for a partition that has such.
// The record tells if it has been fetched. Else it was written after the last one that was read, and after the moment when nothing
// was left to read. A broker's clock may be wrong: stamps of the future tell nothing.
func (v *view) oldestUnread(now, caughtUp time.Time) time.Time {
	if at := time.UnixMilli(v.oldest); v.oldest > 0 && !at.After(now) {
		return at
	}
	if at := time.UnixMilli(v.readAt); v.readAt > 0 && at.After(caughtUp) && !at.After(now) {
		return at
	}
	if caughtUp.IsZero() {
		return now
	}
	return caughtUp
}
