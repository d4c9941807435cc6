package kafka

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// EmbeddedOptions of StartEmbedded. The zero value is a broker on a free port of the loopback interface that keeps up to
// 1 GiB of spans in a temporary directory.
type EmbeddedOptions struct {
	// Dir keeps the data after Close, to be used again. Empty: a temporary directory, removed by Close.
	Dir string
	// Partitions of the spans topic, by which RetentionBytes is divided; 64 if 0.
	Partitions int
	// Port to listen on; 0 is a free one.
	Port int
	// RetentionBytes bounds the data of all partitions together, on disk, give or take a quarter and what comes in
	// within some seconds; 1 GiB if 0.
	RetentionBytes int64
	// Now is the broker's clock; time.Now if nil. Tests let hours of log pass with it, and set it wrong.
	Now func() time.Time
}

// Embedded is a Kafka broker in this process, for the demo and for tests. It is no database: what a crash of the
// operating system destroys is gone, and one goroutine does all the work.
//
// It is franz-go's kfake, with what that lacks made up for: topics stamp records with the time of the broker, a change
// of leader is not taken for a loss of data, and the disk does not fill up. One difference to a real broker stays:
// records carry the broker's time under the name of CreateTime, because kfake changes a batch that is marked as
// LogAppendTime after its checksum was made.
type Embedded struct {
	cluster *kfake.Cluster
	dir     string // to remove; empty if it is not ours
	once    sync.Once
}

// cleanEvery is how often what is too old or too much is removed.
const cleanEvery = 2 * time.Second

// StartEmbedded starts a broker. The caller closes it.
func StartEmbedded(o EmbeddedOptions) (*Embedded, error) { return startEmbedded(o) }

func startEmbedded(o EmbeddedOptions, extra ...kfake.Opt) (*Embedded, error) {
	e := &Embedded{}
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "thresher-kafka-"); err != nil {
			return nil, fmt.Errorf("embedded Kafka: %w", err)
		}
		e.dir = dir
	}
	if o.Partitions == 0 {
		o.Partitions = DefaultConfig().Spans.Partitions
	}
	if o.RetentionBytes == 0 {
		o.RetentionBytes = 1 << 30
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	// Whole segments are removed, so they must be small against what is kept.
	retain := max(o.RetentionBytes/int64(o.Partitions), 256<<10)
	segment := min(max(retain/4, 64<<10), 64<<20)
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(o.Partitions),
		kfake.DataDir(dir),
		kfake.BrokerConfigs(map[string]string{
			"log.message.timestamp.type": logAppendTime,
			"log.retention.bytes":        strconv.FormatInt(retain, 10),
			"log.segment.bytes":          strconv.FormatInt(segment, 10),
			"log.cleaner.backoff.ms":     strconv.FormatInt(cleanEvery.Milliseconds(), 10),
			"default.replication.factor": "1",
		}),
	}
	if o.Port != 0 {
		opts = append(opts, kfake.Ports(o.Port))
	}
	var err error
	if e.cluster, err = kfake.NewCluster(append(opts, extra...)...); err != nil {
		e.remove()
		return nil, fmt.Errorf("embedded Kafka: %w", err)
	}
	s := newStamper()
	e.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.stamp(req.(*kmsg.ProduceRequest), o.Now().UnixMilli())
		return nil, nil, false
	})
	e.cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		adaptTopics(req.(*kmsg.CreateTopicsRequest), segment)
		return nil, nil, false
	})
	e.cluster.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		return answerEpochs(req.(*kmsg.OffsetForLeaderEpochRequest)), nil, true
	})
	return e, nil
}

// Addr is the broker's host:port, for Config.Brokers.
func (e *Embedded) Addr() string { return e.cluster.ListenAddrs()[0] }

// RefuseWrites makes the broker answer writes to a topic as one with too few replicas in sync does, until what it returns
// is called.
func (e *Embedded) RefuseWrites(topic string) (mend func()) {
	return e.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotEnoughReplicas, Count: -1}).Remove
}

// Close stops the broker, and removes its data unless it was given a directory. It may be called twice.
func (e *Embedded) Close() {
	e.once.Do(func() {
		e.cluster.Close()
		e.remove()
	})
}

func (e *Embedded) remove() {
	if e.dir != "" {
		_ = os.RemoveAll(e.dir) // it is in the system's directory for what nobody misses
	}
}

// adaptTopics makes a request to create topics one that kfake understands, and keeps it from deleting what a real broker
// keeps: it applies retention to compacted topics too.
func adaptTopics(req *kmsg.CreateTopicsRequest, segment int64) {
	for i := range req.Topics {
		t := &req.Topics[i]
		compacted := false
		t.Configs = slices.DeleteFunc(t.Configs, func(c kmsg.CreateTopicsRequestTopicConfig) bool {
			if c.Name == "cleanup.policy" && c.Value != nil && *c.Value == "compact" {
				compacted = true
			}
			return c.Name == "min.cleanable.dirty.ratio" || c.Name == "segment.bytes"
		})
		if compacted {
			for _, name := range []string{"retention.bytes", "retention.ms"} {
				t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: kmsg.StringPtr("-1")})
			}
		}
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: "segment.bytes",
			Value: kmsg.StringPtr(strconv.FormatInt(segment, 10))})
	}
}

// answerEpochs says that no epoch has lost anything. kfake itself says that it does not know an epoch under which
// nothing was written yet, which a client must take for a loss.
func answerEpochs(req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = p.Partition, p.LeaderEpoch, 1<<62
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
