// Command exporter writes traces to Kafka with the OpenTelemetry Collector's kafkaexporter, and tells in which partitions they are.
//
//	exporter CONFIG TRACES PARTITIONS...
//
// CONFIG is a configuration of the Collector, whose exporter `kafka` is used. For each number of partitions it writes that many random
// traces to a topic in a broker in this process. Each span becomes a line on standard output: the number of partitions, the partition,
// the trace ID.
//
// It is a program and a module of its own because the exporter needs other versions of libraries than Thresher.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/kafkaexporter"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.yaml.in/yaml/v3"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	err := run(out, os.Args[1:])
	if err = errors.Join(err, out.Flush()); err != nil {
		fmt.Fprintln(os.Stderr, "exporter:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	if len(args) < 3 {
		return errors.New("usage: exporter CONFIG TRACES PARTITIONS, of which there may be several")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var file struct {
		Exporters map[string]map[string]any `yaml:"exporters"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return err
	}
	traces, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for _, arg := range args[2:] {
		partitions, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		if err := export(ctx, out, file.Exporters["kafka"], traces, partitions); err != nil {
			return fmt.Errorf("%d partitions: %w", partitions, err)
		}
	}
	return nil
}

// export writes traces with the exporter of these settings, and says where they are.
func export(ctx context.Context, out io.Writer, settings map[string]any, traces, partitions int) error {
	factory := kafkaexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*kafkaexporter.Config)
	if err := confmap.NewFromStringMap(settings).Unmarshal(cfg); err != nil {
		return err
	}
	topic := cfg.Traces.Topic
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(int32(partitions), topic))
	if err != nil {
		return err
	}
	defer broker.Close()
	cfg.ClientConfig.Brokers = broker.ListenAddrs()
	if err := confmap.Validate(cfg); err != nil {
		return err
	}
	exp, err := factory.CreateTraces(ctx, exportertest.NewNopSettings(factory.Type()), cfg)
	if err != nil {
		return err
	}
	if err := exp.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(uint64(partitions), 1))
	for left := traces; left > 0; left -= 100 {
		if err := exp.ConsumeTraces(ctx, batch(rnd, min(left, 100))); err != nil {
			return err
		}
	}
	if err := exp.Shutdown(ctx); err != nil { // what is queued is written first
		return err
	}
	return read(ctx, out, broker.ListenAddrs(), topic, partitions, spansPerTrace*traces)
}

const spansPerTrace = 2

// batch returns random traces, whose spans are of different resources.
func batch(rnd *rand.Rand, traces int) ptrace.Traces {
	td := ptrace.NewTraces()
	ids := make([]pcommon.TraceID, traces)
	for i := range ids {
		binary.BigEndian.PutUint64(ids[i][:8], rnd.Uint64())
		if rnd.IntN(4) == 0 {
			clear(ids[i][:8]) // of 64 bits
		}
		binary.BigEndian.PutUint64(ids[i][8:], rnd.Uint64())
	}
	for _, service := range [spansPerTrace]string{"shop", "stock"} {
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", service)
		ss := rs.ScopeSpans().AppendEmpty()
		for _, id := range ids {
			s := ss.Spans().AppendEmpty()
			s.SetTraceID(id)
			s.SetSpanID(pcommon.SpanID(id[8:]))
			s.SetName("get")
		}
	}
	return td
}

// read says where each of the spans is.
func read(ctx context.Context, out io.Writer, brokers []string, topic string, partitions, spans int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	for spans > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d spans are missing: %w", spans, err)
		}
		for _, r := range fetches.Records() {
			td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(r.Value)
			if err != nil {
				return err
			}
			for _, rs := range td.ResourceSpans().All() {
				for _, ss := range rs.ScopeSpans().All() {
					for _, s := range ss.Spans().All() {
						spans--
						if _, err := fmt.Fprintf(out, "%d %d %s\n", partitions, r.Partition, s.TraceID()); err != nil {
							return err
						}
					}
				}
			}
		}
	}
	return nil
}
