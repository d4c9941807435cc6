package node

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"thresher/internal/export"
	"thresher/internal/receive"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// TestMetricsPage keeps the reference page true: go test ./internal/node -run MetricsPage -update writes it.
func TestMetricsPage(t *testing.T) {
	n, err := New(testConfig(t, "127.0.0.1:1", "127.0.0.1:1"), Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer n.client.Close()
	s := n.Status()
	s.Partitions = []Partition{{}}
	s.Exporters = []export.ExporterStats{{ID: "x", Errors: map[string]uint64{"x": 1}}}
	s.Receivers = map[string]receive.Stats{"x": {}}
	all := produce(s, nil, n.started)

	var b strings.Builder
	fmt.Fprint(&b, "# Metrics\n\nWhat `/metrics` serves, besides the Go runtime's `go_*` and `process_*`. Labels are bounded by the "+
		"configuration; there is never a trace ID.\n\nWritten by `go test ./internal/node -run MetricsPage -update`.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n")
	var rows []string
	for _, m := range all[0].Metrics {
		name, kind := strings.ReplaceAll(m.Name, ".", "_"), "gauge"
		if suffix := map[string]string{"By": "_bytes", "s": "_seconds"}[m.Unit]; suffix != "" {
			name += suffix
		}
		var labels []string
		switch d := m.Data.(type) {
		case metricdata.Sum[float64]:
			name, kind = name+"_total", "counter"
			labels = labelsOf(d.DataPoints)
		case metricdata.Gauge[float64]:
			labels = labelsOf(d.DataPoints)
		case metricdata.Histogram[float64]:
			kind = "histogram"
			for _, kv := range d.DataPoints[0].Attributes.ToSlice() {
				labels = append(labels, string(kv.Key))
			}
		}
		require.NotEmpty(t, m.Description, m.Name)
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), m.Description))
	}
	slices.Sort(rows)
	b.WriteString(strings.Join(rows, ""))
	const page = "../../docs/metrics.md"
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o644))
	}
	have, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have))
}

func labelsOf(points []metricdata.DataPoint[float64]) (labels []string) {
	for _, kv := range points[0].Attributes.ToSlice() {
		labels = append(labels, string(kv.Key))
	}
	return labels
}
