package receive

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"
)

// decode reads the YAML of one receiver block as the node's configuration does.
func decode(t *testing.T, text string) (Config, error) {
	t.Helper()
	var raw map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &raw))
	cfg := DefaultConfig()
	if err := confmap.NewFromStringMap(raw).Unmarshal(&cfg); err != nil {
		return cfg, err
	}
	return cfg, confmap.Validate(&cfg)
}

func TestConfigEmptyProtocolsGetTheCollectorsDefaults(t *testing.T) {
	for _, text := range []string{"protocols:\n  grpc:\n  http:\n", "protocols: {grpc: {}, http: {}}"} {
		cfg, err := decode(t, text)
		require.NoError(t, err)
		require.Equal(t, "localhost:4317", cfg.Protocols.GRPC.Get().NetAddr.Endpoint)
		require.Equal(t, "localhost:4318", cfg.Protocols.HTTP.Get().ServerConfig.NetAddr.Endpoint)
		require.Equal(t, URLPath("/v1/traces"), cfg.Protocols.HTTP.Get().TracesURLPath)
		require.True(t, cfg.Protocols.HTTP.Get().ServerConfig.Keepalive.HasValue())
		require.Zero(t, cfg.MaxInflightBytes)
	}
}

func TestConfigAbsentProtocolIsNotServed(t *testing.T) {
	cfg, err := decode(t, "protocols: {http: {}}")
	require.NoError(t, err)
	require.False(t, cfg.Protocols.GRPC.HasValue())
	require.True(t, cfg.Protocols.HTTP.HasValue())

	cfg, err = decode(t, "protocols: {grpc: {}, http: {enabled: false}}")
	require.NoError(t, err)
	require.True(t, cfg.Protocols.GRPC.HasValue())
	require.False(t, cfg.Protocols.HTTP.HasValue())
}

func TestConfigTakesTheCollectorsYAML(t *testing.T) {
	cfg, err := decode(t, `
protocols:
  grpc:
    endpoint: 0.0.0.0:14317
    max_recv_msg_size_mib: 32
    max_concurrent_streams: 64
    read_buffer_size: 1024
    include_metadata: true
    keepalive: {server_parameters: {max_connection_age: 60s}, enforcement_policy: {min_time: 10s, permit_without_stream: true}}
    tls: {cert_file: a.pem, key_file: b.pem, client_ca_file: ca.pem, min_version: "1.3"}
  http:
    endpoint: 0.0.0.0:14318
    traces_url_path: custom/traces
    max_request_body_size: 1048576
    compression_algorithms: ["", gzip]
    cors: {allowed_origins: ["https://*.example.com"], allowed_headers: [X-Token], max_age: 7200}
max_inflight_bytes: 64MiB
`)
	require.NoError(t, err)
	grpc := cfg.Protocols.GRPC.Get()
	require.Equal(t, 32, grpc.MaxRecvMsgSizeMiB)
	require.Equal(t, "ca.pem", grpc.TLS.Get().ClientCAFile)
	require.Equal(t, "1m0s", grpc.Keepalive.Get().ServerParameters.Get().MaxConnectionAge.String())
	http := cfg.Protocols.HTTP.Get()
	require.Equal(t, URLPath("/custom/traces"), http.TracesURLPath)
	require.EqualValues(t, 1<<20, http.ServerConfig.MaxRequestBodySize)
	require.Equal(t, []string{"https://*.example.com"}, http.ServerConfig.CORS.Get().AllowedOrigins)
	require.EqualValues(t, 64<<20, cfg.MaxInflightBytes)
}

func TestConfigMistakes(t *testing.T) {
	for _, tc := range []struct{ name, yaml, want string }{
		{"nothing to serve", "protocols: {}", "name at least one of grpc and http"},
		{"unknown protocol", "protocols: {grcp: {}}", "grcp"},
		{"unknown key", "protocols: {grpc: {endpiont: a:1}}", "endpiont"},
		{"unknown own key", "protocols: {grpc: {}}\nmax_in_flight: 3", "max_in_flight"},
		{"bound is negative", "protocols: {grpc: {}}\nmax_inflight_bytes: -1", "-1 is negative; leave the key out for all that node.memory_limit leaves"},
		{"bound is a word", "protocols: {grpc: {}}\nmax_inflight_bytes: lots", `"lots" is not a number of bytes`},
		{"bound overflows", "protocols: {grpc: {}}\nmax_inflight_bytes: 99999999TiB", "is not a number of bytes"},
		{"empty endpoint", `protocols: {grpc: {endpoint: ""}}`, "protocols.grpc.endpoint: is empty"},
		{"negative body", "protocols: {http: {max_request_body_size: -1}}", "max_request_body_size: -1 is negative"},
		{"paths collide", "protocols: {http: {traces_url_path: /v1/logs}}", `"/v1/logs" is already the value of traces_url_path`},
		{"empty path", `protocols: {http: {traces_url_path: ""}}`, "traces_url_path: is empty"},
		{"bad path", `protocols: {http: {traces_url_path: "::"}}`, "is not the path of a URL"},
		{"bad transport", "protocols: {grpc: {transport: pigeon}}", "pigeon"},
		{"client CA without a certificate", "protocols: {grpc: {tls: {cert_file: a.pem}}}", "key"},
		{"gRPC authenticator", "protocols: {grpc: {auth: {authenticator: oidc}}}", "protocols.grpc.auth: authenticators are extensions"},
		{"HTTP authenticator", "protocols: {http: {auth: {authenticator: oidc}}}", "protocols.http.auth: authenticators are extensions"},
		{"middleware", "protocols: {http: {middlewares: [{id: limiter}]}}", "protocols.http.middlewares: middlewares are extensions"},
		{"unknown compression", "protocols: {http: {compression_algorithms: [brotli]}}", `"brotli" is not known`},
		{"negative buffer", "protocols: {grpc: {read_buffer_size: -1}}", "read_buffer_size"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := decode(t, tc.yaml)
			require.Error(t, err)
			require.Contains(t, err.Error(), tc.want)
		})
	}
}

func TestConfigReportsAllMistakesAtOnce(t *testing.T) {
	_, err := decode(t, "protocols: {grpc: {endpoint: \"\"}, http: {endpoint: \"\"}}\nmax_inflight_bytes: -5")
	require.Error(t, err)
	for _, want := range []string{"grpc.endpoint", "http.endpoint", "max_inflight_bytes"} {
		require.Contains(t, err.Error(), want)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{"0": 0, "17": 17, "17B": 17, "64MiB": 64 << 20, "1 GiB": 1 << 30, "2kB": 2000, "-1": -1} {
		var b ByteSize
		require.NoError(t, b.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, b)
	}
	for _, text := range []string{"", "B", "1.5GiB", "5 apples", strings.Repeat("9", 30)} {
		var b ByteSize
		require.Error(t, b.UnmarshalText([]byte(text)), text)
	}
	require.Equal(t, "256MiB", ByteSize(256<<20).String())
	require.Equal(t, "1500B", ByteSize(1500).String())
	require.Equal(t, "0B", ByteSize(0).String())
}
