//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// notReady waits until /readyz says 503 and why.
func (n *node) notReady() (why string, err error) {
	err = poll(30*time.Second, func() error {
		code, text, err := n.get("/readyz")
		if err == nil && code != http.StatusServiceUnavailable {
			err = fmt.Errorf("/readyz says %d", code)
		}
		why = text
		return err
	})
	return why, err
}

// Without Kafka the node waits, says so, and turns clients away with a retryable error; when Kafka comes it goes to work.
func TestKafkaAbsentAtStart(t *testing.T) {
	kafka(t, "stop")
	up := false
	t.Cleanup(func() {
		if !up {
			kafka(t, "start")
		}
	})
	to := startBackend(t, "")
	names := names{"e2e.absent.spans", "e2e.absent.checkpoints", "e2e.absent.rejected", "e2e.absent"}
	node := configure(t, names, settings{exporters: otlpTo(to)}).start()
	why, err := node.notReady()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.ToLower(why), "kafka") {
		t.Errorf("/readyz does not say that it waits for Kafka: %q", why)
	}
	eventually(t, 20*time.Second, "the log to say that Kafka is not there", func() error {
		if log := strings.ToLower(node.log.String()); !strings.Contains(log, "kafka") {
			return fmt.Errorf("the log is %q", log)
		}
		return nil
	})
	if code, _, err := node.get("/healthz"); err != nil || code != http.StatusOK {
		t.Errorf("/healthz says %d, %v; waiting is healthy", code, err)
	}
	from := newSender(t, node.grpc)
	if _, _, err := from.once(t.Context(), traceOf(1, false)); status.Code(err) != codes.Unavailable {
		t.Errorf("a client is told %v, want UNAVAILABLE", err)
	}
	kafka(t, "start")
	up = true
	node.ready()
	if _, err := from.until(t.Context(), traceOf(1, true)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the trace to arrive", func() error {
		if n := to.got.count(traceID(1)); n != 3 {
			return fmt.Errorf("%d of 3 spans", n)
		}
		return nil
	})
}

// Kafka goes away under load and comes back, once by SIGTERM, once by SIGKILL. Clients are told to try again, readiness
// follows, and nothing that was acknowledged is lost.
func TestKafkaRestart(t *testing.T) {
	for _, how := range []string{"stop", "kill"} {
		t.Run(how, func(t *testing.T) {
			names, to := freshNames(t), startBackend(t, "")
			node := configure(t, names, settings{kafka: "  producer: {delivery_timeout: 2s}\n", exporters: otlpTo(to)}).run()
			from := newSender(t, node.grpc)
			var outage sync.WaitGroup
			begun := false
			retries := from.load(t, traffic(4, 8_000), 80_000, func(sent int) {
				if begun || sent < 30_000 {
					return
				}
				begun = true
				outage.Go(func() {
					if _, err := tryKafka(how); err != nil {
						t.Error(err)
					}
					why, err := node.notReady()
					if err != nil {
						t.Errorf("while Kafka is away: %v", err)
					}
					t.Logf("not ready: %s", why)
					// Long enough for the requests under way to be given up.
					waitUntil(time.Now().Add(4 * time.Second))
					if _, err := tryKafka("start"); err != nil {
						t.Error(err)
					}
				})
			})
			outage.Wait()
			if retries == 0 {
				t.Error("no client was told to try again while Kafka was away")
			}
			node.ready()
			node.settled(time.Minute)
			judge(t, names.spans, rules()).compare(t, from.sent, to.got)
		})
	}
}
