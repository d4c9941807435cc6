package export

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"

	"thresher/internal/suggest"
)

// Config is the `exporters` section: component IDs (`type` or `type/name`) and their settings.
type Config struct {
	// Exporters holds *GRPCConfig, *HTTPConfig, *KafkaConfig, *FileConfig or *DebugConfig by component ID.
	Exporters map[string]any

	// Warnings are settings that were accepted and have no effect, or not the effect they have in the Collector.
	Warnings Problems
}

// IDs returns the component IDs in alphabetical order.
func (c Config) IDs() []string {
	ids := make([]string, 0, len(c.Exporters))
	for id := range c.Exporters {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Problem is one mistake in the configuration and where it is.
type Problem struct {
	Path    []string // keys from the top of the file, e.g. exporters, otlp_grpc/tempo, endpoint
	Message string   // what is wrong and what to write instead
}

// Error joins the path as the Collector does: exporters::otlp_grpc/tempo::endpoint: message.
func (p Problem) Error() string { return strings.Join(p.Path, "::") + ": " + p.Message }

// Problems are all mistakes of a section at once.
type Problems []Problem

// Error lists the mistakes, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Batching says how traces travel together. The knobs are ours; the Collector has them in its sending queue.
type Batching struct {
	// MaxBatchBytes closes a batch, uncompressed. A larger trace goes alone. Default 2 MiB: below the 4 MiB that
	// gRPC servers accept unless told otherwise.
	MaxBatchBytes int `mapstructure:"max_batch_bytes"`

	// MaxBatchTraces closes a batch. Default 8192.
	MaxBatchTraces int `mapstructure:"max_batch_traces"`

	// BatchTimeout is how long a trace waits for others to travel with. Default 50 ms; 0 sends at once.
	BatchTimeout time.Duration `mapstructure:"batch_timeout"`

	// MaxInFlight requests at a time, 1 to 1024. Default 8. Files have one writer and ignore it.
	MaxInFlight int `mapstructure:"max_in_flight"`
}

// Validate checks the bounds.
func (b Batching) Validate() error {
	var errs []error
	if b.MaxBatchBytes < 1024 {
		errs = append(errs, fmt.Errorf("max_batch_bytes is %d, want at least 1024", b.MaxBatchBytes))
	}
	if b.MaxBatchTraces < 1 {
		errs = append(errs, fmt.Errorf("max_batch_traces is %d, want at least 1", b.MaxBatchTraces))
	}
	if b.BatchTimeout < 0 || b.BatchTimeout > time.Minute {
		errs = append(errs, fmt.Errorf("batch_timeout is %v, want 0s to 1m", b.BatchTimeout))
	}
	if b.MaxInFlight < 1 || b.MaxInFlight > 1024 {
		errs = append(errs, fmt.Errorf("max_in_flight is %d, want 1 to 1024", b.MaxInFlight))
	}
	return errors.Join(errs...)
}

// GRPCConfig is `otlp_grpc` (alias `otlp`): the Collector's settings for a gRPC client, and ours.
type GRPCConfig struct {
	Client   configgrpc.ClientConfig   `mapstructure:",squash"`
	Timeout  time.Duration             `mapstructure:"timeout"` // of one request; default 5 s
	Retry    configretry.BackOffConfig `mapstructure:"retry_on_failure"`
	Batching Batching                  `mapstructure:",squash"`

	// OnRefusal is what to do with traces that the backend refuses for good while it is not known to accept any: hold
	// (default) or reject.
	OnRefusal string `mapstructure:"on_refusal"`
}

// HTTPConfig is `otlp_http` (alias `otlphttp`).
type HTTPConfig struct {
	Client         confighttp.ClientConfig   `mapstructure:",squash"`
	TracesEndpoint string                    `mapstructure:"traces_endpoint"` // default: endpoint + /v1/traces
	Encoding       string                    `mapstructure:"encoding"`        // proto (default) or json
	OnRefusal      string                    `mapstructure:"on_refusal"`      // as with otlp_grpc
	Retry          configretry.BackOffConfig `mapstructure:"retry_on_failure"`
	Batching       Batching                  `mapstructure:",squash"`
}

// KafkaConfig is `kafka`: one record a trace, keyed by the trace ID in hex, in the partition that the Collector's exporter
// with partition_traces_by_id would choose.
type KafkaConfig struct {
	Brokers         []string                  `mapstructure:"brokers"`
	Topic           string                    `mapstructure:"topic"`
	ClientID        string                    `mapstructure:"client_id"`
	Encoding        string                    `mapstructure:"encoding"`    // otlp_proto
	Compression     string                    `mapstructure:"compression"` // zstd (default), lz4, snappy, gzip, none
	MaxMessageBytes int                       `mapstructure:"max_message_bytes"`
	TLS             *configtls.ClientConfig   `mapstructure:"tls"`
	SASL            *SASLConfig               `mapstructure:"sasl"`
	Timeout         time.Duration             `mapstructure:"timeout"`    // until a record counts as failed and is tried anew
	OnRefusal       string                    `mapstructure:"on_refusal"` // as with otlp_grpc
	Retry           configretry.BackOffConfig `mapstructure:"retry_on_failure"`
	Batching        Batching                  `mapstructure:",squash"`
}

// FileConfig is `file`: JSON lines as the Collector's file exporter writes them, one trace a line, appended.
type FileConfig struct {
	Path            string                    `mapstructure:"path"`
	Format          string                    `mapstructure:"format"` // json
	CreateDirectory bool                      `mapstructure:"create_directory"`
	Fsync           bool                      `mapstructure:"fsync"` // sync to the disk before a trace counts as delivered; default true
	Rotation        *FileRotation             `mapstructure:"rotation"`
	Retry           configretry.BackOffConfig `mapstructure:"retry_on_failure"`
	Batching        Batching                  `mapstructure:",squash"`
}

// FileRotation limits the size and number of files.
type FileRotation struct {
	MaxMegabytes int  `mapstructure:"max_megabytes"` // start a new file before one grows beyond; 0: 100
	MaxDays      int  `mapstructure:"max_days"`      // remove older rotated files; 0: keep
	MaxBackups   int  `mapstructure:"max_backups"`   // keep so many rotated files; 0: all
	LocalTime    bool `mapstructure:"localtime"`     // local time instead of UTC in the names of rotated files
}

// DebugConfig is `debug`: says on a writer what would be sent.
type DebugConfig struct {
	Verbosity string   `mapstructure:"verbosity"` // basic (default), normal, detailed
	Batching  Batching `mapstructure:",squash"`
}

// ParseConfig reads the `exporters` section, as decoded from YAML (string keys). The error is Problems: every
// mistake at once.
func ParseConfig(section map[string]any) (Config, error) {
	cfg := Config{Exporters: make(map[string]any, len(section))}
	var problems Problems
	for id, raw := range section {
		found, warned := parseExporter(&cfg, id, raw)
		problems = append(problems, found...)
		cfg.Warnings = append(cfg.Warnings, warned...)
	}
	sortProblems(problems)
	sortProblems(cfg.Warnings)
	return cfg, problems.err()
}

func parseExporter(cfg *Config, id string, raw any) (problems, warnings Problems) {
	path := []string{"exporters", id}
	kind, name, named := strings.Cut(id, "/")
	k, known := kinds[kind]
	switch {
	case !known:
		return Problems{{path, fmt.Sprintf("unknown exporter type %q; known are %s%s", kind,
			strings.Join(kindNames(), ", "), suggest.DidYouMean(kind, kindNames()))}}, nil
	case named && strings.TrimSpace(name) == "":
		return Problems{{path, fmt.Sprintf("nothing after the slash; write %q or %q", kind, kind+"/name")}}, nil
	}
	settings := map[string]any{}
	switch v := raw.(type) {
	case nil: // `debug:` alone
	case map[string]any:
		for key, value := range v {
			if why, ignored := k.ignored[key]; ignored {
				warnings = append(warnings, Problem{append(slices.Clone(path), key), why})
				continue
			}
			settings[key] = value
		}
	default:
		return Problems{{path, fmt.Sprintf("want settings (key: value), not %v", raw)}}, nil
	}

	target := k.defaults()
	problems = unknownSettings(path, settings, reflect.TypeOf(target))
	// Unused keys are found above: the Collector's own check overlooks them in settings that are squashed.
	if err := confmap.NewFromStringMap(settings).Unmarshal(target, confmap.WithIgnoreUnused()); err != nil {
		return decodeProblems(path, err, problems), warnings
	}
	if err := confmap.Validate(target); err != nil {
		problems = append(problems, validateProblems(path, err)...)
	}
	problems = append(problems, k.check(path, target)...)
	if retry := retryOf(target); retry != nil {
		warnings = append(warnings, retryWarnings(path, settings, retry)...)
	}
	cfg.Exporters[id] = target
	return problems, warnings
}

// decodeError matches what mapstructure says of a value: the path in quotes, then what is wrong with it.
var decodeError = regexp.MustCompile(`^'([a-z0-9_.]+)' (.*)$`)

// echoes are lines that repeat an unknown key, and its path on lines of their own.
var echoes = regexp.MustCompile(`has invalid keys: |^'[^']*'$`)

// decodeProblems takes a decoding error apart, one problem a line, and adds them to the unknown settings.
func decodeProblems(path []string, err error, unknown Problems) Problems {
	problems := unknown
	text := strings.ReplaceAll(err.Error(), "decoding failed due to the following error(s):", "")
	for line := range strings.SplitSeq(text, "\n") {
		at, line := path, strings.TrimSpace(line)
		if len(unknown) > 0 && echoes.MatchString(line) {
			continue
		}
		if m := decodeError.FindStringSubmatch(line); m != nil {
			at, line = append(slices.Clone(path), strings.Split(m[1], ".")...), m[2]
		}
		if line != "" {
			problems = append(problems, Problem{at, line})
		}
	}
	return problems
}

// validateProblems takes a validation error apart. The names of our squashed fields are not in the file.
func validateProblems(path []string, err error) (problems Problems) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		for _, squashed := range []string{"client", "batching"} {
			line = strings.TrimPrefix(strings.TrimPrefix(line, squashed+"::"), squashed+": ")
		}
		problems = append(problems, Problem{path, line})
	}
	return problems
}

func sortProblems(p Problems) {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return strings.Compare(a.Error(), b.Error())
	})
}
