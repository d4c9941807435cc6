package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	watchInterval = time.Second
	watchTimeout  = 3 * time.Second
)

// A Client is one configuration's access to Kafka. Its methods may be called from any goroutine.
type Client struct {
	cfg  Config
	log  *slog.Logger
	dial []kgo.Opt
	kc   writer // everything but the reading and writing of spans
	adm  *kadm.Client

	counters counters
	// problem is what keeps us from saying "connected"; nil if nothing does.
	problem atomic.Pointer[string]
	leaders leaderCache
	// spans is the topic's ID as the reader knows it: another one is another topic.
	spans atomic.Pointer[[16]byte]
	// seen is the topic's ID as the brokers said last.
	seen atomic.Pointer[[16]byte]

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	watch   sync.Once
	watched sync.WaitGroup
}

// New makes a client; it does not connect. It fails on a configuration that cannot be used, such as a certificate file
// that cannot be read. The configuration must be valid.
func New(cfg Config, log *slog.Logger) (*Client, error) {
	dial, err := dialOptions(&cfg, log)
	if err != nil {
		return nil, &FatalError{err}
	}
	c := &Client{cfg: cfg, log: log, dial: dial, kc: writer{log: log}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.setProblem("not connected yet")
	opts := append([]kgo.Opt{
		kgo.RecordPartitioner(sideTopicPartitioner(cfg.Rejected.Topic)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec(cfg.Compression), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(int32(max(cfg.Spans.MaxRecordBytes, checkpointMaxBytes))),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(1 << 16),
		kgo.RetryTimeout(cfg.RequestTimeout),
		kgo.RequestTimeoutOverhead(cfg.RequestTimeout),
		kgo.ProduceRequestTimeout(cfg.RequestTimeout),
		// A checkpoint that is written twice does no harm; one that nobody answers for blocks all later ones.
		kgo.RecordDeliveryTimeout(max(time.Second, 2*cfg.RequestTimeout)), // franz-go has no shorter one
		kgo.AllowIdempotentProduceCancellation(),
		kgo.UnknownTopicRetries(-1),
	}, dial...)
	if c.kc.Client, err = kgo.NewClient(opts...); err != nil {
		return nil, &FatalError{fmt.Errorf("kafka: %w", err)}
	}
	c.adm = kadm.NewClient(c.kc.Client)
	c.adm.SetTimeoutMillis(int32(cfg.RequestTimeout.Milliseconds()))
	return c, nil
}

// Config is what the client was made with.
func (c *Client) Config() Config { return c.cfg }

// Close ends everything that goes through this client, except readers and producers, which must be closed before.
// Checkpoints that are still on their way are given up; their done functions are called. It may be called twice.
func (c *Client) Close() {
	c.cancel()
	c.watched.Wait()
	c.kc.Close()
}

// Connected reports whether Kafka answered within the last seconds and every partition of the spans topic had a
// leader. It is false until Ensure has succeeded.
func (c *Client) Connected() bool { return c.problem.Load() == nil }

// SpansTopicID asks which topic has the name of the spans topic now: one that was deleted and made again is another one,
// and offsets of the first mean nothing in it. All zeros: the brokers are too old to say.
func (c *Client) SpansTopicID(ctx context.Context) ([16]byte, error) {
	d, err := c.describe(ctx, c.cfg.Spans.Topic)
	return d.id, err
}

func (c *Client) spansID() [16]byte {
	if id := c.spans.Load(); id != nil {
		return *id
	}
	return [16]byte{}
}

// madeAnew reports whether the brokers have another topic of the name than the one that is read.
func (c *Client) madeAnew() bool {
	seen, read := c.seen.Load(), c.spansID()
	return seen != nil && *seen != [16]byte{} && read != [16]byte{} && *seen != read
}

func (c *Client) setSpansID(id [16]byte) {
	c.seen.Store(&id)
	c.spans.Store(&id)
}

func (c *Client) setProblem(s string) { c.problem.Store(&s) }

// startWatching keeps Connected truthful.
func (c *Client) startWatching() {
	c.watch.Do(func() {
		c.problem.Store(nil)
		c.watched.Go(func() {
			var since time.Time
			again := seldom{every: 10 * time.Second}
			tick := time.NewTicker(watchInterval)
			defer tick.Stop()
			for {
				select {
				case <-c.ctx.Done():
					return
				case <-tick.C:
				}
				err := c.look()
				switch {
				case c.ctx.Err() != nil:
					return
				case err != nil:
					c.setProblem(err.Error())
					if since.IsZero() {
						since = time.Now()
					}
					if again.now() {
						c.log.Error("Kafka is not usable; waiting for it", "brokers", c.cfg.Brokers,
							"for", time.Since(since).Round(time.Second), "error", err)
					}
				case !since.IsZero():
					c.problem.Store(nil)
					c.log.Info("Kafka is usable again", "after", time.Since(since).Round(time.Millisecond))
					since, again.last = time.Time{}, time.Time{}
				default:
					c.problem.Store(nil)
				}
			}
		})
	})
}

// look asks a broker, any broker, for the state of the spans topic.
func (c *Client) look() error {
	ctx, cancel := context.WithTimeout(c.ctx, watchTimeout)
	defer cancel()
	d, err := c.describe(ctx, c.cfg.Spans.Topic)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no broker answered within %v: %w", watchTimeout, err)
	}
	if err != nil {
		return err
	}
	c.seen.Store(&d.id)
	if n := d.leaderless(); n > 0 {
		return fmt.Errorf("topic %s: %d of %d partitions have no leader", c.cfg.Spans.Topic, n, len(d.leaders))
	}
	return nil
}

// A description is what brokers know about a topic now.
type description struct {
	id       [16]byte
	leaders  map[int32]int32 // partition to node; -1: none
	replicas int             // of the partition that has the fewest
}

func (d *description) leaderless() (n int) {
	for _, l := range d.leaders {
		if l < 0 {
			n++
		}
	}
	return n
}

// describe does not use franz-go's cache. The error is kerr.UnknownTopicOrPartition if there is no such topic.
func (c *Client) describe(ctx context.Context, topic string) (description, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	req.AllowAutoTopicCreation = false
	resp, err := req.RequestWith(ctx, c.kc.Client)
	if err != nil {
		return description{}, err
	}
	if len(resp.Topics) != 1 {
		return description{}, fmt.Errorf("topic %s: the broker described %d topics when asked for one", topic, len(resp.Topics))
	}
	rt := resp.Topics[0]
	if err := kerr.ErrorForCode(rt.ErrorCode); err != nil {
		return description{}, fmt.Errorf("topic %s: %w", topic, err)
	}
	d := description{id: rt.TopicID, leaders: make(map[int32]int32, len(rt.Partitions))}
	for i, p := range rt.Partitions {
		d.leaders[p.Partition] = p.Leader
		if i == 0 || len(p.Replicas) < d.replicas {
			d.replicas = len(p.Replicas)
		}
	}
	return d, nil
}

// sideTopicPartitioner takes the partition from the record, except on the rejected topic, where any will do.
func sideTopicPartitioner(rejected string) kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		if topic != rejected {
			return func(r *kgo.Record, _ int) int { return int(r.Partition) }
		}
		var i int // franz-go calls this under the topic's lock
		return func(_ *kgo.Record, n int) int { i++; return i % n }
	})
}
