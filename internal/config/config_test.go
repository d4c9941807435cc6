package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"thresher/internal/export"
	"thresher/internal/kafka"
)

func unset(string) (string, bool) { return "", false }

func given(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

// What is in deploy must run as it is, without a variable set.
func TestDeployedConfigurations(t *testing.T) {
	files, err := filepath.Glob("../../deploy/thresher*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		cfg, err := Load(file, unset)
		require.NoError(t, err, file)
		assert.Empty(t, cfg.Warnings, file)
	}
}

// What the README shows must run as it is, too.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	shown := 0
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)\n```").FindAllSubmatch(text, -1) {
		if !bytes.HasPrefix(block[1], []byte("kafka:")) {
			continue
		}
		cfg, err := Parse("README.md", block[1], unset)
		require.NoError(t, err)
		assert.Empty(t, cfg.Warnings)
		shown++
	}
	require.Equal(t, 1, shown)
}

// commented matches an option that is commented out: a dash or a key after the #. Prose begins with a capital.
var commented = regexp.MustCompile(`(?m)^( *)# ( *)(- |[a-z_0-9/]+:( |$))`)

func TestAnnotatedConfiguration(t *testing.T) {
	data, err := os.ReadFile("../../deploy/thresher.yaml")
	require.NoError(t, err)
	t.Run("options that are commented out are right", func(t *testing.T) {
		all := commented.ReplaceAll(data, []byte("$1$2$3"))
		cfg, err := Parse("thresher.yaml", all, given(map[string]string{"KAFKA_PASSWORD": "x", "API_KEY": "x", "VENDOR_TOKEN": "x"}))
		require.NoError(t, err)
		assert.Len(t, cfg.Exporters.Exporters, 5, "one of every type")
		assert.Len(t, cfg.Routes.Dropped, 1)
	})
	t.Run("defaults are as stated", func(t *testing.T) {
		cfg, err := Parse("thresher.yaml", data, unset)
		require.NoError(t, err)
		stated := commented.ReplaceAll(data, []byte("$1$2$3"))
		var withoutExamples [][]byte
		for line := range bytes.SplitSeq(stated, []byte("\n")) {
			if regexp.MustCompile(`^ +(tls|sasl|ca_file|cert_file|key_file|insecure_skip_verify|mechanism|username|password):`).Match(line) &&
				!bytes.Contains(line, []byte("insecure: true")) {
				continue
			}
			withoutExamples = append(withoutExamples, line)
		}
		explicit, err := Parse("thresher.yaml", bytes.Join(withoutExamples, []byte("\n")),
			given(map[string]string{"API_KEY": "x", "VENDOR_TOKEN": "x"}))
		require.NoError(t, err)
		assert.Equal(t, cfg.Kafka, explicit.Kafka)
		assert.Equal(t, cfg.Sampling, explicit.Sampling)
		node := explicit.Node
		assert.EqualValues(t, 8<<30, node.MemoryLimit)
		node.MemoryLimit = 0
		assert.Equal(t, cfg.Node, node)
		assert.Equal(t, cfg.Receivers[0].Config.MaxInflightBytes, explicit.Receivers[0].Config.MaxInflightBytes)
	})
	t.Run("every option of ours is there", func(t *testing.T) {
		var check func(of reflect.Type)
		check = func(of reflect.Type) {
			keys, _ := fields(of)
			for key, below := range keys {
				// The Collector's settings have their own documentation; those that matter most are shown.
				if inner := bare(below); inner.Kind() == reflect.Struct && strings.HasPrefix(inner.PkgPath(), "thresher/") {
					check(inner)
				}
				assert.Regexp(t, `\b`+key+`:`, string(data), "%v", of)
			}
		}
		for _, of := range []reflect.Type{reflect.TypeFor[kafka.Config](), reflect.TypeFor[Node](), reflect.TypeFor[export.FileConfig](),
			reflect.TypeFor[export.KafkaConfig](), reflect.TypeFor[export.DebugConfig](), reflect.TypeFor[export.Batching]()} {
			check(of)
		}
		for _, key := range []string{"max_inflight_bytes", "traces_url_path", "decision_wait", "decision_wait_after_root_received",
			"late_window", "maximum_trace_size_bytes", "sample_on_first_match", "compat", "reasons", "thresholds", "rescue_on", "policies",
			"traces_endpoint", "kept", "dropped", "required", "exporter"} {
			assert.Regexp(t, `\b`+key+`:`, string(data))
		}
		for _, s := range sections() {
			if s.name != "sources" && s.name != "cluster" {
				assert.Regexp(t, `(?m)^`+s.name+`:`, string(data))
			}
		}
	})
}

func TestLoadOfWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.yaml"): "absent.yaml: there is no such file; check the path, or start from deploy/thresher.yaml",
		dir:                               "is a directory; name the YAML file in it",
		filepath.Join(dir, "x\x00y"):      "cannot be read: invalid argument",
	} {
		_, err := Load(path, unset)
		var problems *Problems
		require.ErrorAs(t, err, &problems)
		assert.Contains(t, err.Error(), want)
	}
	_, err := Parse("large.yaml", bytes.Repeat([]byte("# x\n"), largestFile/4+1), unset)
	require.ErrorContains(t, err, "large.yaml: has 16777220 bytes; a configuration has at most 16777216")
}

func TestNulByteFromTheEnvironment(t *testing.T) {
	_, err := Parse("t.yaml", []byte("kafka: {brokers: [\"${env:X}\"]}\n"), given(map[string]string{"X": "a\x00b"}))
	require.ErrorContains(t, err, "t.yaml:1:19: kafka.brokers[0]: the environment variable X holds a zero byte")
}

// Secrets must not appear in messages, however wrong the configuration is.
func TestSecretsStayOut(t *testing.T) {
	_, err := Parse("t.yaml", []byte(`
kafka:
  brokers: [k]
  sasl: {mechanism: X, username: u, password: [hunter2]}
exporters:
  otlp_grpc/a: {headers: {x: [hunter2], y: {z: hunter2}, z: 22222}}
  otlp_http/b: {headers: {x: "${env:SECRET}"}, endpoint: nonsense}
`), given(map[string]string{"SECRET": "hunter2"}))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
	assert.NotContains(t, err.Error(), "22222")
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	Log{Level: "warn", Format: "json"}.Logger(&b).Info("quiet")
	Log{Level: "warn", Format: "json"}.Logger(&b).Warn("loud")
	assert.Contains(t, b.String(), `"msg":"loud"`)
	assert.NotContains(t, b.String(), "quiet")
	b.Reset()
	Log{Level: "debug", Format: "text"}.Logger(&b).Debug("low")
	assert.Contains(t, b.String(), "level=DEBUG msg=low")
}

// FuzzParse holds every text against what must hold for all: no panic, either a configuration that has its sections or
// problems in order with places in the file, and the same answer twice.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/scenarios/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no scenarios to start from: %v", err)
	}
	files = append(files, "../../deploy/thresher.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for text := range strings.SplitSeq(string(data), "\n----\n") {
			if _, after, ok := strings.Cut(text, "\nsection"); ok {
				text = after
			}
			f.Add(text)
			f.Add(text + "\nkafka: {brokers: [k:9092]}\nsampling: {policies: [{name: all, type: always_sample}]}\nexporters: {debug: }\n")
		}
	}
	getenv := given(map[string]string{"A": "1", "B": "x: y\n", "C": "", "PARTITIONS": "12"})
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Parse("t.yaml", []byte(text), getenv)
		again, errAgain := Parse("t.yaml", []byte(text), getenv)
		if err == nil {
			if errAgain != nil || cfg.Plan == nil || again.Plan.Fingerprint() != cfg.Plan.Fingerprint() {
				t.Fatalf("differs the second time: %v", errAgain)
			}
			if len(cfg.Kafka.Brokers) == 0 || len(cfg.Routes.Kept) == 0 || cfg.Sampling.DecisionWait <= 0 ||
				cfg.Sampling.LateWindow < cfg.Sampling.DecisionWait {
				t.Fatalf("accepted and cannot run: %+v", cfg)
			}
			return
		}
		var problems *Problems
		if !errors.As(err, &problems) || cfg != nil || len(problems.List) == 0 {
			t.Fatalf("not problems: %v", err)
		}
		if errAgain == nil || errAgain.Error() != err.Error() {
			t.Fatalf("differs the second time:\n%v\n%v", err, errAgain)
		}
		// YAML takes more characters for the end of a line than editors do.
		lineCount, last := 1+len(regexp.MustCompile("[\n\r\u0085\u2028\u2029]").FindAllString(text, -1)), 0
		for _, p := range problems.List {
			if p.Msg == "" || p.Line < last || p.Line > lineCount {
				t.Fatalf("bad problem %+v", p)
			}
			last = p.Line
		}
	})
}
