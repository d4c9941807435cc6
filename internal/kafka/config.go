package kafka

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configtls"
)

// Config is the kafka section of the configuration file.
type Config struct {
	// Brokers to ask first, as host:port. At least one.
	Brokers []string `mapstructure:"brokers"`
	// ClientID as the brokers' logs and quotas see it.
	ClientID string `mapstructure:"client_id"`
	// Group carries the committed offsets for kafka-consumer-groups.sh and lag exporters. It must be Thresher's alone:
	// while a consumer has joined it, Kafka refuses our commits.
	Group string `mapstructure:"group"`
	// Compression of what Thresher writes: zstd, lz4, snappy, gzip or none.
	Compression string `mapstructure:"compression"`

	Spans       SpansConfig       `mapstructure:"spans"`
	Checkpoints CheckpointsConfig `mapstructure:"checkpoints"`
	Rejected    RejectedConfig    `mapstructure:"rejected"`

	// TLS is used when the section is there, even if it is empty. With cert_file and key_file it is mutual.
	TLS *configtls.ClientConfig `mapstructure:"tls"`
	// SASL is used when the section is there.
	SASL *SASLConfig `mapstructure:"sasl"`

	Producer ProducerConfig `mapstructure:"producer"`
	Reader   ReaderConfig   `mapstructure:"reader"`

	// DialTimeout bounds the making of one connection, TLS and SASL excluded.
	DialTimeout time.Duration `mapstructure:"dial_timeout"`
	// RequestTimeout bounds one administrative request: offsets, commits, topics.
	RequestTimeout time.Duration `mapstructure:"request_timeout"`
	// TickInterval is how long nothing must have come in a partition in which traces wait, until its owner appends a record without
	// spans, so that time passes: 10 ms to a minute.
	TickInterval time.Duration `mapstructure:"tick_interval"`
}

// SpansConfig is about the topic in which all spans of a trace are in one partition.
type SpansConfig struct {
	Topic string `mapstructure:"topic"`
	// Partitions of the topic, 1 to 10000. It cannot be changed later without splitting traces.
	Partitions int `mapstructure:"partitions"`
	// ReplicationFactor for topics that Thresher creates, all three of them; -1 leaves it to the broker.
	ReplicationFactor int `mapstructure:"replication_factor"`
	// MinInsyncReplicas is how many replicas must have a record before Kafka acknowledges it, in all three topics; -1 is 2
	// where there are three replicas or more, and else what the brokers say. Without it "all in-sync replicas" may be one.
	MinInsyncReplicas int `mapstructure:"min_insync_replicas"`
	// Retention is how long dropped traces can be brought back; at least a minute.
	Retention time.Duration `mapstructure:"retention"`
	// MaxRecordBytes bounds one record (64 KiB to 96 MiB), and is the topic's max.message.bytes.
	MaxRecordBytes int `mapstructure:"max_record_bytes"`
	// AllowCreateTime accepts a topic with message.timestamp.type=CreateTime, for topics that others write too. Log
	// time is then whatever the producers say.
	AllowCreateTime bool `mapstructure:"allow_create_time"`
	// Misplaced says what becomes of spans that are not in the partition of their trace: DecideMisplaced or MoveMisplaced.
	Misplaced string `mapstructure:"misplaced"`
}

// What becomes of spans that a producer with another hash has put into a partition where their trace does not belong.
const (
	DecideMisplaced = "decide" // where they are, apart from the rest of their trace
	MoveMisplaced   = "move"   // they are written to the partition of their trace
)

// CheckpointsConfig is about the compacted topic of checkpoints.
type CheckpointsConfig struct {
	Topic string `mapstructure:"topic"`
}

// RejectedConfig is about the topic of undecodable and refused data.
type RejectedConfig struct {
	Topic string `mapstructure:"topic"`
}

// SASLConfig names the account.
type SASLConfig struct {
	// Mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
	Mechanism string              `mapstructure:"mechanism"`
	Username  string              `mapstructure:"username"`
	Password  configopaque.String `mapstructure:"password"`
}

// ProducerConfig tunes the writing of spans. The defaults suit nearly everyone.
type ProducerConfig struct {
	// Linger is how long a small request waits for company.
	Linger time.Duration `mapstructure:"linger"`
	// RecordBytes is the size at which a record is sent without waiting longer.
	RecordBytes int `mapstructure:"record_bytes"`
	// BufferBytes bounds the spans that wait for Kafka's acknowledgement; requests beyond it wait.
	BufferBytes int `mapstructure:"buffer_bytes"`
	// DeliveryTimeout is after what time an unacknowledged request is reported as retryable.
	DeliveryTimeout time.Duration `mapstructure:"delivery_timeout"`
}

// ReaderConfig tunes the reading of spans. The defaults suit nearly everyone.
type ReaderConfig struct {
	// BufferBytes bounds what is read but not yet taken, over all partitions that are being drained. Partitions that are
	// not drained keep at most as much again.
	BufferBytes int `mapstructure:"buffer_bytes"`
	// FetchBytes bounds one answer of a broker before decompression, PartitionBytes one partition's part of it. A
	// larger record is still read.
	FetchBytes     int `mapstructure:"fetch_bytes"`
	PartitionBytes int `mapstructure:"partition_bytes"`
	// MaxWait is how long a broker holds a fetch when there is nothing to read. A new partition can wait as long.
	MaxWait time.Duration `mapstructure:"max_wait"`
}

// DefaultConfig is the configuration of an empty kafka section. Brokers has no default.
func DefaultConfig() Config {
	return Config{
		ClientID:    "thresher",
		Group:       "thresher",
		Compression: "zstd",
		Spans: SpansConfig{
			Topic:             "thresher.spans",
			Partitions:        64,
			ReplicationFactor: -1,
			MinInsyncReplicas: -1,
			Retention:         24 * time.Hour,
			MaxRecordBytes:    16 << 20,
			Misplaced:         DecideMisplaced,
		},
		Checkpoints: CheckpointsConfig{Topic: "thresher.checkpoints"},
		Rejected:    RejectedConfig{Topic: "thresher.rejected"},
		Producer: ProducerConfig{
			Linger:          5 * time.Millisecond,
			RecordBytes:     256 << 10,
			BufferBytes:     128 << 20,
			DeliveryTimeout: 10 * time.Second,
		},
		Reader: ReaderConfig{
			BufferBytes:    64 << 20,
			FetchBytes:     8 << 20,
			PartitionBytes: 256 << 10,
			MaxWait:        300 * time.Millisecond,
		},
		DialTimeout:    5 * time.Second,
		RequestTimeout: 10 * time.Second,
		TickInterval:   time.Second,
	}
}

// largestRecord leaves room in a request for what is around its only record: brokers take requests of 100 MiB
// (socket.request.max.bytes), and franz-go writes none that are larger.
const largestRecord = 96 << 20

// longestClientID is what franz-go takes.
const longestClientID = 256

var (
	compressions = []string{"zstd", "lz4", "snappy", "gzip", "none"}
	mechanisms   = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
)

// Validate reports every mistake at once, each with the key it is about.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	between := func(key string, v, lo, hi int) {
		if v < lo || v > hi {
			bad("%s: %d is out of bounds; it must be %d to %d", key, v, lo, hi)
		}
	}
	lasting := func(key string, v, lo, hi time.Duration) {
		if v < lo || v > hi {
			bad("%s: %v is out of bounds; it must be %v to %v", key, v, lo, hi)
		}
	}

	if len(c.Brokers) == 0 {
		bad("brokers: at least one is needed, for example [kafka:9092]")
	}
	for i, b := range c.Brokers {
		if err := checkBroker(b); err != nil {
			bad("brokers[%d]: %w", i, err)
		}
	}
	if len(c.ClientID) > longestClientID {
		bad("client_id: has %d bytes; it must be at most %d", len(c.ClientID), longestClientID)
	}
	if c.Group == "" {
		bad("group: it must not be empty; the default is thresher")
	}
	if !slices.Contains(compressions, c.Compression) {
		bad("compression: %q is not known; use one of %s", c.Compression, strings.Join(compressions, ", "))
	}

	topics := []struct{ key, name string }{
		{"spans.topic", c.Spans.Topic}, {"checkpoints.topic", c.Checkpoints.Topic}, {"rejected.topic", c.Rejected.Topic},
	}
	for i, t := range topics {
		if err := checkTopic(t.name); err != nil {
			bad("%s: %w", t.key, err)
			continue
		}
		for _, other := range topics[:i] {
			if t.name == other.name {
				bad("%s: %q is also %s; each needs a topic of its own", t.key, t.name, other.key)
			}
		}
	}
	between("spans.partitions", c.Spans.Partitions, 1, 10000)
	if c.Spans.ReplicationFactor != -1 {
		between("spans.replication_factor", c.Spans.ReplicationFactor, 1, 32)
	}
	switch least, replicas := c.Spans.MinInsyncReplicas, c.Spans.ReplicationFactor; {
	case least == -1:
	case replicas > 0 && least > replicas:
		bad("spans.min_insync_replicas: %d is more than replication_factor (%d), so Kafka would refuse every write; write at most %d, "+
			"and less than replication_factor to go on while a broker is down", least, replicas, replicas)
	default:
		between("spans.min_insync_replicas", least, 1, 32)
	}
	lasting("spans.retention", c.Spans.Retention, time.Minute, 10*365*24*time.Hour)
	if m := c.Spans.Misplaced; m != DecideMisplaced && m != MoveMisplaced {
		bad("spans.misplaced: %q is not known; use one of %s, %s", m, DecideMisplaced, MoveMisplaced)
	}
	if c.Spans.MaxRecordBytes > largestRecord {
		bad("spans.max_record_bytes: %d is out of bounds; it must be %d to %d, since brokers take requests of at most 100 MiB "+
			"(socket.request.max.bytes)", c.Spans.MaxRecordBytes, 64<<10, largestRecord)
	} else {
		between("spans.max_record_bytes", c.Spans.MaxRecordBytes, 64<<10, largestRecord)
	}

	if c.TLS != nil {
		if err := c.TLS.Validate(); err != nil {
			bad("tls: %w", err)
		}
	}
	if s := c.SASL; s != nil {
		if !slices.Contains(mechanisms, s.Mechanism) {
			bad("sasl.mechanism: %q is not known; use one of %s", s.Mechanism, strings.Join(mechanisms, ", "))
		}
		if s.Username == "" {
			bad("sasl.username: it must not be empty")
		}
		if s.Password == "" {
			bad("sasl.password: it must not be empty")
		}
	}

	lasting("producer.linger", c.Producer.Linger, 0, time.Second)
	lasting("producer.delivery_timeout", c.Producer.DeliveryTimeout, time.Second, 10*time.Minute)
	between("producer.record_bytes", c.Producer.RecordBytes, 1<<10, max(1<<10, c.Spans.MaxRecordBytes-recordOverhead))
	between("producer.buffer_bytes", c.Producer.BufferBytes, 1<<20, 1<<36)

	between("reader.buffer_bytes", c.Reader.BufferBytes, 1<<20, 1<<36)
	between("reader.fetch_bytes", c.Reader.FetchBytes, 64<<10, 1<<30)
	between("reader.partition_bytes", c.Reader.PartitionBytes, 16<<10, max(16<<10, c.Reader.FetchBytes))
	lasting("reader.max_wait", c.Reader.MaxWait, 10*time.Millisecond, 30*time.Second)

	lasting("dial_timeout", c.DialTimeout, 100*time.Millisecond, time.Minute)
	lasting("request_timeout", c.RequestTimeout, 100*time.Millisecond, 5*time.Minute)
	lasting("tick_interval", c.TickInterval, 10*time.Millisecond, time.Minute)
	return errors.Join(errs...)
}

func checkBroker(b string) error {
	host, port, err := net.SplitHostPort(b)
	if err != nil || host == "" {
		return fmt.Errorf("%q is not host:port, for example kafka:9092", b)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no valid port; it must be 1 to 65535", b)
	}
	return nil
}

// checkTopic applies Kafka's own rule for topic names.
func checkTopic(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 249 {
		return fmt.Errorf("%q is not a topic name; it must be 1 to 249 characters, neither \".\" nor \"..\" alone", name)
	}
	for _, r := range name {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
		if !ok {
			return fmt.Errorf("%q is not a topic name; letters, digits, '.', '_' and '-' are allowed, not %q", name, r)
		}
	}
	return nil
}
