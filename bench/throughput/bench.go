package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"thresher/internal/kafka"
)

// bench is one execution of the program.
type bench struct {
	*options
	say    func(format string, args ...any)
	admin  *kadm.Client
	name   string // of the spans topic, and the beginning of all other names
	topics []string
}

func (b *bench) run(ctx context.Context) (*report, error) {
	r := &report{Machine: thisMachine(), Scenario: "read", SpanBytes: b.spanBytes}
	if b.embedded {
		broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{Partitions: b.partitions, RetentionBytes: 64 << 30})
		if err != nil {
			return nil, err
		}
		defer broker.Close()
		b.brokers = broker.Addr()
	}
	kc, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(b.brokers, ",")...))
	if err != nil {
		return nil, err
	}
	defer kc.Close()
	b.admin = kadm.NewClient(kc)
	b.name = fmt.Sprintf("throughput-%d", time.Now().UnixMilli())
	defer b.deleteTopics()
	switch {
	case b.hold:
		r.Scenario = "hold"
		err = b.runHold(ctx, r)
	case b.receive:
		r.Scenario = "receive"
		err = b.runReceive(ctx, r)
	default:
		err = b.runRead(ctx, r)
	}
	return r, err
}

// runRead measures nodes that find a log and work it off.
func (b *bench) runRead(ctx context.Context, r *report) error {
	if err := b.fill(ctx, r); err != nil {
		return err
	}
	// When a node starts, everything is due: what has no root yet is decided as soon as the log has been read.
	b.say("waiting %v, so that no trace of the log is still open to new spans", b.decisionWait+2*time.Second)
	select {
	case <-time.After(b.decisionWait + 2*time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	for i := range b.repeats {
		m, err := b.readOnce(ctx, &r.Log, fmt.Sprintf("read-%d", i+1), (*nodeStatus).settled)
		if err != nil {
			return err
		}
		if b.baseline {
			bare, err := startDrain(ctx, b.brokers, &r.Log)
			if err != nil {
				return err
			}
			bare.ThresherToBare = m.SpansPerCore / bare.SpansPerCore
			m.Bare = &bare
		}
		b.say("repeat %d of %d: %.0f spans/s/core", i+1, b.repeats, m.SpansPerCore)
		r.Runs = append(r.Runs, *m)
	}
	return nil
}

// readOnce starts a node on the log and waits until done says so.
func (b *bench) readOnce(ctx context.Context, l *logged, name string, done func(*nodeStatus, int64) bool) (*measurement, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	to, err := startSink()
	if err != nil {
		return nil, err
	}
	defer to.stop()
	n, err := startNode(b.binary, b.nodeConfig(to, l.Topic, name))
	if err != nil {
		return nil, err
	}
	profiled := b.profile(ctx, n, name)
	m := &measurement{}
	s, err := m.watch(ctx, n, l.Spans, func(s *nodeStatus) bool { return done(s, l.Spans) })
	if err == nil {
		<-profiled
		m.conclude(&s, b.spanBytes, to)
	}
	return m, errors.Join(err, n.stop())
}

func (b *bench) nodeConfig(to *sink, topic, name string) nodeConfig {
	c := nodeConfig{
		Brokers: b.brokers, Topic: topic, Checkpoints: b.name + "-checkpoints-" + name, Rejected: b.name + "-rejected",
		Partitions: b.partitions, Embedded: b.embedded, Compression: b.compression, Sink: to.addr, ExportAs: b.exportCompression,
		DecisionWait: b.decisionWait, RootWait: b.rootWait, MemoryLimit: b.memoryLimit,
	}
	b.topics = append(b.topics, c.Topic, c.Checkpoints, c.Rejected)
	return c
}

// client makes the spans topic as Thresher would, and returns a client that writes it. The caller closes it.
func (b *bench) client(ctx context.Context, topic string) (*kafka.Client, error) {
	cfg := kafka.DefaultConfig()
	cfg.Brokers = strings.Split(b.brokers, ",")
	cfg.Compression = b.compression
	cfg.Spans.Topic, cfg.Spans.Partitions, cfg.Spans.AllowCreateTime = topic, b.partitions, b.embedded
	cfg.Checkpoints.Topic, cfg.Rejected.Topic = b.name+"-checkpoints", b.name+"-rejected"
	cfg.Producer.DeliveryTimeout = time.Minute // a log that is filled at once is not what the default is for
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b.topics = append(b.topics, topic, cfg.Checkpoints.Topic, cfg.Rejected.Topic)
	c, err := kafka.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return nil, err
	}
	if err := c.Ensure(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (b *bench) fill(ctx context.Context, r *report) error {
	c, err := b.client(ctx, b.name)
	if err != nil {
		return err
	}
	defer c.Close()
	b.say("filling %s with %d spans", b.name, b.spans)
	if r.Log, err = fill(ctx, b.options, c); err != nil {
		return err
	}
	r.Log.Stored = b.stored(ctx, b.name)
	b.say("%d spans in %d records, %.1f s", r.Log.Spans, r.Log.Records, r.Log.Seconds)
	return nil
}

// stored returns the size of a topic on the brokers' disks, 0 if they do not tell.
func (b *bench) stored(ctx context.Context, topic string) (bytes int64) {
	all, err := b.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return 0
	}
	for _, broker := range all {
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				bytes += p.Size
			}
		})
	}
	return bytes
}

// records returns the number of records in a topic.
func (b *bench) records(ctx context.Context, topic string) (n int64, err error) {
	ends, err := b.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n, ends.Error()
}

// deleteTopics deletes what this program made, also after an interrupt.
func (b *bench) deleteTopics() {
	if b.embedded || len(b.topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	slices.Sort(b.topics)
	if _, err := b.admin.DeleteTopics(ctx, slices.Compact(b.topics)...); err != nil {
		b.say("cannot delete the topics %s*: %v", b.name, err)
	}
}
