//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// settings are what tests change in the configuration of a node.
type settings struct {
	brokers     string // default: the real Kafka
	partitions  int    // default 8
	kafka       string // more lines of the kafka section, indented by two
	receiver    string // more of the otlp receiver: {grpc: ..., http: ...} is there already
	wait, after string // decision_wait and decision_wait_after_root_received; default 2s and 500ms
	lateWindow  string // default 10m: no trace of a test lives twice
	marks       string // what is written on kept spans, indented by two; default nothing: tests compare the bytes that they sent
	sampling    string // more lines of the sampling section, indented by two
	policies    string // default policies of the shop
	exporters   string // the exporters section, a YAML value
	routes      string // the routes section, a YAML value; default kept: to all
	memory      string // memory_limit of the node; default what the machine has
}

// names are the topics and the group of one test.
type names struct{ spans, checkpoints, rejected, group string }

// A node is a thresher process and its configuration.
type node struct {
	t          testing.TB
	names      names
	file       string
	grpc, http string
	listen     string
	log        *output
	cmd        *exec.Cmd
	ended      chan struct{} // closed when the process has
	exitErr    error         // then
}

// output collects what a process says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// configure writes a configuration; the node is not started.
func configure(t testing.TB, n names, s settings) *node {
	t.Helper()
	node := &node{t: t, names: n, grpc: freePort(t), http: freePort(t), listen: freePort(t), log: &output{}}
	or := func(value *string, otherwise string) {
		if *value == "" {
			*value = otherwise
		}
	}
	or(&s.brokers, readEnv(t, filepath.Join(env.kafkaDir, "env"))["KAFKA_BOOTSTRAP"])
	or(&s.wait, "2s")
	or(&s.after, "500ms")
	or(&s.lateWindow, "10m")
	or(&s.marks, "  reasons: off\n  thresholds: false\n")
	or(&s.policies, shopPolicies)
	or(&s.exporters, "{debug: {}}")
	if s.partitions == 0 {
		s.partitions = 8
	}
	var b strings.Builder
	fmt.Fprintf(&b, "kafka:\n  brokers: %q\n  group: %s\n", s.brokers, n.group)
	fmt.Fprintf(&b, "  spans: {topic: %s, partitions: %d}\n  checkpoints: {topic: %s}\n  rejected: {topic: %s}\n", n.spans, s.partitions, n.checkpoints, n.rejected)
	b.WriteString(s.kafka)
	fmt.Fprintf(&b, "receivers:\n  otlp:\n    protocols: {grpc: {endpoint: %q, max_recv_msg_size_mib: 64}, http: {endpoint: %q, max_request_body_size: 67108864}}\n%s", node.grpc, node.http, s.receiver)
	fmt.Fprintf(&b, "sampling:\n  decision_wait: %s\n  decision_wait_after_root_received: %s\n  late_window: %s\n%s%s  policies: %s\n", s.wait, s.after, s.lateWindow,
		s.marks, s.sampling, s.policies)
	fmt.Fprintf(&b, "exporters: %s\n", s.exporters)
	if s.routes != "" {
		fmt.Fprintf(&b, "routes: %s\n", s.routes)
	}
	fmt.Fprintf(&b, "node:\n  listen: %q\n", node.listen)
	if s.memory != "" {
		fmt.Fprintf(&b, "  memory_limit: %s\n", s.memory)
	}
	node.file = filepath.Join(t.TempDir(), "thresher.yaml")
	if err := os.WriteFile(node.file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		node.kill()
		if t.Failed() {
			t.Logf("configuration:\n%s\nits log:\n%s", b.String(), tail(node.log.String(), 12000))
		}
	})
	return node
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "...\n" + s[len(s)-n:]
}

// start starts the process. It may be called again when it has ended.
func (n *node) start() *node {
	n.t.Helper()
	n.cmd = exec.Command(env.binary, "run", "-c", n.file)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended, cmd := make(chan struct{}), n.cmd
	n.ended = ended
	go func() {
		defer close(ended)
		n.exitErr = cmd.Wait()
	}()
	return n
}

// run starts a configured node and waits until it is ready.
func (n *node) run() *node {
	n.t.Helper()
	n.start()
	n.ready()
	return n
}

// alive reports whether the process is there.
func (n *node) alive() bool {
	if n.ended == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// ready waits for /readyz.
func (n *node) ready() {
	n.t.Helper()
	eventually(n.t, time.Minute, "the node to be ready", func() error {
		code, text, err := n.get("/readyz")
		switch {
		case !n.alive():
			n.t.Fatalf("the node ended: %v", n.exitErr)
		case err != nil:
			return err
		case code != http.StatusOK:
			return fmt.Errorf("/readyz says %d: %s", code, text)
		}
		return nil
	})
}

var client = &http.Client{Timeout: 10 * time.Second}

func (n *node) get(path string) (code int, text string, err error) {
	response, err := client.Get("http://" + n.listen + path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(body)), err
}

// kill is kill -9.
func (n *node) kill() {
	if n.alive() {
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
}

// stop sends SIGTERM, waits for the end and returns how long that took. The exit status must be 0.
func (n *node) stop() time.Duration {
	n.t.Helper()
	begin := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	select {
	case <-n.ended:
	case <-time.After(30 * time.Second):
		_ = n.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go to the log
		<-n.ended
		n.t.Fatal("SIGTERM did not end the node within 30 s")
	}
	if n.exitErr != nil {
		n.t.Errorf("after SIGTERM: %v", n.exitErr)
	}
	return time.Since(begin)
}

// refused waits for a node to end by itself and returns its exit status and what it said.
func (n *node) refused(within time.Duration) (status int, said string) {
	n.t.Helper()
	select {
	case <-n.ended:
	case <-time.After(within):
		n.t.Fatalf("the node still runs after %v, and should have refused to", within)
	}
	var exit *exec.ExitError
	if errors.As(n.exitErr, &exit) {
		return exit.ExitCode(), n.log.String()
	}
	return 0, n.log.String()
}
