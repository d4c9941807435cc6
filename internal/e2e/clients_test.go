//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// runClient runs one of the real clients and returns its standard output. It must succeed.
func runClient(t testing.TB, args ...string) []byte {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.Command(env.clients, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out.Bytes(), said.Bytes())
	}
	return out.Bytes()
}

// sentTrace is a line of what the SDK clients print.
type sentTrace struct {
	TraceID string `json:"trace_id"`
	Kind    string `json:"kind"`
	Spans   int    `json:"spans"`
}

func sdkTraces(t testing.TB, out []byte) (sent []sentTrace) {
	t.Helper()
	for line := range bytes.Lines(out) {
		var s sentTrace
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sent = append(sent, s)
	}
	return sent
}

// inJaeger asks Jaeger for all traces of a service: their IDs, and how many spans each has.
func inJaeger(t testing.TB, service string) (map[string]int, error) {
	t.Helper()
	at := readEnv(t, filepath.Join(env.jaegerDir, "env"))["JAEGER_QUERY"]
	response, err := client.Get("http://" + at + "/api/traces?limit=10000&service=" + url.QueryEscape(service))
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("jaeger says %s", response.Status)
	}
	var answer struct {
		Data []struct {
			TraceID string `json:"traceID"`
			Spans   []any  `json:"spans"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	traces := map[string]int{}
	for _, trace := range answer.Data {
		traces[trace.TraceID] = len(trace.Spans)
	}
	return traces, nil
}

const clientPolicies = `
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}`

// The real SDKs and the Collector's load generator send through Thresher to a real Jaeger, over every protocol that they
// speak, once through each exporter. Jaeger then has exactly the traces with an error or of more than a second, whole.
func TestClientsToJaeger(t *testing.T) {
	jaeger := readEnv(t, filepath.Join(env.jaegerDir, "env"))
	for exporter, config := range map[string]string{
		"otlp_grpc": fmt.Sprintf("{otlp_grpc/jaeger: {endpoint: %q, tls: {insecure: true}}}", jaeger["JAEGER_OTLP_GRPC"]),
		"otlp_http": fmt.Sprintf("{otlp_http/jaeger: {endpoint: %q}}", "http://"+jaeger["JAEGER_OTLP_HTTP"]),
	} {
		t.Run(exporter, func(t *testing.T) {
			names := freshNames(t)
			node := configure(t, names, settings{exporters: config, policies: clientPolicies}).run()
			want := map[string]map[string]int{} // by service
			clients := []struct{ name, protocol string }{
				{"python", "grpc"}, {"python", "http/protobuf"}, {"js", "grpc"}, {"js", "http/protobuf"}, {"js", "http/json"},
			}
			for _, c := range clients {
				service := strings.ReplaceAll(exporter+"-"+c.name+"-"+c.protocol, "/", "-")
				endpoint := node.http
				if c.protocol == "grpc" {
					endpoint = node.grpc
				}
				out := runClient(t, c.name, "--endpoint", endpoint, "--protocol", c.protocol, "--traces", "30", "--service", service)
				want[service] = map[string]int{}
				for _, s := range sdkTraces(t, out) {
					if s.Kind != "normal" {
						want[service][s.TraceID] = s.Spans
					}
				}
				if len(want[service]) != 20 {
					t.Fatalf("%s sent %d traces to keep, want 20", service, len(want[service]))
				}
			}
			for _, status := range []string{"Error", "Ok"} {
				for _, protocol := range []string{"grpc", "http"} {
					service := exporter + "-telemetrygen-" + protocol + "-" + status
					args := []string{"telemetrygen", "traces", "--otlp-insecure", "--otlp-endpoint", node.grpc, "--rate", "0", "--traces", "40",
						"--child-spans", "3", "--status-code", status, "--service", service}
					if protocol == "http" {
						args = append(args, "--otlp-http", "--otlp-endpoint", node.http)
					}
					runClient(t, args...)
					want[service] = map[string]int{}
				}
			}
			node.settled(time.Minute)

			// The load generator does not say what it has sent, and may lose spans at its end: the log tells.
			for _, records := range readTopic(t, names.spans) {
				for _, r := range records {
					for service, id := range serviceSpans(t, r.Value) {
						if strings.Contains(service, "telemetrygen") && strings.HasSuffix(service, "Error") {
							for _, one := range id {
								want[service][one]++
							}
						}
					}
				}
			}
			for service, traces := range want {
				if strings.HasSuffix(service, "Error") && len(traces) < 20 {
					t.Errorf("%s: only %d of 40 traces came to the log", service, len(traces))
				}
				eventually(t, 20*time.Second, "the traces of "+service+" in Jaeger", func() error {
					got, err := inJaeger(t, service)
					if err == nil && !maps.Equal(got, traces) {
						err = fmt.Errorf("jaeger has %d traces, want %d\n got %v\nwant %v", len(got), len(traces), sorted(got), sorted(traces))
					}
					return err
				})
			}
		})
	}
}

func sorted(traces map[string]int) (lines []string) {
	for _, id := range slices.Sorted(maps.Keys(traces)) {
		lines = append(lines, fmt.Sprint(id, ":", traces[id]))
	}
	return lines
}
