package conformance

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"thresher/internal/wire"
)

// TestPartitionsOfTheExporter: the Collector's kafkaexporter, configured as docs/kafka.md says, puts each trace where Thresher's
// receivers put it. What it does by another configuration shows that the comparison tells the difference.
func TestPartitionsOfTheExporter(t *testing.T) {
	program := filepath.Join(t.TempDir(), "exporter")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "exporter"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the exporter: %v\n%s", err, out)
	}
	documented := documentedExporter(t)
	if wrong := misplaced(t, program, documented); wrong != 0 {
		t.Errorf("%d spans are not where their trace belongs; the configuration is\n%s", wrong, documented)
	}
	const key = "    partition_traces_by_id: true\n"
	if !strings.Contains(documented, key) {
		t.Fatalf("the configuration in docs/kafka.md has no line %q", key)
	}
	for name, other := range map[string]string{
		"no key":         strings.Replace(documented, key, "", 1),
		"another hasher": strings.Replace(documented, key, key+"    record_partitioner: {sticky_key: {hasher: murmur2}}\n", 1),
	} {
		if misplaced(t, program, other) == 0 {
			t.Errorf("%s: every span is where its trace belongs", name)
		}
	}
}

// documentedExporter returns the Collector's configuration in docs/kafka.md.
func documentedExporter(t *testing.T) string {
	page, err := os.ReadFile("../../docs/kafka.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if strings.Contains(block, "\nexporters:\n") {
			return block
		}
	}
	t.Fatal("docs/kafka.md shows no exporter")
	return ""
}

// misplaced lets the exporter write traces to topics with several numbers of partitions, and counts the spans that are where Thresher
// would not look for them.
func misplaced(t *testing.T, program, config string) (wrong int) {
	const traces = 3000
	partitions := []string{"1", "2", "3", "7", "64", "100", "255", "256"}
	file := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append([]string{file, fmt.Sprint(traces)}, partitions...)...)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the exporter: %v: %s", err, &problem)
	}
	lines := 0
	for line := range strings.Lines(string(out)) {
		var n, partition int
		var id string
		if _, err := fmt.Sscan(line, &n, &partition, &id); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		b, err := hex.DecodeString(id)
		if err != nil || len(b) != len(wire.TraceID{}) {
			t.Fatalf("%q has no trace ID", line)
		}
		if wire.Partition(wire.TraceID(b), n) != partition {
			wrong++
		}
		lines++
	}
	if want := 2 * traces * len(partitions); lines != want {
		t.Fatalf("the exporter wrote %d spans, not %d", lines, want)
	}
	return wrong
}
