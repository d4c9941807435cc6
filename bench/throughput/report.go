package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// report is everything that was measured.
type report struct {
	Command   string        `json:"command"`
	Scenario  string        `json:"scenario"`
	Machine   machine       `json:"machine"`
	Binary    string        `json:"binary_go"` // Go version that built Thresher
	SpanBytes int           `json:"span_bytes"`
	Log       logged        `json:"log"`
	Runs      []measurement `json:"runs,omitempty"`
	Holds     []held        `json:"holds,omitempty"`
	Receives  []taken       `json:"receives,omitempty"`
	Figures   []figure      `json:"figures"`
}

// figure is one quantity over all repeats.
type figure struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func newFigure(name, unit string, values []float64) figure {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return figure{name, unit, (v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

// over takes one value of each repeat.
func over[T any](all []T, name, unit string, of func(*T) float64) figure {
	var values []float64
	for i := range all {
		values = append(values, of(&all[i]))
	}
	return newFigure(name, unit, values)
}

const mb = 1e6

func (r *report) figures() []figure {
	var f []figure
	if len(r.Runs) > 0 {
		f = append(f,
			over(r.Runs, "spans per second per core", "spans/s of CPU", func(m *measurement) float64 { return m.SpansPerCore }),
			over(r.Runs, "spans per second, wall", "spans/s", func(m *measurement) float64 { return m.SpansPerSec }),
			over(r.Runs, "CPU", "ns/span", func(m *measurement) float64 { return m.CPU / float64(m.Received) * 1e9 }),
			over(r.Runs, "kept", "% of spans", func(m *measurement) float64 { return 100 * m.KeptShare }),
			over(r.Runs, "delivered", "spans", func(m *measurement) float64 { return float64(m.Sink.Spans) }),
			over(r.Runs, "late", "spans", func(m *measurement) float64 { return float64(m.Late) }),
			over(r.Runs, "most in flight", "spans", func(m *measurement) float64 { return float64(m.MostInFlight) }),
			over(r.Runs, "RSS by wire bytes in flight, then", "", func(m *measurement) float64 { return m.RSSPerWireByte }),
			over(r.Runs, "peak RSS", "MB", func(m *measurement) float64 { return float64(m.PeakRSS) / mb }))
		if r.Runs[0].Bare != nil {
			f = append(f,
				over(r.Runs, "bare drain per core", "spans/s of CPU", func(m *measurement) float64 { return m.Bare.SpansPerCore }),
				over(r.Runs, "Thresher by bare drain", "", func(m *measurement) float64 { return m.Bare.ThresherToBare }))
		}
	}
	if len(r.Holds) > 0 {
		f = append(f,
			over(r.Holds, "open spans", "spans", func(h *held) float64 { return float64(h.Spans) }),
			over(r.Holds, "memory in use a span", "bytes", func(h *held) float64 { return h.InUsePerSpan }),
			over(r.Holds, "memory in use by wire bytes", "", func(h *held) float64 { return h.InUsePerWireByte }),
			over(r.Holds, "of that the Go heap", "MB", func(h *held) float64 { return h.Heap / mb }),
			over(r.Holds, "RSS a span", "bytes", func(h *held) float64 { return h.RSSPerSpan }),
			over(r.Holds, "RSS by wire bytes", "", func(h *held) float64 { return h.RSSPerWireByte }),
			over(r.Holds, "peak RSS by wire bytes", "", func(h *held) float64 { return h.PeakPerWireByte }))
	}
	if len(r.Receives) > 0 {
		f = append(f,
			over(r.Receives, "CPU to receive", "ns/span", func(t *taken) float64 { return t.ReceiveNanos }),
			over(r.Receives, "CPU to read, decide, deliver", "ns/span", func(t *taken) float64 { return t.ReadNanos }),
			over(r.Receives, "receiving alone", "spans/s of CPU", func(t *taken) float64 { return t.ReceivedACore }),
			over(r.Receives, "receiving and reading", "spans/s of CPU", func(t *taken) float64 { return t.Both.SpansPerCore }),
			over(r.Receives, "acknowledged, wall", "spans/s", func(t *taken) float64 { return float64(t.Both.Pushed.Spans) / t.Both.Pushed.Wall }),
			over(r.Receives, "requests sent again", "requests", func(t *taken) float64 { return float64(t.Both.Pushed.Retries) }),
			over(r.Receives, "record", "spans", func(t *taken) float64 { return float64(t.Log.Spans) / float64(t.Log.Records) }),
			over(r.Receives, "peak RSS", "MB", func(t *taken) float64 { return float64(t.Both.PeakRSS) / mb }))
	}
	return f
}

func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *report) writeText(w io.Writer) error {
	var b strings.Builder
	m := &r.Machine
	fmt.Fprintf(&b, "%s\n\n", r.Command)
	fmt.Fprintf(&b, "machine   %s, %d cores, %.0f GB, Linux %s, load %s\n", m.CPU, m.Cores, float64(m.Memory)/1e9, m.Kernel, m.Load)
	fmt.Fprintf(&b, "built     Thresher with %s, this program with %s\n", r.Binary, m.Go)
	l := &r.Log
	fmt.Fprintf(&b, "log       %d spans of %d bytes, %d partitions, %d records of %.0f spans", l.Spans, r.SpanBytes, l.Partitions,
		l.Records, float64(l.Spans)/float64(max(1, l.Records)))
	if l.Stored > 0 {
		fmt.Fprintf(&b, ", %.0f bytes a span on disk", float64(l.Stored)/float64(l.Spans))
	}
	fmt.Fprintf(&b, "\nscenario  %s\n\n%-36s %14s %14s %14s\n", r.Scenario, "", "median", "min", "max")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "%-36s %14s %14s %14s  %s\n", f.Name, number(f.Median), number(f.Min), number(f.Max), f.Unit)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// number shows as many digits as mean something.
func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// builtWith returns the Go version that built an executable.
func builtWith(file string) string {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "an unknown Go"
	}
	return info.GoVersion
}
