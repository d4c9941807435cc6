package receive

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"

	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
)

// Config is the block under `receivers: otlp:` (or `otlp/name:`). Its keys and defaults are those of the
// OpenTelemetry Collector's otlpreceiver, so that its YAML can be pasted; max_inflight_bytes is ours.
type Config struct {
	// Protocols says which of gRPC and HTTP are served. At least one has to be named.
	Protocols Protocols `mapstructure:"protocols"`

	// MaxInflightBytes bounds the memory of the requests of this receiver, over both protocols: bodies as they arrive, what is
	// made of them, until Kafka has acknowledged. Beyond it clients are told to come back: gRPC UNAVAILABLE with RetryInfo,
	// HTTP 503 with Retry-After. A request that alone needs more is refused for good. 0, the default: all that
	// node.memory_limit leaves for receiving. In YAML a number of bytes or a string such as 64MiB.
	MaxInflightBytes ByteSize `mapstructure:"max_inflight_bytes"`
}

// Protocols names the protocols to serve. A key that is absent is a protocol that is not served; a key without
// content is served with its defaults.
type Protocols struct {
	// GRPC is OTLP over gRPC; default endpoint localhost:4317.
	GRPC configoptional.Optional[configgrpc.ServerConfig] `mapstructure:"grpc"`

	// HTTP is OTLP over HTTP, protobuf and JSON; default endpoint localhost:4318.
	HTTP configoptional.Optional[HTTPConfig] `mapstructure:"http"`
}

// HTTPConfig is the Collector's HTTP server configuration with the paths of the signals.
type HTTPConfig struct {
	ServerConfig confighttp.ServerConfig `mapstructure:",squash"`

	// TracesURLPath is where traces are posted; default /v1/traces.
	TracesURLPath URLPath `mapstructure:"traces_url_path,omitempty"`

	// MetricsURLPath and LogsURLPath are accepted as in the Collector. What is posted there is answered with 404
	// and a message that says what to turn off.
	MetricsURLPath URLPath `mapstructure:"metrics_url_path,omitempty"`
	LogsURLPath    URLPath `mapstructure:"logs_url_path,omitempty"`
}

// DefaultConfig returns the configuration that YAML is decoded over: both protocols off until named, with the
// Collector's defaults once they are.
func DefaultConfig() Config {
	grpc := configgrpc.NewDefaultServerConfig()
	grpc.NetAddr = confignet.NewDefaultAddrConfig()
	grpc.NetAddr.Transport = confignet.TransportTypeTCP
	grpc.NetAddr.Endpoint = "localhost:4317"
	// The Collector's otlpreceiver reads through 512 KiB, which every idle connection holds.
	grpc.ReadBufferSize = 32 << 10
	// A stream costs a few kilobytes even if nothing is sent on it. No client has as many exports under way.
	grpc.MaxConcurrentStreams = 128

	// A request is answered when Kafka has answered, so the Collector's otlpreceiver sets no write timeout, and
	// neither do we. The header timeout stays: it costs a slow sender of headers its connection and nobody else.
	http := confighttp.NewDefaultServerConfig()
	http.NetAddr.Endpoint = "localhost:4318"
	http.WriteTimeout = 0

	return Config{
		Protocols: Protocols{
			GRPC: configoptional.Default(grpc),
			HTTP: configoptional.Default(HTTPConfig{
				ServerConfig:   http,
				TracesURLPath:  "/v1/traces",
				MetricsURLPath: "/v1/metrics",
				LogsURLPath:    "/v1/logs",
			}),
		},
	}
}

var _ confmap.Validator = (*Config)(nil)

// Validate reports every mistake in the block itself. What the nested Collector types check themselves is found by
// confmap.Validate, which calls this method too.
func (c *Config) Validate() error {
	var errs []error
	if !c.Protocols.GRPC.HasValue() && !c.Protocols.HTTP.HasValue() {
		errs = append(errs, errors.New("protocols: name at least one of grpc and http, for example `protocols: {grpc: {}, http: {}}`"))
	}
	if c.MaxInflightBytes < 0 {
		errs = append(errs, fmt.Errorf("max_inflight_bytes: %d is negative; leave the key out for all that node.memory_limit leaves for receiving",
			int64(c.MaxInflightBytes)))
	}
	if grpc := c.Protocols.GRPC.Get(); grpc != nil {
		if grpc.NetAddr.Endpoint == "" {
			errs = append(errs, errors.New("protocols.grpc.endpoint: is empty; write host:port, for example 0.0.0.0:4317"))
		}
		errs = append(errs, extensionProblems("protocols.grpc", grpc.Auth.HasValue(), len(grpc.Middlewares) > 0)...)
	}
	if http := c.Protocols.HTTP.Get(); http != nil {
		errs = append(errs, http.problems()...)
	}
	return errors.Join(errs...)
}

func (c *HTTPConfig) problems() []error {
	var errs []error
	if c.ServerConfig.NetAddr.Endpoint == "" {
		errs = append(errs, errors.New("protocols.http.endpoint: is empty; write host:port, for example 0.0.0.0:4318"))
	}
	if c.ServerConfig.MaxRequestBodySize < 0 {
		errs = append(errs, fmt.Errorf("protocols.http.max_request_body_size: %d is negative; leave the key out for 20 MiB",
			c.ServerConfig.MaxRequestBodySize))
	}
	errs = append(errs, extensionProblems("protocols.http", c.ServerConfig.Auth.HasValue(), len(c.ServerConfig.Middlewares) > 0)...)
	for _, name := range c.ServerConfig.CompressionAlgorithms {
		// confighttp takes any name, and panics on a request that uses one it does not know.
		if !slices.Contains(decompressions, name) {
			errs = append(errs, fmt.Errorf("protocols.http.compression_algorithms: %q is not known; choose from %q", name, decompressions))
		}
	}
	seen := map[URLPath]string{}
	for _, p := range []struct {
		key  string
		path URLPath
	}{{"traces_url_path", c.TracesURLPath}, {"metrics_url_path", c.MetricsURLPath}, {"logs_url_path", c.LogsURLPath}} {
		if p.path == "" {
			errs = append(errs, fmt.Errorf("protocols.http.%s: is empty; leave the key out for the default", p.key))
			continue
		}
		if other, taken := seen[p.path]; taken {
			errs = append(errs, fmt.Errorf("protocols.http.%s: %q is already the value of %s; every signal needs its own path",
				p.key, string(p.path), other))
		}
		seen[p.path] = p.key
	}
	return errs
}

// extensionProblems refuses what the Collector does through extensions, which Thresher does not have.
func extensionProblems(protocol string, auth, middlewares bool) []error {
	var errs []error
	if auth {
		errs = append(errs, fmt.Errorf("%s.auth: authenticators are extensions of the Collector, and Thresher has none; "+
			"use tls with client_ca_file (mutual TLS), or put an authenticating proxy in front", protocol))
	}
	if middlewares {
		errs = append(errs, fmt.Errorf("%s.middlewares: middlewares are extensions of the Collector, and Thresher has none; "+
			"remove the key", protocol))
	}
	return errs
}

// URLPath is the path of a URL: clean, with a leading slash.
type URLPath string

// UnmarshalText takes the path of a URL or a bare path, with or without the leading slash.
func (p *URLPath) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil {
		return fmt.Errorf("%q is not the path of a URL: %w", text, err)
	}
	clean := u.Path
	if clean != "" && clean[0] != '/' {
		clean = "/" + clean
	}
	if clean != "" {
		clean = path.Clean(clean)
	}
	*p = URLPath(clean)
	return nil
}
