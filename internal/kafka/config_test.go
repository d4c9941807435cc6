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

// What Validate accepts can be run: franz-go has bounds of its own, and refuses a client that is beyond one of them.
func TestWhatIsAcceptedCanBeRun(t *testing.T) {
	lasting := func(least, most time.Duration, set func(*Config, time.Duration)) [2]func(*Config) {
		return [2]func(*Config){func(c *Config) { set(c, least) }, func(c *Config) { set(c, most) }}
	}
	bytes := func(least, most int, set func(*Config, int)) [2]func(*Config) {
		return [2]func(*Config){func(c *Config) { set(c, least) }, func(c *Config) { set(c, most) }}
	}
	for name, ends := range map[string][2]func(*Config){
		"spans.max_record_bytes": bytes(64<<10, 96<<20, func(c *Config, v int) {
			c.Spans.MaxRecordBytes, c.Producer.RecordBytes = v, v-recordOverhead
		}),
		"producer.buffer_bytes":     bytes(1<<20, 1<<36, func(c *Config, v int) { c.Producer.BufferBytes = v }),
		"reader.buffer_bytes":       bytes(1<<20, 1<<36, func(c *Config, v int) { c.Reader.BufferBytes = v }),
		"reader.fetch_bytes":        bytes(64<<10, 1<<30, func(c *Config, v int) { c.Reader.FetchBytes, c.Reader.PartitionBytes = v, v }),
		"client_id":                 bytes(0, 256, func(c *Config, v int) { c.ClientID = strings.Repeat("x", v) }),
		"producer.linger":           lasting(0, time.Second, func(c *Config, v time.Duration) { c.Producer.Linger = v }),
		"producer.delivery_timeout": lasting(time.Second, 10*time.Minute, func(c *Config, v time.Duration) { c.Producer.DeliveryTimeout = v }),
		"reader.max_wait":           lasting(10*time.Millisecond, 30*time.Second, func(c *Config, v time.Duration) { c.Reader.MaxWait = v }),
		"dial_timeout":              lasting(100*time.Millisecond, time.Minute, func(c *Config, v time.Duration) { c.DialTimeout = v }),
		"request_timeout":           lasting(100*time.Millisecond, 5*time.Minute, func(c *Config, v time.Duration) { c.RequestTimeout = v }),
	} {
		for i, end := range ends {
			t.Run(name+[]string{"/least", "/most"}[i], func(t *testing.T) {
				cfg := DefaultConfig()
				cfg.Brokers = []string{"127.0.0.1:1"}
				end(&cfg)
				require.NoError(t, cfg.Validate())
				log, _ := logger()
				c, err := New(cfg, log)
				require.NoError(t, err)
				defer c.Close()
				p, err := c.NewProducer()
				require.NoError(t, err)
				p.Close()
				r, err := c.NewReader()
				require.NoError(t, err)
				r.kc.Close()
			})
		}
	}
	for name, change := range map[string]func(*Config){
		"spans.max_record_bytes: 268435456 is out of bounds": func(c *Config) { c.Spans.MaxRecordBytes = 256 << 20 },
		"client_id: has 257 bytes":                           func(c *Config) { c.ClientID = strings.Repeat("x", 257) },
		"spans.min_insync_replicas: 3 is more than replication_factor (2)": func(c *Config) {
			c.Spans.MinInsyncReplicas, c.Spans.ReplicationFactor = 3, 2
		},
		"spans.min_insync_replicas: 0 is out of bounds": func(c *Config) { c.Spans.MinInsyncReplicas = 0 },
	} {
		cfg := DefaultConfig()
		cfg.Brokers = []string{"127.0.0.1:1"}
		change(&cfg)
		require.ErrorContains(t, cfg.Validate(), name)
	}
}
