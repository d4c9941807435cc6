//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"thresher/internal/config"
)

// Two services with the Python SDK's defaults export every 5 s, each in its own rhythm: the errors of one come about 5 s after the root
// spans of the other. The wait after the root that is recommended keeps their traces, whole. A short one drops them, and the node says
// so before and after: which line is wrong, what was missed, and what to write.
func TestErrorsThatComeABatchLater(t *testing.T) {
	const traces = 10
	recommended := config.RootWaitForBatches.String()
	send := func(t *testing.T, after string) (*node, report) {
		t.Parallel()
		n := configure(t, freshNames(t), settings{wait: "30s", after: after, policies: clientPolicies}).run()
		runClient(t, "python", "--two-services", "--endpoint", n.grpc, "--traces", fmt.Sprint(traces), "--service", "batches")
		return n, n.settled(time.Minute)
	}
	t.Run("recommended", func(t *testing.T) {
		n, s := send(t, recommended)
		if l := s.Ledger; l.KeptTraces != traces || l.Kept != 2*traces || l.Received != 2*traces {
			t.Errorf("%+v", l)
		}
		if len(s.Advice) > 0 || strings.Contains(n.log.String(), "OTEL_BSP_SCHEDULE_DELAY") {
			t.Errorf("a warning, or advice %q", s.Advice)
		}
	})
	t.Run("short", func(t *testing.T) {
		n, s := send(t, "2s")
		if l := s.Ledger; l.DroppedTraces != traces || l.LateDropped != traces || s.Policies["errors"].MissedSpans != traces {
			t.Errorf("%+v, policies %+v", l, s.Policies)
		}
		change := "raise decision_wait_after_root_received from 2s to " + recommended
		if len(s.Advice) != 1 || !strings.Contains(s.Advice[0], change) {
			t.Errorf("advice %q", s.Advice)
		}
		metric(t, n, `thresher_policy_missed_spans_total{policy="errors"}`, traces)
		eventually(t, 10*time.Second, "the log to say what was missed", func() error {
			said := n.log.String()
			for _, want := range []string{"OTEL_BSP_SCHEDULE_DELAY", "file=" + n.file, fmt.Sprintf(`policies="errors %d"`, traces), change} {
				if !strings.Contains(said, want) {
					return fmt.Errorf("it does not say %s", want)
				}
			}
			return nil
		})
	})
}
