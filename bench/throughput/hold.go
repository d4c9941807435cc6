package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// runHold measures the memory of nodes that buffer the whole log.
func (b *bench) runHold(ctx context.Context, r *report) error {
	b.decisionWait, b.rootWait = 12*time.Hour, 0
	if err := b.fill(ctx, r); err != nil {
		return err
	}
	for i := range b.repeats {
		h, err := b.holdOnce(ctx, &r.Log, fmt.Sprintf("hold-%d", i+1))
		if err != nil {
			return err
		}
		b.say("repeat %d of %d: in use %.2f, RSS %.2f a wire byte", i+1, b.repeats, h.InUsePerWireByte, h.RSSPerWireByte)
		r.Holds = append(r.Holds, *h)
	}
	return nil
}

// held is the memory of a node in which every span of the log is open.
type held struct {
	Spans    int64 `json:"open_spans"`
	Traces   int64 `json:"open_traces"`
	Buffered int64 `json:"buffered_bytes"` // pages, as the node counts them

	PeakRSS int64 `json:"peak_rss_bytes"`
	RSS     int64 `json:"rss_bytes"` // after the last span was read, before a collection was asked for

	// After a collection: the live objects of the Go heap, and what spans have beside it.
	Heap    float64            `json:"heap_bytes"`
	OffHeap float64            `json:"off_heap_bytes"`
	Runtime map[string]float64 `json:"go_memstats"`

	InUsePerSpan     float64 `json:"in_use_per_span"` // heap and off heap
	InUsePerWireByte float64 `json:"in_use_per_wire_byte"`
	RSSPerSpan       float64 `json:"rss_per_span"`
	RSSPerWireByte   float64 `json:"rss_per_wire_byte"`
	PeakPerWireByte  float64 `json:"peak_rss_per_wire_byte"`
	CPU              float64 `json:"cpu_seconds"`
}

func (b *bench) holdOnce(ctx context.Context, l *logged, name string) (*held, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	to, err := startSink()
	if err != nil {
		return nil, err
	}
	defer to.stop()
	n, err := startNode(b.binary, b.nodeConfig(to, l.Topic, name))
	if err != nil {
		return nil, err
	}
	h, err := b.weigh(ctx, n, l, name)
	return h, errors.Join(err, n.stop())
}

func (b *bench) weigh(ctx context.Context, n *node, l *logged, name string) (*held, error) {
	var m measurement
	s, err := m.watch(ctx, n, l.Spans, func(s *nodeStatus) bool { return s.Ledger.Received >= l.Spans })
	if err != nil {
		return nil, err
	}
	if s.Ledger.InFlight != l.Spans || s.Ledger.Spilled > 0 {
		return nil, fmt.Errorf("%d of %d spans are open and %d traces were spilled; raise --memory-limit", s.Ledger.InFlight, l.Spans, s.Ledger.Spilled)
	}
	before, err := usageOf(n.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	profile, err := n.get(ctx, "/debug/pprof/heap?gc=1")
	if err != nil {
		return nil, err
	}
	if b.profiles != "" {
		if err := os.WriteFile(filepath.Join(b.profiles, name+".heap.pprof"), profile, 0o644); err != nil {
			return nil, err
		}
	}
	h := &held{Spans: s.Ledger.InFlight, Traces: s.OpenTraces, Buffered: s.Buffered, RSS: before.RSS, PeakRSS: before.Peak, CPU: m.CPU}
	if h.Runtime, err = n.goMemory(ctx); err != nil {
		return nil, err
	}
	if s, err = n.status(ctx); err != nil {
		return nil, err
	}
	h.Heap = h.Runtime["go_memstats_heap_alloc_bytes"]
	h.OffHeap = max(0, float64(s.Memory)-h.Runtime["go_memstats_sys_bytes"]+h.Runtime["go_memstats_heap_released_bytes"])
	spans, bytes := float64(l.Spans), float64(l.SpanBytes)
	h.InUsePerSpan, h.InUsePerWireByte = (h.Heap+h.OffHeap)/spans, (h.Heap+h.OffHeap)/bytes
	h.RSSPerSpan, h.RSSPerWireByte, h.PeakPerWireByte = float64(h.RSS)/spans, float64(h.RSS)/bytes, float64(h.PeakRSS)/bytes
	return h, nil
}
