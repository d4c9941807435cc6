package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// nodeConfig is what differs between the configurations of the nodes that are measured.
type nodeConfig struct {
	Brokers      string
	Topic        string
	Checkpoints  string
	Rejected     string
	Partitions   int
	Embedded     bool
	Compression  string
	OTLP         string // address of the receiver; empty: none
	Sink         string
	ExportAs     string
	DecisionWait time.Duration
	RootWait     time.Duration
	MemoryLimit  string
	Listen       string
}

var configText = template.Must(template.New("thresher.yaml").Parse(`kafka:
  brokers: "{{.Brokers}}"
  group: "{{.Checkpoints}}"
  compression: {{.Compression}}
  spans: {topic: "{{.Topic}}", partitions: {{.Partitions}}{{if .Embedded}}, allow_create_time: true{{end}}}
  checkpoints: {topic: "{{.Checkpoints}}"}
  rejected: {topic: "{{.Rejected}}"}
{{if .OTLP}}receivers:
  otlp: {protocols: {grpc: {endpoint: "{{.OTLP}}"}}}
{{end}}sampling:
  decision_wait: {{.DecisionWait}}
  decision_wait_after_root_received: {{.RootWait}}
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
    - {name: vip, type: string_attribute, string_attribute: {key: user.tier, values: [vip]}}
    - {name: baseline, type: probabilistic, probabilistic: {sampling_percentage: 1}}
exporters:
  otlp_grpc: {endpoint: "{{.Sink}}", tls: {insecure: true}, compression: {{.ExportAs}}}
node: {listen: "{{.Listen}}", memory_limit: {{.MemoryLimit}}, pprof: true, log: {level: warn}}
`))

func (c nodeConfig) text() (string, error) {
	var b strings.Builder
	err := configText.Execute(&b, c)
	return b.String(), err
}

// node is a thresher process.
type node struct {
	cmd     *exec.Cmd
	url     string
	dir     string
	started time.Time
	stderr  bytes.Buffer
	ended   chan struct{} // closed when the process is gone
	exit    error
}

func startNode(binary string, c nodeConfig) (*node, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c.Listen = listen
	text, err := c.text()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "thresher-throughput-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "thresher.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	n := &node{cmd: exec.Command(binary, "run", "-c", file), url: "http://" + listen, dir: dir, ended: make(chan struct{})}
	n.cmd.Stderr = &n.stderr
	n.started = time.Now()
	if err := n.cmd.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("starting Thresher: %w; name the executable with --binary", err)
	}
	go func() {
		n.exit = n.cmd.Wait()
		close(n.ended)
	}()
	return n, nil
}

// stop ends the process and waits for it. What the process said on standard error is part of the error if it failed.
func (n *node) stop() error {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.ended:
	case <-time.After(15 * time.Second):
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
	_ = os.RemoveAll(n.dir)
	if n.exit != nil {
		return n.died()
	}
	return nil
}

func (n *node) died() error {
	return fmt.Errorf("thresher ended (%w):\n%s", n.exit, n.stderr.String())
}

// nodeStatus is the part of /api/status that is wanted.
type nodeStatus struct {
	State  string `json:"state"`
	Ready  bool   `json:"ready"`
	Ledger struct {
		Received    int64 `json:"received_spans"`
		Kept        int64 `json:"kept_spans"`
		Dropped     int64 `json:"dropped_spans"`
		LateKept    int64 `json:"late_kept_spans"`
		LateDropped int64 `json:"late_dropped_spans"`
		Duplicate   int64 `json:"duplicate_spans"`
		Invalid     int64 `json:"invalid_spans"`
		InFlight    int64 `json:"in_flight_spans"`
		Spilled     int64 `json:"spilled_traces"`
		BytesIn     int64 `json:"bytes_in"`
	} `json:"ledger"`
	OpenTraces int64 `json:"open_traces"`
	Buffered   int64 `json:"buffered_bytes"`
	Memory     int64 `json:"memory_bytes"` // of the Go runtime and, beside it, of spans
	Exporters  []struct {
		Spans, RejectedSpans, QueueTraces int64
	} `json:"exporters"`
}

// settled reports whether n spans have been read, and what is to be kept of them has been delivered.
func (s *nodeStatus) settled(n int64) bool {
	if s.Ledger.Received < n || s.Ledger.InFlight > 0 {
		return false
	}
	var delivered int64
	for _, e := range s.Exporters {
		if e.QueueTraces > 0 {
			return false
		}
		delivered += e.Spans + e.RejectedSpans
	}
	return delivered >= s.Ledger.Kept+s.Ledger.LateKept
}

func (n *node) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, resp.Status)
	}
	return body, err
}

func (n *node) status(ctx context.Context) (nodeStatus, error) {
	var s nodeStatus
	body, err := n.get(ctx, "/api/status")
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

// goMemory reads the Go runtime's figures from /metrics.
func (n *node) goMemory(ctx context.Context) (map[string]float64, error) {
	body, err := n.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	m := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && strings.HasPrefix(name, "go_memstats_") {
			if m[name], err = strconv.ParseFloat(value, 64); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// freeAddress returns an address of the loopback interface that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
