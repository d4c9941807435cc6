package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batchBytes bounds a batch of several records, before compression.
const batchBytes = 1 << 20

const (
	// FormatHeader is the header of each record of the spans topic; its value is FormatVersion. A record without it is
	// somebody else's OTLP, in which a trace ID may be anywhere.
	FormatHeader = "thresher-format"
	// FormatVersion 2: an OTLP ExportTraceServiceRequest (= TracesData) whose traces all belong to the partition, by wire.Partition.
	// Version 1 was the same by another function.
	FormatVersion = "2"
	// MovedHeader is on records with spans that were in another partition and do not belong there; its value is from where:
	// partition/offset. They are not moved again.
	MovedHeader = "thresher-moved"
)

// A Producer writes records to the spans topic: acknowledged by all in-sync replicas, without duplicates of its own
// retries. Its methods may be called from any goroutine.
type Producer struct {
	c *Client
	// small writes records in batches of up to batchBytes, which bounds what a reader must take at once: batches are
	// fetched and decompressed whole. large writes records that are larger than that. There is little order among the
	// records of a partition to lose: clients' requests have none.
	small, large writer
	headers      []kgo.RecordHeader
}

// NewProducer makes a producer. Ensure must have succeeded before it is used.
func (c *Client) NewProducer() (*Producer, error) {
	cfg := &c.cfg
	half := max(time.Second, cfg.Producer.DeliveryTimeout/2)
	opts := append([]kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec(cfg.Compression), kgo.NoCompression()),
		kgo.AlwaysRetryEOF(),
		// The Accumulator has waited already. This only lets parcels of several partitions share a request.
		kgo.ProducerLinger(min(time.Millisecond, cfg.Producer.Linger)),
		kgo.MaxBufferedRecords(1 << 18),
		kgo.MaxBufferedBytes(2 * max(cfg.Producer.BufferBytes, cfg.Spans.MaxRecordBytes)),
		kgo.RecordDeliveryTimeout(cfg.Producer.DeliveryTimeout),
		kgo.ProduceRequestTimeout(half),
		kgo.RequestTimeoutOverhead(half),
		// Whoever waits gets a retryable error and sends again: a duplicate, which the sampler removes. Without this,
		// a broker that does not answer would hold the record, and all behind it, for as long as it does not.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.UnknownTopicRetries(-1), // until the delivery timeout
	}, c.dial...)
	p := &Producer{c: c, small: writer{log: c.log}, large: writer{log: c.log}, headers: []kgo.RecordHeader{{Key: FormatHeader, Value: []byte(FormatVersion)}}}
	var err error
	if p.small.Client, err = kgo.NewClient(append(opts, kgo.ProducerBatchMaxBytes(int32(min(batchBytes, cfg.Spans.MaxRecordBytes))))...); err == nil {
		p.large.Client, err = kgo.NewClient(append(opts, kgo.ProducerBatchMaxBytes(int32(cfg.Spans.MaxRecordBytes)))...)
	}
	if err != nil {
		p.Close()
		return nil, &FatalError{fmt.Errorf("kafka: %w", err)}
	}
	return p, nil
}

// Produce sends one record and calls done exactly once: with nil when all in-sync replicas have it, or with why not
// (see [IsRetryable]). It blocks while too many bytes wait, until ctx ends. The value must not change before done is
// called. done is called from a goroutine that all records share: it must not block. After kafka.producer.delivery_timeout
// a record fails with [ErrTimeout], at the latest when a request that carries it has been given up, which takes as long
// again.
func (p *Producer) Produce(ctx context.Context, partition int32, value []byte, done func(error)) {
	p.write(ctx, partition, value, p.headers, done)
}

// Move is Produce for spans that were in another partition. from is the offset there of the record that the first of them were in.
func (p *Producer) Move(ctx context.Context, partition, fromPartition int32, from int64, value []byte, done func(error)) {
	origin := fmt.Sprintf("%d/%d", fromPartition, from)
	p.write(ctx, partition, value, append(slices.Clip(p.headers), kgo.RecordHeader{Key: MovedHeader, Value: []byte(origin)}), done)
}

func (p *Producer) write(ctx context.Context, partition int32, value []byte, headers []kgo.RecordHeader, done func(error)) {
	p.c.counters.waiting.Add(int64(len(value)))
	w := &p.small
	if len(value) > batchBytes-recordOverhead {
		w = &p.large
	}
	rec := &kgo.Record{Topic: p.c.cfg.Spans.Topic, Partition: partition, Value: value, Headers: headers}
	w.produce(ctx, rec, func(err error) {
		n := &p.c.counters
		n.waiting.Add(int64(-len(value)))
		if err != nil {
			n.produceErrors.Add(1)
			err = fmt.Errorf("writing to %s/%d: %w", p.c.cfg.Spans.Topic, partition, deliveryError(err))
		} else {
			n.producedRecords.Add(1)
			n.producedBytes.Add(uint64(len(value)))
		}
		done(err)
	})
}

// MaxValue is how many bytes a record's value may have.
func (p *Producer) MaxValue() int { return p.c.cfg.Spans.MaxRecordBytes - recordOverhead }

// Close fails what has not been acknowledged with [ErrClosed] and returns when every done has been called.
func (p *Producer) Close() {
	for _, kc := range []*kgo.Client{p.small.Client, p.large.Client} {
		if kc != nil {
			kc.Close()
		}
	}
}
