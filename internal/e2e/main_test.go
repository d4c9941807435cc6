//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// environment is what .ci/e2e has started.
type environment struct {
	binary    string // the thresher binary
	kafka     string // the script that starts, stops and asks Kafka
	kafkaDir  string // the state of the cluster that it has started
	jaegerDir string
	clients   string // the script that runs the clients
}

var env environment

func TestMain(m *testing.M) {
	var missing []string
	for name, field := range map[string]*string{
		"THRESHER_E2E_BINARY":     &env.binary,
		"THRESHER_E2E_KAFKA":      &env.kafka,
		"THRESHER_E2E_KAFKA_DIR":  &env.kafkaDir,
		"THRESHER_E2E_JAEGER_DIR": &env.jaegerDir,
		"THRESHER_E2E_CLIENTS":    &env.clients,
	} {
		if *field = os.Getenv(name); *field == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "not set: %s; run .ci/e2e, which starts what these tests need\n", strings.Join(missing, ", "))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// readEnv reads the shell assignments that a start script has left.
func readEnv(t testing.TB, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		vars[name] = value
	}
	return vars
}
