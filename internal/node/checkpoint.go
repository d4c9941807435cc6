package node

import (
	"bytes"
	"errors"
	"fmt"

	"thresher/sampler"
)

// A stored checkpoint is a version, the ID of the topic whose offsets it speaks of, and the machine's checkpoint. Offsets mean
// nothing in a topic that was deleted and made again, even if it has grown past them.
const storedVersion = 1

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
