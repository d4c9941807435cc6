package sampler

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"thresher/bench/shop"
	"thresher/internal/wire"
)

var recordName = flag.String("record", "", "record a history of this name, with its decisions as they are now")

// TestHistories reads recorded logs and wants the decisions that were made of them when they were recorded: what a later version
// does with a log that an earlier one has left. A history is never changed; a deliberate change of decisions gets a new one and a line
// in the changelog. To add one: go test ./sampler -run Histories -record NAME
func TestHistories(t *testing.T) {
	const dir = "testdata/histories"
	if *recordName != "" {
		log := shopLog(t, 77, 1200)
		writeHistory(t, filepath.Join(dir, *recordName+".log.zst"), log)
		require.NoError(t, os.WriteFile(filepath.Join(dir, *recordName+".decisions"), []byte(decisions(t, log)), 0o644))
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.log.zst"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	for _, path := range logs {
		want, err := os.ReadFile(strings.TrimSuffix(path, ".log.zst") + ".decisions")
		require.NoError(t, err)
		require.Equal(t, string(want), decisions(t, readHistory(t, path)), path)
	}
}

// decisions tells what becomes of a log, a line a delivery with a sum over its spans.
func decisions(t *testing.T, log []logRecord) string {
	m, err := New(Limits{LateWindow: 30_000, DeliverDropped: true},
		Settings{Plan: mustPlan(t, shopPolicies), DecisionWait: 10_000, RootWait: 2000, MaxTraceBytes: 40_000})
	require.NoError(t, err)
	var b strings.Builder
	take := func() {
		for _, d := range m.Effects().Deliveries {
			keys := spanKeys(t, d.Payload)
			sort.Strings(keys)
			fmt.Fprintf(&b, "%x of %d: kept=%v late=%v early=%v policy=%q matched=%q complete=%v: %s\n",
				[16]byte(d.TraceID), d.Offset, d.Kept, d.Late, d.Early, d.Policy, d.Matched, d.Complete, strings.Join(keys, ", "))
		}
		m.Clear()
	}
	for i, r := range log {
		require.NoError(t, m.Record(Offset(i), r.at, r.value))
		take()
	}
	m.Elapse(1 << 30)
	take()
	return b.String()
}

func shopLog(t *testing.T, seed int64, spans int) (log []logRecord) {
	cfg := shop.Default(seed)
	cfg.LateRate, cfg.DuplicateRate, cfg.LargeRate = 0.1, 0.05, 0.02
	s := shop.New(cfg)
	split := wire.NewSplitter(wire.SplitOptions{Partitions: 1, Deep: true})
	for n := 0; n < spans; {
		r := s.Next()
		out, err := split.Split(nil, r.Data)
		require.NoError(t, err)
		n += out.Spans
		for _, f := range out.Fragments {
			log = append(log, logRecord{1_700_000_000_000 + r.At.Milliseconds(), f.Bytes})
		}
	}
	return log
}

// A history is records one after the other, each a timestamp, a length and bytes, compressed as a whole.
func writeHistory(t *testing.T, path string, log []logRecord) {
	var b []byte
	for _, r := range log {
		b = binary.AppendVarint(b, r.at)
		b = binary.AppendUvarint(b, uint64(len(r.value)))
		b = append(b, r.value...)
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, w.EncodeAll(b, nil), 0o644))
}

func readHistory(t *testing.T, path string) (log []logRecord) {
	packed, err := os.ReadFile(path)
	require.NoError(t, err)
	r, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer r.Close()
	b, err := r.DecodeAll(packed, nil)
	require.NoError(t, err)
	for len(b) > 0 {
		at, n := binary.Varint(b)
		b = b[n:]
		size, n := binary.Uvarint(b)
		b = b[n:]
		log = append(log, logRecord{at, b[:size:size]})
		b = b[size:]
	}
	return log
}
