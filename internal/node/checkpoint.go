package node

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"thresher/sampler"
)

// A stored checkpoint is a version, the ID of the topic whose offsets it speaks of, and the machine's checkpoint. Offsets mean
// nothing in a topic that was deleted and made again, even if it has grown past them.
const storedVersion = 1

// checkpointRate is how many bytes a second of checkpoints a partition stores. The topic is compacted, so each one that is replaced
// was written, replicated and cleaned away for nothing: with what adaptive policies know, 64 partitions of 256 KiB would
// be 16 MiB a second. What it costs to wait is that after a crash more is read again, and more of what was delivered comes again.
const checkpointRate = 64 << 10

// mayStore reports whether a checkpoint of a size may be stored at a tick that comes so long after the one before it was sent. Ticks
// are not exact, so half of one is as good as a whole one.
func mayStore(size int, since time.Duration) bool {
	wait := time.Duration(size) * time.Second / checkpointRate
	return wait <= checkpointEvery || since > wait-checkpointEvery/2
}

// sizeOf is about what a checkpoint takes: to know it before it is encoded spares encoding it.
func sizeOf(c *sampler.Checkpoint) int {
	const fixed, deliveredKey, longTrace = 64, 20, 28
	return fixed + len(c.Delivered)*deliveredKey + len(c.Long)*longTrace + len(c.State)
}

var errOtherTopic = errors.New("it is of a topic that was deleted since")

func seal(topic [16]byte, c *sampler.Checkpoint) []byte {
	b, _ := c.MarshalBinary() // cannot fail
	return append(append([]byte{storedVersion}, topic[:]...), b...)
}

func unseal(b []byte, topic [16]byte) (*sampler.Checkpoint, error) {
	if len(b) < 1+len(topic) || b[0] != storedVersion {
		return nil, fmt.Errorf("%w: of another version", sampler.ErrCheckpoint)
	}
	if !bytes.Equal(b[1:1+len(topic)], topic[:]) {
		return nil, errOtherTopic
	}
	var c sampler.Checkpoint
	return &c, c.UnmarshalBinary(b[1+len(topic):])
}
