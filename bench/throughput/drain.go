package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"thresher/internal/kafka"
)

// drainOptions are what is drained, and until when.
type drainOptions struct {
	Brokers []string
	Topic   string
	Records int64
}

// drained is what a bare drain took.
type drained struct {
	Records        int64   `json:"records"`
	Bytes          int64   `json:"bytes"`
	Wall           float64 `json:"wall_seconds"`
	CPU            float64 `json:"cpu_seconds"`
	PeakRSS        int64   `json:"peak_rss_bytes"`
	SpansPerCore   float64 `json:"spans_per_second_per_core"`
	ThresherToBare float64 `json:"thresher_to_bare"` // spans per second per core, Thresher's by the drain's of the same repeat
}

// drain reads a topic from its start and counts, with the limits that Thresher reads with.
func drain(ctx context.Context, o drainOptions) (drained, error) {
	var d drained
	r := kafka.DefaultConfig().Reader
	kc, err := kgo.NewClient(
		kgo.SeedBrokers(o.Brokers...), kgo.ConsumeTopics(o.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(r.MaxWait), kgo.FetchMaxBytes(int32(r.FetchBytes)), kgo.FetchMaxPartitionBytes(int32(r.PartitionBytes)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return d, err
	}
	defer kc.Close()
	for d.Records < o.Records {
		fetches := kc.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return d, fmt.Errorf("draining %s: %w", o.Topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			d.Records++
			d.Bytes += int64(len(r.Value))
		})
	}
	return d, nil
}

// drainChild is drain as a process of its own, whose whole CPU time counts.
func drainChild(ctx context.Context, o drainOptions, stdout io.Writer) error {
	d, err := drain(ctx, o)
	if err != nil {
		return err
	}
	u, err := usageOf(os.Getpid())
	if err != nil {
		return err
	}
	d.CPU, d.PeakRSS = u.CPU, u.Peak
	return json.NewEncoder(stdout).Encode(d)
}

// startDrain runs drainChild of this program.
func startDrain(ctx context.Context, brokers string, l *logged) (drained, error) {
	var d drained
	self, err := os.Executable()
	if err != nil {
		return d, err
	}
	cmd := exec.CommandContext(ctx, self, "--brokers", brokers, "--drain", l.Topic, "--drain-records", strconv.FormatInt(l.Records, 10))
	var out, says bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &says
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return d, fmt.Errorf("the bare drain: %w: %s", err, strings.TrimSpace(says.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		return d, fmt.Errorf("the bare drain: %w", err)
	}
	d.Wall = time.Since(began).Seconds()
	if d.Bytes != l.Bytes {
		return d, fmt.Errorf("the bare drain read %d bytes of %d", d.Bytes, l.Bytes)
	}
	d.SpansPerCore = float64(l.Spans) / d.CPU
	return d, nil
}
