package export

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configcompression"
	"go.yaml.in/yaml/v3"
)

// section decodes YAML as the configuration loader does.
func section(t testing.TB, text string) (m map[string]any) {
	t.Helper()
	require.NoError(t, yaml.Unmarshal([]byte(text), &m))
	return m
}

func TestParseConfigAsPastedFromACollector(t *testing.T) {
	cfg, err := ParseConfig(section(t, `
otlp/tempo:
  endpoint: tempo.example.com:4317
  compression: zstd
  timeout: 12s
  headers: {X-Scope-OrgID: shop}
  tls: {insecure_skip_verify: true}
  keepalive: {time: 20s}
  retry_on_failure: {enabled: false, initial_interval: 1s, max_interval: 5s, max_elapsed_time: 300s}
  sending_queue: {enabled: true, num_consumers: 10}
otlp_http:
  endpoint: https://otlp.example.com
  encoding: json
  compression: none
  max_in_flight: 3
  max_idle_conns: 7
kafka/kept:
  brokers: [a:9092, b:9092]
  topic: kept
  partition_traces_by_id: true
  sasl: {mechanism: SCRAM-SHA-512, username: u, password: p}
  tls: {}
file: {path: /tmp/a.jsonl, fsync: false, rotation: {max_megabytes: 10}}
debug:
`))
	require.NoError(t, err)
	require.Equal(t, []string{"debug", "file", "kafka/kept", "otlp/tempo", "otlp_http"}, cfg.IDs())

	tempo := cfg.Exporters["otlp/tempo"].(*GRPCConfig)
	require.Equal(t, "tempo.example.com:4317", tempo.Client.Endpoint)
	require.Equal(t, configcompression.TypeZstd, tempo.Client.Compression)
	require.Equal(t, 12*time.Second, tempo.Timeout)
	require.Equal(t, "round_robin", tempo.Client.BalancerName)
	require.Equal(t, time.Second, tempo.Retry.InitialInterval)
	require.Equal(t, defaultBatching(), tempo.Batching)
	require.True(t, tempo.Client.TLS.InsecureSkipVerify)

	web := cfg.Exporters["otlp_http"].(*HTTPConfig)
	require.Equal(t, 30*time.Second, web.Client.Timeout)
	require.Equal(t, 3, web.Batching.MaxInFlight)
	require.Equal(t, 7, web.Client.Keepalive.Get().MaxIdleConns, "the Collector moves the deprecated key")

	queue := cfg.Exporters["kafka/kept"].(*KafkaConfig)
	require.NotNil(t, queue.TLS)
	require.Equal(t, "SCRAM-SHA-512", queue.SASL.Mechanism)
	require.EqualValues(t, "p", queue.SASL.Password)

	warnings := cfg.Warnings.Error()
	require.Contains(t, warnings, "exporters::otlp/tempo::sending_queue: not needed here and ignored: the log is the queue")
	require.Contains(t, warnings, "exporters::otlp/tempo::retry_on_failure::enabled: false is ignored")
	require.Contains(t, warnings, "exporters::otlp/tempo::retry_on_failure::max_elapsed_time: 5m0s is ignored")
	require.Len(t, cfg.Warnings, 4)
}

func TestParseConfigTellsAllMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"unknown type": {"otlp_grcp/a: {endpoint: a:1}", []string{
			`exporters::otlp_grcp/a: unknown exporter type "otlp_grcp"; known are debug, file, kafka, otlp, otlp_grpc, otlp_http, otlphttp; did you mean "otlp_grpc"?`}},
		"unlike any type": {"jaeger: {}", []string{`exporters::jaeger: unknown exporter type "jaeger"; known are debug, file, kafka, otlp, otlp_grpc, otlp_http, otlphttp`}},
		"empty name":      {"debug/: {}", []string{`exporters::debug/: nothing after the slash; write "debug" or "debug/name"`}},
		"not settings":    {"debug: basic", []string{"exporters::debug: want settings (key: value), not basic"}},
		"unknown settings": {"otlp_grpc: {endpoint: a:1, comprssion: gzip, tls: {insecur: true}}", []string{
			`exporters::otlp_grpc::comprssion: unknown setting; did you mean "compression"?`,
			`exporters::otlp_grpc::tls::insecur: unknown setting; did you mean "insecure"?`}},
		"unknown http setting": {"otlp_http: {endpoint: 'http://a:1', endpont: x, tls: {insecur: true}, keepalive: {max_idle_con: 1, enabled: true}}", []string{
			`exporters::otlp_http::endpont: unknown setting; did you mean "endpoint"?`,
			`exporters::otlp_http::tls::insecur: unknown setting; did you mean "insecure"?`,
			`exporters::otlp_http::keepalive::max_idle_con: unknown setting; did you mean "max_idle_conns"?`}},
		"no endpoint":     {"otlp_grpc: {tls: {insecure: true}}", []string{"exporters::otlp_grpc::endpoint: missing; write the backend's host:port, e.g. endpoint: tempo:4317"}},
		"no port":         {"otlp_grpc: {endpoint: tempo}", []string{"exporters::otlp_grpc: address tempo: missing port in address"}},
		"not a URL":       {"otlp_http: {endpoint: 'tempo:4318'}", []string{`exporters::otlp_http::endpoint: is "tempo:4318", which has no scheme; write http://tempo:4318 for plain text, or https://tempo:4318 for TLS`}},
		"with path":       {"otlp_http: {endpoint: 'http://tempo:4318/v1/traces'}", []string{`and /v1/traces is put behind it; write endpoint: http://tempo:4318, or traces_endpoint: http://tempo:4318/v1/traces`}},
		"no broker":       {"kafka: {brokers: ['k:9092', k]}", []string{`exporters::kafka::brokers::1: "k" is not host:port; write such as kafka:9092`}},
		"bad duration":    {"otlp_grpc: {endpoint: a:1, timeout: 5 parsecs}", []string{"exporters::otlp_grpc::timeout: time: unknown unit"}},
		"bad compression": {"otlp_grpc: {endpoint: a:1, compression: rar}", []string{`unsupported compression type "rar"`}},
		"bad batching":    {"debug: {max_batch_bytes: 1, max_in_flight: 0}", []string{"max_batch_bytes is 1, want at least 1024", "max_in_flight is 0, want 1 to 1024"}},
		"bad verbosity":   {"debug: {verbosity: loud}", []string{`exporters::debug::verbosity: is "loud", want basic, normal or detailed`}},
		"bad encoding":    {"kafka: {encoding: jaeger_proto}", []string{`exporters::kafka::encoding: is "jaeger_proto", want otlp_proto`}},
		"bad kafka": {"kafka: {brokers: [], topic: '', compression: zst, max_message_bytes: 1, timeout: 1ms, sasl: {mechanism: PLAN}}", []string{
			"brokers: empty", "topic: empty", `did you mean "zstd"?`, "max_message_bytes: is 1", "timeout: is 1ms", `sasl::mechanism: is "PLAN"`, "sasl::username: missing"}},
		"bad file":  {"file: {format: proto, rotation: {max_days: -1}}", []string{"file::path: missing", `file::format: is "proto", want json`, "rotation: has a negative number"}},
		"bad retry": {"file: {path: a, retry_on_failure: {randomization_factor: 3}}", []string{"randomization_factor value must be"}},
		"bad web":   {"otlp_http: {encoding: xml, timeout: -1s}", []string{"encoding: is \"xml\"", "endpoint: missing", "timeout: is -1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig(section(t, test.text))
			require.Error(t, err)
			require.IsType(t, Problems{}, err)
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			require.Len(t, err, len(test.want), err.Error())
		})
	}
}

func TestParseRoutes(t *testing.T) {
	cfg, err := ParseConfig(section(t, "{debug/a: {}, debug/b: {}, debug/c: {}}"))
	require.NoError(t, err)
	for name, test := range map[string]struct {
		text    string
		kept    []Route
		dropped []Route
		warns   int
	}{
		"absent":        {"", []Route{{"debug/a", true}, {"debug/b", true}, {"debug/c", true}}, nil, 0},
		"only dropped":  {"dropped: [debug/b]", []Route{{"debug/a", true}, {"debug/c", true}}, []Route{{"debug/b", false}}, 0},
		"said":          {"{kept: [debug/a, {exporter: debug/b, required: false}], dropped: [{exporter: debug/b, required: true}]}", []Route{{"debug/a", true}, {"debug/b", false}}, []Route{{"debug/b", true}}, 1},
		"no brackets":   {"kept: debug/c", []Route{{"debug/c", true}}, nil, 2},
		"to nobody":     {"kept: []", nil, nil, 3},
		"without value": {"kept:", nil, nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			routes, err := ParseRoutes(section(t, test.text), cfg)
			require.NoError(t, err)
			require.Equal(t, test.kept, routes.Kept)
			require.Equal(t, test.dropped, routes.Dropped)
			require.Len(t, routes.Warnings, test.warns)
		})
	}
	for text, want := range map[string]string{
		"kept: [debug/d]":          `routes::kept::0: no exporter "debug/d" under exporters; there are: debug/a, debug/b, debug/c; did you mean "debug/a"?`,
		"kep: [debug/a]":           `routes::kep: unknown route; known are kept, dropped; did you mean "kept"?`,
		"kept: [debug/a, debug/a]": `routes::kept::1: exporter "debug/a" is in this route twice`,
		"kept: 3":                  "routes::kept: want a list of exporters, not 3",
		"kept: [3]":                "routes::kept::0: want an exporter or",
		"kept: [{exporter: debug/a, require: x}]":  `routes::kept::0::require: unknown setting; known are exporter, required; did you mean "required"?`,
		"kept: [{exporter: debug/a, required: x}]": "routes::kept::0::required: has the wrong type: x",
	} {
		_, err := ParseRoutes(section(t, text), cfg)
		require.ErrorContains(t, err, want, text)
	}
	_, err = New(cfg, kept("debug/x"), Options{})
	require.ErrorContains(t, err, `no exporter "debug/x"`)
	_, err = New(cfg, kept("debug/a", "debug/a"), Options{})
	require.ErrorContains(t, err, "twice")
}

func TestBackOff(t *testing.T) {
	cfg := defaultRetry()
	require.Equal(t, 250*time.Millisecond, backOff(cfg, 0, 0))
	require.Equal(t, 500*time.Millisecond, backOff(cfg, 0, 0.5))
	require.Equal(t, 10*time.Second, backOff(cfg, 1_000_000, 0.5))
	cfg.InitialInterval, cfg.Multiplier = 0, 0
	require.Equal(t, shortestPause, backOff(cfg, 1000, 0.5))
	require.Equal(t, shortestPause, backOff(cfg, 0, 0))
}
