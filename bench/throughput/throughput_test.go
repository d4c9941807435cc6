package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"thresher/internal/config"
	"thresher/internal/kafka"
	"thresher/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func flags(t *testing.T, args ...string) *options {
	t.Helper()
	o, err := parse(args, io.Discard)
	require.NoError(t, err)
	return o
}

// TestNodeConfigIsValid loads the configurations of all scenarios as Thresher does.
func TestNodeConfigIsValid(t *testing.T) {
	for _, args := range [][]string{{"--brokers", "kafka:9092"}, {"--embedded", "--export-compression", "none"}} {
		b := &bench{options: flags(t, args...), name: "throughput-1"}
		b.brokers = "kafka:9092"
		c := b.nodeConfig(&sink{addr: "127.0.0.1:14317"}, b.name, "read-1")
		c.Listen = "127.0.0.1:18080"
		for _, address := range []string{"", "127.0.0.1:24317"} {
			c.OTLP = address
			text, err := c.text()
			require.NoError(t, err)
			cfg, err := config.Parse("thresher.yaml", []byte(text), func(string) (string, bool) { return "", false })
			require.NoError(t, err, text)
			// The uniform load has no SDKs that send in batches of seconds.
			require.Len(t, cfg.Warnings, 1)
			require.Contains(t, cfg.Warnings[0].String(), "decision_wait_after_root_received")
			require.Len(t, cfg.Plan.Names(), 4)
			require.Equal(t, 15*time.Second, cfg.Sampling.DecisionWait)
			require.Equal(t, time.Second, cfg.Sampling.DecisionWaitAfterRoot)
			require.True(t, cfg.Node.Pprof)
		}
	}
}

// TestFillAndDrain fills the log of an embedded broker and drains it again: every byte that was written is read.
func TestFillAndDrain(t *testing.T) {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{Partitions: 4})
	require.NoError(t, err)
	defer broker.Close()
	o := flags(t, "--embedded", "--partitions", "4", "--spans", "4000", "--record-bytes", "200000")
	o.brokers = broker.Addr()
	ctx := context.Background()
	b := &bench{options: o, name: "throughput-test", say: t.Logf}
	c, err := b.client(ctx, b.name)
	require.NoError(t, err)
	defer c.Close()
	l, err := fill(ctx, o, c)
	require.NoError(t, err)
	require.EqualValues(t, 4000, l.Spans)
	require.EqualValues(t, 4000*575, l.SpanBytes)
	require.Greater(t, l.Bytes, l.SpanBytes)
	require.Greater(t, l.Records, int64(4))

	var stored spanCount
	for p := range int32(4) {
		require.NoError(t, c.ReadRange(ctx, p, 0, l.Records, func(r kafka.Record) error {
			return wire.Walk(r.Value, &wire.Scratch{}, &stored)
		}))
	}
	require.EqualValues(t, 4000, stored)

	var out bytes.Buffer
	require.NoError(t, drainChild(ctx, drainOptions{Brokers: []string{o.brokers}, Topic: l.Topic, Records: l.Records}, &out))
	require.Contains(t, out.String(), `"records":`)
	d, err := drain(ctx, drainOptions{Brokers: []string{o.brokers}, Topic: l.Topic, Records: l.Records})
	require.NoError(t, err)
	require.Equal(t, l.Records, d.Records)
	require.Equal(t, l.Bytes, d.Bytes)
}

// TestSinkCounts sends the sink what the clients send to Thresher, plain and compressed.
func TestSinkCounts(t *testing.T) {
	s, err := startSink()
	require.NoError(t, err)
	defer s.stop()
	for _, gzip := range []string{"--client-gzip=false", "--client-gzip"} {
		before := s.received()
		p, err := push(context.Background(), flags(t, "--embedded", "--spans", "5000", "--clients", "2", gzip), s.addr)
		require.NoError(t, err)
		require.EqualValues(t, 5000, p.Spans)
		got := s.received()
		require.Equal(t, p.Spans, got.Spans-before.Spans)
		require.Equal(t, p.Bytes, got.Bytes-before.Bytes)
		require.Equal(t, p.Requests, got.Requests-before.Requests)
	}
}

// TestSinkRefusesGarbage: what is not OTLP must not count as delivered.
func TestSinkRefusesGarbage(t *testing.T) {
	s, err := startSink()
	require.NoError(t, err)
	defer s.stop()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = export(context.Background(), conn, []byte("\x0a\xffgarbage"), []grpc.CallOption{grpc.ForceCodecV2(rawCodec{})})
	require.Error(t, err)
	require.Zero(t, s.received())
}

// TestUsage reads the figures of a process whose name tries to confuse.
func TestUsage(t *testing.T) {
	stat := "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 100 1000 200"
	u, err := parseUsage(stat, "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n")
	require.NoError(t, err)
	require.Equal(t, usage{CPU: 3, RSS: 1 << 20, Peak: 2 << 20}, u)
	_, err = parseUsage("42 (short) S 1", "")
	require.Error(t, err)
	own, err := usageOf(os.Getpid())
	require.NoError(t, err)
	require.Positive(t, own.RSS)
	require.GreaterOrEqual(t, own.Peak, own.RSS)
}

// TestSettled: a node is done when nothing is in flight in it nor on the way out of it.
func TestSettled(t *testing.T) {
	var s nodeStatus
	s.Ledger.Received, s.Ledger.Kept, s.Ledger.LateKept = 100, 5, 1
	s.Exporters = append(s.Exporters, struct{ Spans, RejectedSpans, QueueTraces int64 }{Spans: 6})
	require.True(t, s.settled(100))
	require.False(t, s.settled(101))
	s.Exporters[0].QueueTraces = 1
	require.False(t, s.settled(100))
	s.Exporters[0].QueueTraces, s.Exporters[0].Spans = 0, 5
	require.False(t, s.settled(100))
	s.Exporters[0].RejectedSpans = 1
	require.True(t, s.settled(100))
	s.Ledger.InFlight = 1
	require.False(t, s.settled(100))
}

// TestFigures: medians of odd and even numbers of repeats, and the text of a report.
func TestFigures(t *testing.T) {
	require.Equal(t, figure{"x", "s", 2, 1, 9}, newFigure("x", "s", []float64{9, 1, 2}))
	require.Equal(t, figure{"x", "s", 3, 1, 9}, newFigure("x", "s", []float64{9, 1, 2, 4}))
	r := &report{Command: "throughput --hold", Scenario: "hold", Machine: thisMachine(), Holds: []held{{Spans: 10, InUsePerWireByte: 1.25}}}
	r.Figures = r.figures()
	var text strings.Builder
	require.NoError(t, r.writeText(&text))
	require.Contains(t, text.String(), "1.25")
	require.Contains(t, text.String(), r.Machine.Kernel)
	require.NotContains(t, text.String(), "bare drain")
}

// TestFlags: what cannot be measured is refused at once.
func TestFlags(t *testing.T) {
	require.Equal(t, 1_000_000, flags(t, "--embedded", "--hold").spans)
	for _, args := range [][]string{
		{}, {"--embedded", "--brokers", "kafka:9092"}, {"--embedded", "--hold", "--receive"},
		{"--embedded", "--export-compression", "zstd"}, {"--embedded", "--repeats", "0"}, {"--embedded", "extra"},
	} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, args)
	}
}
