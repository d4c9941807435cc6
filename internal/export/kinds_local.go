package export

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"

	"thresher/internal/suggest"
)

// SASLConfig logs in to Kafka.
type SASLConfig struct {
	Mechanism string              `mapstructure:"mechanism"` // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Username  string              `mapstructure:"username"`
	Password  configopaque.String `mapstructure:"password"`
}

const inTheLog = "ignored: only traces are sent, one record a trace"

var kafkaKind = kind{
	defaults: func() any {
		return &KafkaConfig{
			Brokers:         []string{"localhost:9092"},
			Topic:           "otlp_spans",
			ClientID:        "thresher",
			Encoding:        "otlp_proto",
			Compression:     "zstd",
			MaxMessageBytes: 1_000_000,
			Timeout:         10 * time.Second,
			OnRefusal:       "hold",
			Retry:           defaultRetry(),
			Batching:        defaultBatching(),
		}
	},
	check: func(path []string, cfg any) (problems Problems) {
		c := cfg.(*KafkaConfig)
		wrong := func(key, format string, args ...any) {
			problems = append(problems, Problem{append(slices.Clone(path), strings.Split(key, "::")...), fmt.Sprintf(format, args...)})
		}
		if len(c.Brokers) == 0 {
			wrong("brokers", "empty; write at least one host:port")
		}
		for i, broker := range c.Brokers {
			host, port, err := net.SplitHostPort(broker)
			if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
				wrong(fmt.Sprintf("brokers::%d", i), "%q is not host:port; write such as kafka:9092", broker)
			}
		}
		if c.Topic == "" {
			wrong("topic", "empty; name the topic to write to")
		}
		if c.Encoding != "otlp_proto" {
			wrong("encoding", "is %q, want otlp_proto", c.Encoding)
		}
		if !slices.Contains(kafkaCompressions, c.Compression) {
			wrong("compression", "is %q, want one of %s%s", c.Compression, strings.Join(kafkaCompressions, ", "),
				suggest.DidYouMean(c.Compression, kafkaCompressions))
		}
		if c.MaxMessageBytes < 1024 || c.MaxMessageBytes > 100<<20 {
			wrong("max_message_bytes", "is %d, want 1024 to %d", c.MaxMessageBytes, 100<<20)
		}
		if c.Timeout < time.Second {
			wrong("timeout", "is %v, want at least 1s", c.Timeout)
		}
		problems = append(problems, checkRefusal(path, c.OnRefusal)...)
		if s := c.SASL; s != nil {
			if !slices.Contains(saslMechanisms, s.Mechanism) {
				wrong("sasl::mechanism", "is %q, want one of %s%s", s.Mechanism, strings.Join(saslMechanisms, ", "),
					suggest.DidYouMean(s.Mechanism, saslMechanisms))
			}
			if s.Username == "" {
				wrong("sasl::username", "missing")
			}
		}
		return problems
	},
	ignored: map[string]string{
		"sending_queue":          queueNotNeeded,
		"partition_traces_by_id": "always so here",
		"protocol_version":       "ignored: the version is negotiated with the broker",
		"metrics":                inTheLog,
		"logs":                   inTheLog,
		"profiles":               inTheLog,
		"include_metadata_keys":  "ignored: a trace has no request metadata any more when it is decided",
		"message_key":            "ignored: the key is the trace ID",
		"resolve_canonical_bootstrap_servers_only": "ignored",
	},
}

var (
	kafkaCompressions = []string{"none", "gzip", "snappy", "lz4", "zstd"}
	saslMechanisms    = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
)

var fileKind = kind{
	defaults: func() any {
		return &FileConfig{Format: "json", Fsync: true, Retry: defaultRetry(), Batching: defaultBatching()}
	},
	check: func(path []string, cfg any) (problems Problems) {
		c := cfg.(*FileConfig)
		wrong := func(key, format string, args ...any) {
			problems = append(problems, Problem{append(slices.Clone(path), strings.Split(key, "::")...), fmt.Sprintf(format, args...)})
		}
		if c.Path == "" {
			wrong("path", "missing; write the file to append to, e.g. path: /data/dropped.jsonl")
		}
		if c.Format != "json" {
			wrong("format", "is %q, want json", c.Format)
		}
		if r := c.Rotation; r != nil {
			if r.MaxMegabytes < 0 || r.MaxDays < 0 || r.MaxBackups < 0 {
				wrong("rotation", "has a negative number; 0 means the default (max_megabytes) or no limit")
			}
		}
		return problems
	},
	ignored: map[string]string{
		"append":         "ignored: always appends, because truncating at start would lose traces that were delivered",
		"flush_interval": "ignored: every batch is flushed before its traces count as delivered",
		"sending_queue":  queueNotNeeded,
	},
}
