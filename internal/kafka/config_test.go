package kafka

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
)

func TestDefaultConfigNeedsOnlyBrokers(t *testing.T) {
	cfg := DefaultConfig()
	require.ErrorContains(t, cfg.Validate(), "brokers: at least one is needed")
	cfg.Brokers = []string{"kafka:9092"}
	require.NoError(t, cfg.Validate())
}

func TestConfigFromYAML(t *testing.T) {
	cfg := DefaultConfig()
	err := confmap.NewFromStringMap(map[string]any{
		"brokers":       []any{"a:1", "b:2"},
		"compression":   "lz4",
		"spans":         map[string]any{"topic": "x", "partitions": 12, "retention": "90m", "max_record_bytes": 1 << 20},
		"sasl":          map[string]any{"mechanism": "PLAIN", "username": "u", "password": "p"},
		"tls":           map[string]any{},
		"tick_interval": "3s",
	}).Unmarshal(&cfg)
	require.NoError(t, err)
	require.NoError(t, cfg.Validate())
	require.Equal(t, []string{"a:1", "b:2"}, cfg.Brokers)
	require.Equal(t, 90*time.Minute, cfg.Spans.Retention)
	require.Equal(t, 12, cfg.Spans.Partitions)
	require.Equal(t, "p", string(cfg.SASL.Password))
	require.NotNil(t, cfg.TLS)
	require.Equal(t, "thresher.checkpoints", cfg.Checkpoints.Topic)
	require.Equal(t, 3*time.Second, cfg.TickInterval)

	err = confmap.NewFromStringMap(map[string]any{"partitons": 3}).Unmarshal(&cfg)
	require.ErrorContains(t, err, "partitons")
}

func TestValidateNamesEveryMistake(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Brokers = []string{"kafka", "kafka:0", "kafka:9092"}
	cfg.Group = ""
	cfg.Compression = "brotli"
	cfg.Spans.Topic = "a b"
	cfg.Spans.Partitions = 0
	cfg.Spans.ReplicationFactor = 0
	cfg.Spans.Retention = time.Second
	cfg.Spans.Misplaced = "mvoe"
	cfg.Checkpoints.Topic = cfg.Rejected.Topic
	cfg.TLS = &configtls.ClientConfig{Config: configtls.Config{CertFile: "only.pem"}}
	cfg.SASL = &SASLConfig{Mechanism: "GSSAPI"}
	cfg.Producer.DeliveryTimeout = 0
	cfg.Reader.PartitionBytes = cfg.Reader.FetchBytes + 1
	cfg.TickInterval = -1
	err := cfg.Validate()
	require.Error(t, err)
	for _, want := range []string{
		`brokers[0]: "kafka" is not host:port`, `brokers[1]: "kafka:0" has no valid port`, "group:",
		`compression: "brotli" is not known; use one of zstd`, `spans.topic: "a b"`, "spans.partitions: 0 is out of bounds",
		"spans.replication_factor: 0", "spans.retention: 1s", `spans.misplaced: "mvoe" is not known; use one of decide, move`,
		`rejected.topic: "thresher.rejected" is also checkpoints.topic`,
		"tls:", "sasl.mechanism:", "sasl.username:", "sasl.password:", "producer.delivery_timeout:", "reader.partition_bytes:",
		"tick_interval:",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Len(t, strings.Split(err.Error(), "\n"), 17)
}
