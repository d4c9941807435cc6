//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The node works over every way in which the broker authenticates clients.
func TestKafkaSecurity(t *testing.T) {
	vars := readEnv(t, filepath.Join(env.kafkaDir, "env"))
	sasl := func(mechanism, password string) string {
		return fmt.Sprintf("  sasl: {mechanism: %s, username: %s, password: %s}\n", mechanism, vars["KAFKA_USER"], password)
	}
	ca := fmt.Sprintf("  tls: {ca_file: %q}\n", vars["KAFKA_CA"])
	mutual := fmt.Sprintf("  tls: {ca_file: %q, cert_file: %q, key_file: %q}\n", vars["KAFKA_CA"], vars["KAFKA_CLIENT_CERT"], vars["KAFKA_CLIENT_KEY"])
	right := vars["KAFKA_PASSWORD"]
	for name, c := range map[string]struct{ brokers, config string }{
		"PLAIN":              {vars["KAFKA_SASL"], sasl("PLAIN", right)},
		"SCRAM-SHA-256":      {vars["KAFKA_SASL"], sasl("SCRAM-SHA-256", right)},
		"SCRAM-SHA-512":      {vars["KAFKA_SASL"], sasl("SCRAM-SHA-512", right)},
		"mutual TLS":         {vars["KAFKA_MTLS"], mutual},
		"SCRAM-SHA-512, TLS": {vars["KAFKA_SASL_TLS"], ca + sasl("SCRAM-SHA-512", right)},
	} {
		t.Run(name, func(t *testing.T) {
			names, to := freshNames(t), startBackend(t, "")
			node := configure(t, names, settings{brokers: c.brokers, kafka: c.config, exporters: otlpTo(to), partitions: 2}).run()
			from := newSender(t, node.grpc)
			if _, err := from.until(t.Context(), traceOf(1, true)); err != nil {
				t.Fatal(err)
			}
			node.settled(30 * time.Second)
			if n := to.got.count(traceID(1)); n != 3 {
				t.Errorf("%d of 3 spans delivered", n)
			}
		})
	}
	// What cannot work is said, and the node is not ready. It may wait or end: a password can be mended in Kafka.
	for name, c := range map[string]struct{ brokers, config, says string }{
		"wrong password": {vars["KAFKA_SASL"], sasl("SCRAM-SHA-512", "wrong"), "sasl"},
		"no certificate": {vars["KAFKA_MTLS"], ca, "tls"},
		"unknown CA":     {vars["KAFKA_MTLS"], "  tls: {}\n", "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			node := configure(t, freshNames(t), settings{brokers: c.brokers, kafka: c.config, partitions: 2}).start()
			eventually(t, 30*time.Second, "the log to say what is wrong", func() error {
				if log := strings.ToLower(node.log.String()); !strings.Contains(log, c.says) {
					return fmt.Errorf("no %q in %q", c.says, log)
				}
				return nil
			})
			if code, _, err := node.get("/readyz"); err == nil && code == 200 {
				t.Error("/readyz says 200")
			}
			if strings.Contains(node.log.String(), right) {
				t.Error("the log has the password")
			}
			t.Log(tail(node.log.String(), 600))
		})
	}
}
