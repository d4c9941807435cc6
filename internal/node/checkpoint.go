package node

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"thresher/internal/kafka"
	"thresher/sampler"
)

// A stored checkpoint is a version, the ID of the topic whose offsets it speaks of, and the machine's checkpoint, compressed. Offsets mean
// nothing in a topic that was deleted and made again, even if it has grown past them.
const storedVersion = 2

// mostUnpacked bounds what a damaged checkpoint can make of itself.
const mostUnpacked = 1 << 30

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

var errOtherTopic = errors.New("it is of a topic that was deleted since")

// A sealer encodes and decodes checkpoints. Its methods may be called from any goroutine.
type sealer struct {
	pack   *zstd.Encoder
	unpack *zstd.Decoder
}

func newSealer() (*sealer, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(mostUnpacked))
	return &sealer{pack, unpack}, err
}

// seal encodes a checkpoint in no more bytes than Kafka takes, and tells what had to be left out for that.
func (s *sealer) seal(topic [16]byte, c *sampler.Checkpoint) ([]byte, sampler.Shed) {
	head := append([]byte{storedVersion}, topic[:]...)
	return c.Shrink(kafka.MaxCheckpoint, func(b []byte) []byte { return s.pack.EncodeAll(b, bytes.Clone(head)) })
}

func (s *sealer) unseal(b []byte, topic [16]byte) (*sampler.Checkpoint, error) {
	if len(b) < 1+len(topic) || b[0] != storedVersion {
		return nil, fmt.Errorf("%w: of another version", sampler.ErrCheckpoint)
	}
	if !bytes.Equal(b[1:1+len(topic)], topic[:]) {
		return nil, errOtherTopic
	}
	plain, err := s.unpack.DecodeAll(b[1+len(topic):], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sampler.ErrCheckpoint, err)
	}
	var c sampler.Checkpoint
	return &c, c.UnmarshalBinary(plain)
}
