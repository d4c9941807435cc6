//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// The demo needs nothing but the binary, ends by itself, and prints one JSON object whose ledger balances.
func TestDemo(t *testing.T) {
	var out, said bytes.Buffer
	cmd := exec.Command(env.binary, "demo", "--duration", "15s", "--output", "json",
		"--otlp-grpc", freePort(t), "--otlp-http", freePort(t), "--listen", freePort(t))
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.Bytes(), said.Bytes())
	}
	var report struct {
		ledger
		Rejected int                       `json:"rejected_spans"`
		Policies map[string]map[string]int `json:"policies"`
		BytesIn  int                       `json:"bytes_in"`
		BytesOut int                       `json:"bytes_out"`
		Seconds  float64                   `json:"seconds"`
	}
	decoder := json.NewDecoder(&out)
	if err := decoder.Decode(&report); err != nil {
		t.Fatal(err)
	}
	if decoder.More() {
		t.Error("more than one JSON value on standard output")
	}
	sum := report.Kept + report.Dropped + report.LateKept + report.LateDropped + report.Duplicate + report.Rejected + report.InFlight
	if sum != report.Received || report.Received < 1000 {
		t.Errorf("received %d, all outcomes %d: %+v", report.Received, sum, report)
	}
	if report.KeptTraces == 0 || report.DroppedTraces == 0 || len(report.Policies) < 3 || report.BytesOut == 0 || report.BytesOut >= report.BytesIn {
		t.Errorf("%+v", report)
	}
	if report.Seconds < 14 || report.Seconds > 30 {
		t.Errorf("took %v s, want 15", report.Seconds)
	}
}

// On a pipe the demo prints lines that a person can read.
func TestDemoLines(t *testing.T) {
	out, err := exec.Command(env.binary, "demo", "--duration", "5s",
		"--otlp-grpc", freePort(t), "--otlp-http", freePort(t), "--listen", freePort(t)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if lines := strings.Count(string(out), "\n"); lines < 3 || strings.Contains(string(out), "\x1b[") {
		t.Errorf("%d lines, or escape sequences, on a pipe:\n%s", lines, out)
	}
}
