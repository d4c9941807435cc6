//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// metric waits until a series of /metrics, given with its labels in order, has a value.
func metric(t testing.TB, n *node, series string, want float64) {
	t.Helper()
	eventually(t, 10*time.Second, series, func() error {
		_, text, err := n.get("/metrics")
		if err != nil {
			return err
		}
		for line := range strings.Lines(text) {
			rest, found := strings.CutPrefix(line, series)
			if !found {
				continue
			}
			got, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err == nil && got != want {
				err = fmt.Errorf("is %v, want %v", got, want)
			}
			return err
		}
		return fmt.Errorf("not among the metrics")
	})
}
