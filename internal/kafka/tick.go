package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Tick appends a record without spans to a partition of the spans topic, so that its readers learn from the log that time has
// passed: an OTLP request with nothing in it, which the broker stamps. It does not wait, and calls done exactly once, which must
// not block: with the record's offset when all in-sync replicas have it, or with why not.
func (c *Client) Tick(partition int32, done func(offset int64, err error)) {
	rec := &kgo.Record{
		Topic: c.cfg.Spans.Topic, Partition: partition, Value: []byte{}, // nil would be a record that deletes
		Headers: []kgo.RecordHeader{{Key: FormatHeader, Value: []byte(FormatVersion)}},
	}
	c.kc.produce(context.Background(), rec, func(err error) {
		if err != nil {
			c.counters.tickErrors.Add(1)
			err = fmt.Errorf("writing to %s/%d: %w", c.cfg.Spans.Topic, partition, deliveryError(err))
		} else {
			c.counters.ticks.Add(1)
		}
		done(rec.Offset, err)
	})
}
