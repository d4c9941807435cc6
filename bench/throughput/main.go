package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"thresher/bench/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "throughput:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	binary   string
	brokers  string
	embedded bool

	spans       int
	partitions  int
	open        int
	spansATrace int
	spanBytes   int
	seed        int64
	recordBytes int
	compression string

	decisionWait, rootWait time.Duration
	exportCompression      string
	memoryLimit            string

	hold, receive, baseline bool
	clients, inFlight       int
	clientGzip              bool
	requestSpans            int

	repeats        int
	timeout        time.Duration
	profiles       string
	profileSeconds int
	json           bool

	drain drainOptions
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("throughput", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.binary, "binary", "thresher", "the thresher `executable` to measure")
	f.StringVar(&o.brokers, "brokers", "", "Kafka to use, `host:port`, several with commas between")
	f.BoolVar(&o.embedded, "embedded", false, "use a broker in this process instead of --brokers; good for trying out, slow")
	f.IntVar(&o.spans, "spans", 0, "spans in the log; default 5,000,000, with --hold 1,000,000, with --receive 2,000,000")
	f.IntVar(&o.partitions, "partitions", 64, "partitions of the spans topic")
	f.IntVar(&o.open, "open", 10_000, "traces that take turns, that is, are open at the same time")
	f.IntVar(&o.spansATrace, "spans-per-trace", 20, "spans of a trace")
	f.IntVar(&o.spanBytes, "span-bytes", 575, "size of a span message on the wire")
	f.Int64Var(&o.seed, "seed", 1, "of the traffic; the same seed makes the same bytes")
	f.IntVar(&o.recordBytes, "record-bytes", 256<<10, "size of the records in the log")
	f.StringVar(&o.compression, "compression", "zstd", "of the records in the log: zstd, lz4, snappy, gzip or none")
	f.DurationVar(&o.decisionWait, "decision-wait", 15*time.Second, "sampling.decision_wait; not with --hold")
	f.DurationVar(&o.rootWait, "root-wait", time.Second, "sampling.decision_wait_after_root_received; not with --hold")
	f.StringVar(&o.exportCompression, "export-compression", "gzip", "of what goes to the backend: gzip, Thresher's default, or none")
	f.StringVar(&o.memoryLimit, "memory-limit", "8GiB", "node.memory_limit")
	f.BoolVar(&o.hold, "hold", false, "decide nothing; measure the memory of a log that is buffered whole")
	f.BoolVar(&o.receive, "receive", false, "send the spans to Thresher's OTLP receiver; measure the receive path")
	f.BoolVar(&o.baseline, "baseline", false, "after each repeat, drain the same log with franz-go and do nothing with it")
	f.IntVar(&o.clients, "clients", 4, "gRPC connections with --receive")
	f.IntVar(&o.inFlight, "in-flight", 8, "requests under way on each connection with --receive")
	f.BoolVar(&o.clientGzip, "client-gzip", false, "clients compress requests, as the Collector does by default; with --receive")
	f.IntVar(&o.requestSpans, "request-spans", 500, "spans of one export request")
	f.IntVar(&o.repeats, "repeats", 3, "how often to measure")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "give one repeat up after this time")
	f.StringVar(&o.profiles, "profiles", "", "existing `directory` for CPU and heap profiles of Thresher; taking them costs it some per cent")
	f.IntVar(&o.profileSeconds, "profile-seconds", 10, "length of a CPU profile, which begins when the node has started")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	// How the program starts itself for --baseline.
	f.StringVar(&o.drain.Topic, "drain", "", "only drain this `topic` of --brokers and print what that took as JSON")
	f.Int64Var(&o.drain.Records, "drain-records", 0, "with --drain: how many records to wait for")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is not a flag; see --help", f.Arg(0))
	}
	if o.spans == 0 {
		o.spans = 5_000_000
		switch {
		case o.hold:
			o.spans = 1_000_000
		case o.receive:
			o.spans = 2_000_000
		}
	}
	switch {
	case o.embedded == (o.brokers != ""):
		return nil, errors.New("name a Kafka with --brokers host:port, or use --embedded")
	case o.hold && o.receive:
		return nil, errors.New("--hold and --receive are different scenarios; choose one")
	case o.exportCompression != "gzip" && o.exportCompression != "none":
		return nil, fmt.Errorf("--export-compression %q: the sink understands gzip and none", o.exportCompression)
	case o.spans < 1 || o.repeats < 1 || o.clients < 1 || o.inFlight < 1 || o.recordBytes < 1 || o.partitions < 1:
		return nil, errors.New("--spans, --repeats, --clients, --in-flight, --record-bytes and --partitions must be at least 1")
	}
	return o, nil
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.drain.Topic != "" {
		o.drain.Brokers = strings.Split(o.brokers, ",")
		return drainChild(ctx, o.drain, stdout)
	}
	b := &bench{options: o, say: func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }}
	r, err := b.run(ctx)
	if err != nil {
		return err
	}
	r.Figures, r.Binary = r.figures(), builtWith(o.binary)
	r.Command = strings.Join(append([]string{"throughput"}, args...), " ")
	if o.json {
		return r.writeJSON(stdout)
	}
	return r.writeText(stdout)
}

// traffic returns the spans of the workload, which are the same each time.
func (o *options) traffic() *shop.Uniform {
	return shop.NewUniform(shop.UniformConfig{
		Seed: o.seed, Base: time.Now(), SpanBytes: o.spanBytes, SpansPerTrace: o.spansATrace, OpenTraces: o.open,
		SpansPerRequest: o.requestSpans,
	})
}
