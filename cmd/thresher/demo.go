package main

import (
	"context"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	duration time.Duration // 0: until it is told to stop
	json     bool          // one JSON object at the end instead of the view
	rate     int           // spans a second that the shop makes
	seed     uint64        // of the shop: the same seed makes the same traces
	grpc     string        // host:port of OTLP over gRPC; port 0 takes a free one
	http     string        // of OTLP over HTTP
	listen   string        // of health, metrics and status
}

const (
	defaultRate = 2000
	mostRate    = 1_000_000
)

func newDemo(run func(context.Context, demoOptions, io.Writer, io.Writer) error) *cobra.Command {
	var options demoOptions
	var output string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a whole set-up in one process, with nothing else installed",
		Long: `Starts everything in this process: a Kafka-compatible broker in memory, Thresher,
a synthetic shop of about ten services that makes traces (errors, slow requests,
retries, late spans, a noisy health check), and a backend that takes the kept
ones. The view shows what is kept and dropped, by which policy, and what it saves.

Your own application can join: send OTLP to 127.0.0.1:4317 (gRPC) or
127.0.0.1:4318 (HTTP), for example with
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
Those of its traces that are kept are shown first.

Ctrl-C ends it. With --output json, standard output is one JSON object at the end
and nothing else. What next: deploy/thresher.yaml, "thresher validate --help".

Exit status: 0 every span is accounted for, 1 not, or it could not start.`,
		Example: `  thresher demo
  thresher demo --duration 20s --output json
  thresher demo --rate 20000 --seed 7
  thresher demo --otlp-grpc 127.0.0.1:14317 --otlp-http 127.0.0.1:14318 --listen 127.0.0.1:18080`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch output {
			case "text":
			case "json":
				options.json = true
			default:
				return usagef("--output is %q; write text or json", output)
			}
			if err := options.check(); err != nil {
				return err
			}
			return run(cmd.Context(), options, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&options.duration, "duration", 0, "end by itself after this `time`, such as 20s; 0s goes on until Ctrl-C")
	flags.StringVar(&output, "output", "text", "`FORMAT`: text (live view, or lines), json (one object at the end)")
	flags.IntVar(&options.rate, "rate", defaultRate, "`SPANS` a second that the shop makes")
	flags.Uint64Var(&options.seed, "seed", 1, "`NUMBER` that the shop's traces follow from")
	flags.StringVar(&options.grpc, "otlp-grpc", "127.0.0.1:4317", "`HOST:PORT` for OTLP over gRPC; port 0 takes a free one")
	flags.StringVar(&options.http, "otlp-http", "127.0.0.1:4318", "`HOST:PORT` for OTLP over HTTP")
	flags.StringVar(&options.listen, "listen", "127.0.0.1:8080", "`HOST:PORT` for health, metrics and status")
	return cmd
}

func (o demoOptions) check() error {
	if o.duration < 0 {
		return usagef("--duration is %v; write a positive time such as 20s, or 0s for no end", o.duration)
	}
	if o.rate < 1 || o.rate > mostRate {
		return usagef("--rate is %d; write 1 to %d spans a second", o.rate, mostRate)
	}
	for _, a := range []struct{ flag, value string }{{"otlp-grpc", o.grpc}, {"otlp-http", o.http}, {"listen", o.listen}} {
		_, port, err := net.SplitHostPort(a.value)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return usagef("--%s is %q; write host:port such as 127.0.0.1:4317", a.flag, a.value)
		}
	}
	return nil
}
