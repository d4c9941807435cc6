package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sampleEvery is how often a node is asked for its status, which costs it little.
const sampleEvery = 200 * time.Millisecond

// sample is the state of a node at one moment.
type sample struct {
	At       float64 `json:"at_seconds"` // since the process started
	CPU      float64 `json:"cpu_seconds"`
	RSS      int64   `json:"rss_bytes"`
	Received int64   `json:"received_spans"`
	InFlight int64   `json:"in_flight_spans"`
	Buffered int64   `json:"buffered_bytes"`
}

// measurement is one repeat of a scenario with one node.
type measurement struct {
	Wall         float64 `json:"wall_seconds"` // from the start of the process until everything is delivered
	CPU          float64 `json:"cpu_seconds"`  // user and system of the process in that time
	ReadWall     float64 `json:"read_wall_seconds"`
	ReadCPU      float64 `json:"read_cpu_seconds"` // until everything is read
	SpansPerSec  float64 `json:"spans_per_second"`
	SpansPerCore float64 `json:"spans_per_second_per_core"`
	PeakRSS      int64   `json:"peak_rss_bytes"`

	Received  int64    `json:"received_spans"`
	Kept      int64    `json:"kept_spans"`
	KeptShare float64  `json:"kept_share"`
	Late      int64    `json:"late_spans"`
	Invalid   int64    `json:"invalid_spans"`
	Duplicate int64    `json:"duplicate_spans"`
	Spilled   int64    `json:"spilled_traces"`
	Sink      received `json:"sink"`

	// At the moment with the most spans in flight.
	MostInFlight   int64   `json:"most_in_flight_spans"`
	RSSPerWireByte float64 `json:"rss_per_in_flight_wire_byte"`

	Samples []sample `json:"samples"`
	Pushed  *pushed  `json:"pushed,omitempty"`
	Bare    *drained `json:"bare_drain,omitempty"`
}

// watch samples the node until stop says so of its status, and returns the last status.
func (m *measurement) watch(ctx context.Context, n *node, spans int64, stop func(*nodeStatus) bool) (nodeStatus, error) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nodeStatus{}, fmt.Errorf("not finished: %w", context.Cause(ctx))
		case <-n.ended:
			if n.exit == nil {
				n.exit = errors.New("no error")
			}
			return nodeStatus{}, n.died()
		case <-tick.C:
		}
		s, err := n.status(ctx)
		if err != nil {
			continue // it does not listen yet, or has ended
		}
		u, err := usageOf(n.cmd.Process.Pid)
		if err != nil {
			continue
		}
		at := time.Since(n.started).Seconds()
		m.Samples = append(m.Samples, sample{at, u.CPU, u.RSS, s.Ledger.Received, s.Ledger.InFlight, s.Buffered})
		m.PeakRSS = u.Peak
		if s.Ledger.InFlight > m.MostInFlight {
			m.MostInFlight = s.Ledger.InFlight
		}
		if s.Ledger.Received >= spans && m.ReadCPU == 0 {
			m.ReadCPU, m.ReadWall = u.CPU, at
		}
		if stop(&s) {
			m.Wall, m.CPU = at, u.CPU
			return s, nil
		}
	}
}

// conclude computes the figures from the last status.
func (m *measurement) conclude(s *nodeStatus, spanBytes int, to *sink) {
	l := &s.Ledger
	m.Received, m.Kept, m.Late = l.Received, l.Kept+l.LateKept, l.LateKept+l.LateDropped
	m.Invalid, m.Duplicate, m.Spilled = l.Invalid, l.Duplicate, l.Spilled
	m.KeptShare = float64(m.Kept) / float64(l.Received)
	m.SpansPerSec = float64(l.Received) / m.Wall
	m.SpansPerCore = float64(l.Received) / m.CPU
	m.Sink = to.received()
	for i := range m.Samples {
		if p := &m.Samples[i]; p.InFlight == m.MostInFlight && p.InFlight > 0 {
			m.RSSPerWireByte = float64(p.RSS) / float64(p.InFlight*int64(spanBytes))
			break
		}
	}
}

// profile fetches profiles in the background, if they are wanted: one of CPU time, and when that is over one of memory,
// which has both what was allocated and what is in use. The channel is closed when they are there.
func (b *bench) profile(ctx context.Context, n *node, name string) <-chan struct{} {
	done := make(chan struct{})
	if b.profiles == "" {
		close(done)
		return done
	}
	fetch := func(path, kind string) error {
		body, err := n.get(ctx, path)
		if err == nil {
			err = os.WriteFile(filepath.Join(b.profiles, name+"."+kind+".pprof"), body, 0o644)
		}
		return err
	}
	go func() {
		defer close(done)
		cpu := fmt.Sprintf("/debug/pprof/profile?seconds=%d", b.profileSeconds)
		for fetch(cpu, "cpu") != nil && ctx.Err() == nil {
			select {
			case <-n.ended:
				return
			case <-time.After(20 * time.Millisecond): // it does not listen yet
			}
		}
		if err := fetch("/debug/pprof/allocs", "memory"); err != nil {
			b.say("there is no memory profile: %v", err)
		}
	}()
	return done
}
