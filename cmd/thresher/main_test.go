package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"thresher/internal/config"
)

// hangs, when set in the environment, makes this binary a thresher whose run does not end when it is told to.
const hangs = "THRESHER_TEST_HANGS"

func TestMain(m *testing.M) {
	if _, set := os.LookupEnv(hangs); set {
		os.Exit(execute([]string{"run", "-c", "-"}, strings.NewReader(good), os.Stdout, io.Discard, os.LookupEnv, parts{
			now: time.Now,
			run: func(ctx context.Context, _ *config.Config, _ *slog.Logger) error {
				fmt.Println("running")
				<-ctx.Done()
				fmt.Println("told to stop")
				select {}
			},
		}))
	}
	// os/signal keeps its goroutine once a signal was asked for.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop"))
}

// result is what a command line did.
type result struct {
	status         int
	stdout, stderr string
}

// thresher runs a command line in this process. The parts that it starts are do's; those that do lacks fail the test.
func thresher(t *testing.T, do parts, stdin string, args ...string) result {
	t.Helper()
	if do.run == nil {
		do.run = func(context.Context, *config.Config, *slog.Logger) error { t.Error("run was started"); return nil }
	}
	if do.now == nil {
		do.now = func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }
	}
	if do.demo == nil {
		do.demo = func(context.Context, demoOptions, io.Writer, io.Writer) error {
			t.Error("demo was started")
			return nil
		}
	}
	var stdout, stderr bytes.Buffer
	getenv := func(name string) (string, bool) { return "from-environment:9092", name == "BROKER" }
	status := execute(args, strings.NewReader(stdin), &stdout, &stderr, getenv, do)
	return result{status, stdout.String(), stderr.String()}
}

const good = `kafka: {brokers: ["${env:BROKER}"]}
receivers: {otlp: {protocols: {grpc: , http: }}}
sampling:
  decision_wait: 1h
  num_traces: 5
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 1}}
exporters: {debug/a: , debug/b: }
routes: {dropped: [debug/b]}
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestValidate(t *testing.T) {
	path := write(t, good)
	r := thresher(t, parts{}, "", "validate", path)
	assert.Equal(t, 0, r.status)
	assert.Equal(t, path+`: ok
  receives  otlp: gRPC on localhost:4317, HTTP on localhost:4318
  log       from-environment:9092, topic thresher.spans, 64 partitions
  sampling  decides 1h after the first span; late spans follow the decision for 1h
  policies  errors  status_code    a span with status ERROR
            some    probabilistic  1 % of trace IDs
  writes    thresher.policy and thresher.probability on root spans, the probability (ot=th) into tracestates
  kept      to debug/a
  dropped   to debug/b (best effort)
  node      health, metrics and status on http://127.0.0.1:8080
`, r.stdout)
	assert.Contains(t, r.stderr, path+":5: warning: sampling.num_traces: has no effect")

	r = thresher(t, parts{}, good, "validate", "-")
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.stdout, "<stdin>: ok\n")
}

func TestValidateListsEveryMistake(t *testing.T) {
	path := write(t, "kafka: {borkers: [k:9092]}\nsampling: {policies: []}\n")
	r := thresher(t, parts{}, "", "validate", path)
	assert.Equal(t, 1, r.status)
	assert.Empty(t, r.stdout)
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	require.Len(t, lines, 4)
	assert.Contains(t, lines[0], path+":1:1: exporters: this section is missing")
	assert.Equal(t, path+`:1:9: kafka.borkers: unknown key; did you mean "brokers"?`, lines[1])
	assert.Contains(t, lines[2], path+":2:22: sampling.policies: is empty")
	assert.Equal(t, "3 mistakes", lines[3])

	r = thresher(t, parts{}, "", "validate", "/nowhere/x.yaml")
	assert.Equal(t, result{1, "", "/nowhere/x.yaml: there is no such file; check the path, or start from deploy/thresher.yaml\n"}, r)
}

func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"vaildate x":                   `there is no command "vaildate"; did you mean validate?`,
		"frobnicate":                   `there is no command "frobnicate"; there are demo, evaluate, run, test, validate and version`,
		"--nonsense":                   "unknown flag: --nonsense",
		"validate":                     "validate needs the configuration file: thresher validate FILE",
		"validate a b":                 "validate takes one file, but there are 2",
		"run":                          "run needs a configuration file: thresher run -c FILE",
		"run x.yaml":                   "the configuration file follows -c: thresher run -c x.yaml",
		"run -c":                       "flag needs an argument: 'c' in -c",
		"version 5":                    `thresher version takes no arguments, but there is "5"`,
		"demo now":                     `thresher demo takes no arguments, but there is "now"`,
		"demo --output xml":            `--output is "xml"; write text or json`,
		"demo --duration 20":           `invalid argument "20" for "--duration" flag`,
		"demo --duration -1s":          "--duration is -1s; write a positive time such as 20s",
		"demo --rate 0":                "--rate is 0; write 1 to 1000000 spans a second",
		"demo --seed -1":               `invalid argument "-1" for "--seed" flag`,
		"demo --listen 8080":           `--listen is "8080"; write host:port`,
		"demo --otlp-grpc localhost:x": `--otlp-grpc is "localhost:x"; write host:port`,
	} {
		r := thresher(t, parts{}, "", strings.Fields(line)...)
		assert.Equal(t, 2, r.status, line)
		assert.Empty(t, r.stdout, line)
		assert.True(t, strings.HasPrefix(r.stderr, "thresher: "+want), "%s: %s", line, r.stderr)
		assert.Contains(t, r.stderr, "--help\n", line)
		assert.LessOrEqual(t, strings.Count(r.stderr, "\n"), 2, "no usage dump: %s", r.stderr)
	}
}

func TestHelpTeaches(t *testing.T) {
	for line, wants := range map[string][]string{
		"":                {"thresher demo", "thresher validate thresher.yaml", "thresher run -c thresher.yaml", "deploy/thresher.yaml"},
		"--help":          {"thresher demo", "Available Commands"},
		"help run":        {"Examples:", "-c, --config FILE", "/readyz", "SIGTERM"},
		"demo --help":     {"Examples:", "--duration", "--output", "--rate", "--seed", "--otlp-grpc", "4318"},
		"validate --help": {"Examples:", "Exit status"},
		"version --help":  {"revision"},
	} {
		r := thresher(t, parts{}, "", strings.Fields(line)...)
		assert.Equal(t, 0, r.status, line)
		assert.Empty(t, r.stderr, line)
		for _, want := range wants {
			assert.Contains(t, r.stdout, want, line)
		}
		for text := range strings.Lines(r.stdout) {
			assert.LessOrEqual(t, len(strings.TrimRight(text, "\n")), 116, "%s: %s", line, text)
		}
	}
}

func TestVersion(t *testing.T) {
	r := thresher(t, parts{}, "", "version")
	assert.Equal(t, 0, r.status)
	assert.Regexp(t, `(?s)^thresher \S+\n(revision .*\n)?go1\.\d+.* \w+/\w+\n$`, r.stdout)
	assert.Equal(t, "thresher v1\nrevision abc of 2030-01-01, with local changes\n",
		strings.SplitAfter(build{"v1", "abc", "2030-01-01", true}.String(), "changes\n")[0])
}

func TestRun(t *testing.T) {
	path := write(t, good+"node: {log: {format: json}}\n")
	var got *config.Config
	r := thresher(t, parts{run: func(_ context.Context, cfg *config.Config, logger *slog.Logger) error {
		got = cfg
		logger.Info("running")
		return nil
	}}, "", "run", "-c", path)
	assert.Equal(t, 0, r.status)
	assert.Empty(t, r.stdout)
	require.NotNil(t, got)
	assert.Equal(t, []string{"from-environment:9092"}, got.Kafka.Brokers)
	assert.Contains(t, r.stderr, `"level":"WARN","msg":"configuration: has no effect`)
	assert.Contains(t, r.stderr, `"key":"sampling.num_traces","line":5`)
	assert.Contains(t, r.stderr, `"msg":"running"`)

	r = thresher(t, parts{run: func(context.Context, *config.Config, *slog.Logger) error {
		return errors.New("127.0.0.1:8080 is taken")
	}}, "", "run", "--config", path)
	assert.Equal(t, 1, r.status)
	assert.True(t, strings.HasSuffix(r.stderr, "thresher: 127.0.0.1:8080 is taken\n"), r.stderr)
	assert.NotContains(t, r.stderr, "Usage")

	r = thresher(t, parts{}, "", "run", "-c", write(t, "kafka: 5\n"))
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stderr, ":1:8: kafka: is the number 5")
}

func TestSignalsEndARunInOrder(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := thresher(t, parts{run: func(ctx context.Context, _ *config.Config, _ *slog.Logger) error {
			if err := syscall.Kill(os.Getpid(), signal); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(10 * time.Second):
				return errors.New("the signal was not noticed")
			}
		}}, good, "run", "-c", "-")
		assert.Equal(t, 0, r.status, r.stderr)
	}
}

// Whoever asks twice does not want to wait.
func TestSecondSignalEndsARunAtOnce(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), hangs+"=1", "BROKER=k:9092")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.True(t, lines.Scan())
	require.Equal(t, "told to stop", lines.Text())
	// The signals are given back in another goroutine than the one that says so, so the next may come too early.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case err = <-ended:
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			status, ok := exit.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			assert.Equal(t, syscall.SIGTERM, status.Signal(), "ended by the signal, not by the time limit")
			return
		case <-again.C:
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
		}
	}
}

func TestDemo(t *testing.T) {
	var got demoOptions
	do := parts{demo: func(_ context.Context, options demoOptions, stdout, _ io.Writer) error {
		got = options
		_, err := io.WriteString(stdout, "{}\n")
		return err
	}}
	r := thresher(t, do, "", "demo")
	assert.Equal(t, result{0, "{}\n", ""}, r)
	assert.Equal(t, demoOptions{rate: 2000, seed: 1, grpc: "127.0.0.1:4317", http: "127.0.0.1:4318", listen: "127.0.0.1:8080"}, got)

	r = thresher(t, do, "", strings.Fields("demo --duration 20s --output json --rate 5 --seed 7 --otlp-grpc :1 --otlp-http :2 --listen :3")...)
	assert.Equal(t, 0, r.status)
	assert.Equal(t, demoOptions{duration: 20 * time.Second, json: true, rate: 5, seed: 7, grpc: ":1", http: ":2", listen: ":3"}, got)

	r = thresher(t, parts{demo: func(context.Context, demoOptions, io.Writer, io.Writer) error {
		return errors.New("the ledger does not balance: 5 received, 4 accounted for")
	}}, "", "demo", "--output", "json")
	assert.Equal(t, result{1, "", "thresher: the ledger does not balance: 5 received, 4 accounted for\n"}, r)
}

func TestDemoEndsWithItsNode(t *testing.T) {
	for _, why := range []error{errors.New("the log is gone"), nil} {
		ended := make(chan error, 1)
		ended <- why
		err := (&demoRun{}).watch(t.Context(), nil, ended, io.Discard)
		require.Error(t, err)
		if why != nil {
			require.ErrorIs(t, err, why)
		}
	}
}
