package export

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configretry"

	"thresher/internal/suggest"
)

// kind is an exporter type as the configuration sees it.
type kind struct {
	defaults func() any
	check    func(path []string, cfg any) Problems // beyond what the Collector's own Validate methods check
	ignored  map[string]string                     // Collector settings that have no place here, and why
}

const (
	queueNotNeeded = "not needed here and ignored: the log is the queue, and a trace that was not delivered is read again " +
		"from it; see max_batch_bytes, batch_timeout and max_in_flight for batching and concurrency"
	batcherNotNeeded = "ignored: use max_batch_bytes, max_batch_traces and batch_timeout"
)

var kinds = map[string]kind{
	"otlp_grpc": grpcKind,
	"otlp":      grpcKind,
	"otlp_http": httpKind,
	"otlphttp":  httpKind,
	"kafka":     kafkaKind,
	"file":      fileKind,
	"debug":     debugKind,
}

// tracesPath is put behind the endpoint of otlp_http, as in the Collector.
const tracesPath = "/v1/traces"

var grpcKind = kind{
	defaults: func() any {
		cfg := &GRPCConfig{
			Client:    configgrpc.NewDefaultClientConfig(),
			Timeout:   5 * time.Second,
			OnRefusal: "hold",
			Retry:     defaultRetry(),
			Batching:  defaultBatching(),
		}
		cfg.Client.Compression = configcompression.TypeGzip
		cfg.Client.WriteBufferSize = 512 * 1024
		return cfg
	},
	check: func(path []string, cfg any) Problems {
		c := cfg.(*GRPCConfig)
		problems := append(checkTimeout(path, c.Timeout), checkRefusal(path, c.OnRefusal)...)
		if strings.TrimSpace(c.Client.Endpoint) == "" {
			problems = append(problems, Problem{append(slices.Clone(path), "endpoint"),
				"missing; write the backend's host:port, e.g. endpoint: tempo:4317"})
		}
		return problems
	},
	ignored: map[string]string{"sending_queue": queueNotNeeded, "batcher": batcherNotNeeded},
}

var httpKind = kind{
	defaults: func() any {
		cfg := &HTTPConfig{
			Client:    confighttp.NewDefaultClientConfig(),
			Encoding:  "proto",
			OnRefusal: "hold",
			Retry:     defaultRetry(),
			Batching:  defaultBatching(),
		}
		cfg.Client.Timeout = 30 * time.Second
		cfg.Client.Compression = configcompression.TypeGzip
		cfg.Client.WriteBufferSize = 512 * 1024
		return cfg
	},
	check: func(path []string, cfg any) Problems {
		c := cfg.(*HTTPConfig)
		problems := append(checkTimeout(path, c.Client.Timeout), checkRefusal(path, c.OnRefusal)...)
		if c.Encoding != "proto" && c.Encoding != "json" {
			problems = append(problems, Problem{append(slices.Clone(path), "encoding"),
				fmt.Sprintf("is %q, want proto or json", c.Encoding)})
		}
		key, endpoint := "endpoint", c.Client.Endpoint
		if c.TracesEndpoint != "" {
			key, endpoint = "traces_endpoint", c.TracesEndpoint
		}
		at := append(slices.Clone(path), key)
		switch u, err := url.Parse(endpoint); {
		case endpoint != "" && !strings.Contains(endpoint, "://"):
			problems = append(problems, Problem{at, fmt.Sprintf("is %q, which has no scheme; write http://%[1]s for plain text, or https://%[1]s for TLS", endpoint)})
		case endpoint == "":
			problems = append(problems, Problem{at, "missing; write the backend's URL, e.g. endpoint: https://otlp.example.com:4318"})
		case err != nil:
			problems = append(problems, Problem{at, "not a URL: " + err.Error()})
		case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
			problems = append(problems, Problem{at, fmt.Sprintf("is %q, want a URL that begins with http:// or https://", endpoint)})
		case key == "endpoint" && strings.HasSuffix(strings.TrimRight(u.Path, "/"), tracesPath):
			base := strings.TrimSuffix(strings.TrimRight(endpoint, "/"), tracesPath)
			problems = append(problems, Problem{at, fmt.Sprintf("is %q, and %s is put behind it; write endpoint: %s, or traces_endpoint: %[1]s",
				endpoint, tracesPath, base)})
		}
		return problems
	},
	ignored: map[string]string{"sending_queue": queueNotNeeded, "batcher": batcherNotNeeded,
		"metrics_endpoint": "ignored: only traces are sent", "logs_endpoint": "ignored: only traces are sent",
		"profiles_endpoint": "ignored: only traces are sent"},
}

var debugKind = kind{
	defaults: func() any { return &DebugConfig{Verbosity: "basic", Batching: defaultBatching()} },
	check: func(path []string, cfg any) Problems {
		if v := cfg.(*DebugConfig).Verbosity; v != "basic" && v != "normal" && v != "detailed" {
			return Problems{{append(slices.Clone(path), "verbosity"), fmt.Sprintf("is %q, want basic, normal or detailed", v)}}
		}
		return nil
	},
	ignored: map[string]string{
		"sampling_initial":    "ignored: every batch is shown",
		"sampling_thereafter": "ignored: every batch is shown",
		"use_internal_logger": "ignored: the text goes to standard error",
		"output_paths":        "ignored: the text goes to standard error",
		"sending_queue":       queueNotNeeded,
	},
}

func defaultBatching() Batching {
	return Batching{MaxBatchBytes: 2 << 20, MaxBatchTraces: 8192, BatchTimeout: 50 * time.Millisecond, MaxInFlight: 8}
}

// defaultRetry differs from the Collector's: a shorter first interval, because a trace's successors wait for it, and a
// shorter longest one, because a backend that comes back should be found soon. There is no end: giving up is losing.
func defaultRetry() configretry.BackOffConfig {
	cfg := configretry.NewDefaultBackOffConfig()
	cfg.InitialInterval = 500 * time.Millisecond
	cfg.MaxInterval = 10 * time.Second
	cfg.MaxElapsedTime = 0
	return cfg
}

func checkTimeout(path []string, d time.Duration) Problems {
	if d < 0 {
		return Problems{{append(slices.Clone(path), "timeout"), fmt.Sprintf("is %v, want a positive duration, or 0s for none", d)}}
	}
	return nil
}

// retryWarnings says which of the retry settings would lose data in the Collector and do not here.
func retryWarnings(path []string, settings map[string]any, r *configretry.BackOffConfig) Problems {
	if _, set := settings["retry_on_failure"]; !set {
		return nil
	}
	at := func(key string) []string { return append(slices.Clone(path), "retry_on_failure", key) }
	var warnings Problems
	if !r.Enabled {
		warnings = append(warnings, Problem{at("enabled"),
			"false is ignored: a trace that was not delivered is tried again for ever, because giving up would lose it"})
	}
	if r.MaxElapsedTime > 0 {
		warnings = append(warnings, Problem{at("max_elapsed_time"), fmt.Sprintf(
			"%v is ignored: a trace that was not delivered is tried again for ever, because giving up would lose it", r.MaxElapsedTime)})
	}
	return warnings
}

func retryOf(cfg any) *configretry.BackOffConfig {
	switch c := cfg.(type) {
	case *GRPCConfig:
		return &c.Retry
	case *HTTPConfig:
		return &c.Retry
	case *KafkaConfig:
		return &c.Retry
	case *FileConfig:
		return &c.Retry
	}
	return nil
}

// refusals are the values of on_refusal.
var refusals = []string{"hold", "reject"}

func checkRefusal(path []string, value string) Problems {
	if slices.Contains(refusals, value) {
		return nil
	}
	return Problems{{append(slices.Clone(path), "on_refusal"), fmt.Sprintf("is %q, want hold (keep traces while the backend "+
		"refuses everything) or reject (give refused traces to the rejected topic whatever else it refuses)%s", value, suggest.DidYouMean(value, refusals))}}
}

func onRefusal(cfg any) string {
	switch c := cfg.(type) {
	case *GRPCConfig:
		return c.OnRefusal
	case *HTTPConfig:
		return c.OnRefusal
	case *KafkaConfig:
		return c.OnRefusal
	}
	return ""
}

func batchingOf(cfg any) Batching {
	switch c := cfg.(type) {
	case *GRPCConfig:
		return c.Batching
	case *HTTPConfig:
		return c.Batching
	case *KafkaConfig:
		return c.Batching
	case *FileConfig:
		b := c.Batching
		b.MaxInFlight = 1 // lines must not mix
		return b
	case *DebugConfig:
		b := c.Batching
		b.MaxInFlight = 1
		return b
	}
	return defaultBatching()
}

func kindNames() []string {
	return slices.Sorted(maps.Keys(kinds))
}
