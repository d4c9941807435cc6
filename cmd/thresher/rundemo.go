package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"thresher/bench/shop"
	"thresher/internal/config"
	"thresher/internal/demo"
	"thresher/internal/kafka"
	"thresher/internal/node"
	"thresher/policies"
	"thresher/sampler"
)

const (
	visitors       = "otlp" // the receiver for whatever does not come from the shop
	demoPartitions = 8
	demoRetention  = 512 << 20 // bytes of spans on disk
	viewEvery      = 300 * time.Millisecond
	treeEvery      = time.Second
)

// runDemo is `thresher demo`: a broker, a node, a load, a backend and a view in one process.
func runDemo(ctx context.Context, o demoOptions, stdout, stderr io.Writer) error {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{Partitions: demoPartitions, RetentionBytes: demoRetention})
	if err != nil {
		return err
	}
	defer broker.Close()
	backend, err := demo.StartBackend()
	if err != nil {
		return err
	}
	defer backend.Stop()
	cfg, err := demoConfig(o, broker.Addr(), backend.Address())
	if err != nil {
		return err
	}

	d := &demoRun{options: o, cfg: cfg, started: time.Now(), ready: make(chan struct{})}
	d.node, err = node.New(cfg, node.Options{
		Logger:  slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Version: readBuild().version, Observe: d.observe, Ready: func() { close(d.ready) },
	})
	if err != nil {
		return err
	}
	return d.run(ctx, stdout)
}

func demoConfig(o demoOptions, broker, backend string) (*config.Config, error) {
	text := fmt.Sprintf(`
kafka:
  brokers: [%q]
  spans: {partitions: %d, retention: 1h, allow_create_time: true}
receivers:
  otlp:
    protocols:
      grpc: {endpoint: %q}
      http: {endpoint: %q}
  otlp/shop: # apart, so that what others send is counted
    protocols: {http: {endpoint: "127.0.0.1:0"}}
exporters:
  otlp_grpc/backend: {endpoint: %q, tls: {insecure: true}}
node: {listen: %q}
sampling:
%s`, broker, demoPartitions, o.grpc, o.http, backend, o.listen, "  "+strings.ReplaceAll(strings.TrimSpace(demo.Sampling), "\n", "\n  "))
	return config.Parse("demo", []byte(text), func(string) (string, bool) { return "", false })
}

type demoRun struct {
	options demoOptions
	cfg     *config.Config
	node    *node.Node
	started time.Time
	ready   chan struct{}
	latest  atomic.Pointer[sampler.Delivery] // of the shop
	nextAt  atomic.Int64                     // Unix nanoseconds from which on another latest trace is taken
	own     atomic.Pointer[sampler.Delivery] // of the user's own application
	owned   atomic.Uint64                    // traces of it that were kept
}

// observe keeps a kept trace now and then, for the view; of the user's own application each.
func (d *demoRun) observe(del *sampler.Delivery) {
	if !del.Kept || del.Late || del.Payload == nil {
		return
	}
	if demo.FromVisitor(del.Payload) {
		kept := *del
		d.own.Store(&kept)
		d.owned.Add(1)
		return
	}
	now := time.Now().UnixNano()
	if at := d.nextAt.Load(); !del.Complete || now < at || !d.nextAt.CompareAndSwap(at, now+int64(treeEvery)) {
		return
	}
	kept := *del
	d.latest.Store(&kept)
}

func (d *demoRun) run(ctx context.Context, stdout io.Writer) error {
	nodeCtx, stopNode := context.WithCancel(context.Background())
	defer stopNode()
	ended := make(chan error, 1)
	go func() {
		defer close(ended) // a node that ends by itself is asked about twice
		ended <- d.node.Run(nodeCtx)
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		stopNode()
		return <-ended
	case <-d.ready:
	}
	d.started = time.Now()
	loadCtx, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	if d.options.duration > 0 {
		loadCtx, stopLoad = context.WithTimeout(ctx, d.options.duration)
		defer stopLoad()
	}
	load := make(chan error, 1)
	go func() { load <- d.drive(loadCtx) }()
	err := d.watch(loadCtx, load, ended, stdout)
	stopLoad()
	d.settle()
	report := d.report()
	stopNode()
	if nodeErr := <-ended; err == nil {
		err = nodeErr
	}
	if err != nil {
		return err
	}
	if d.options.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(report); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	} else {
		fmt.Fprint(stdout, report.Summary())
	}
	if !report.Balanced() {
		return errors.New("the ledger does not balance: this is a defect of Thresher, please report it with the numbers above")
	}
	return nil
}

// watch shows what happens until the load has ended.
func (d *demoRun) watch(ctx context.Context, load, ended <-chan error, stdout io.Writer) error {
	var view *demo.View
	if out, ok := stdout.(*os.File); ok && !d.options.json {
		grpc, http := d.node.Addresses(visitors)
		view = demo.NewView(out, demo.About{OTLPgRPC: grpc, OTLPHTTP: http, Load: fmt.Sprintf("a shop of ten services, about %d spans/s", d.options.rate)})
		defer view.Close()
	}
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-load:
			return err
		case err := <-ended:
			if err == nil {
				err = errors.New("the node ended by itself")
			}
			return err
		case <-tick.C:
			if view != nil {
				view.Show(d.snapshot())
			}
		case <-ctx.Done():
			return <-load
		}
	}
}

// drive sends the shop's traffic to an OTLP port, as the user's application would.
func (d *demoRun) drive(ctx context.Context) error {
	cfg := shop.Default(int64(d.options.seed))
	cfg.TracesPerSecond = max(1, float64(d.options.rate)/shop.MeanSpans)
	cfg.Base = time.Now()
	_, address := d.node.Addresses("otlp/shop")
	url := "http://" + address + "/v1/traces"
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	driver := demo.Driver{Source: shop.New(cfg), Send: func(ctx context.Context, r shop.Request) error {
		return post(ctx, client, url, r.Data)
	}}
	return driver.Run(ctx)
}

// post sends a request until it is taken.
func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-protobuf")
		resp, err := client.Do(req)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
			_ = resp.Body.Close()
			switch {
			case resp.StatusCode == http.StatusOK:
				return nil
			case resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests:
				return fmt.Errorf("the OTLP receiver refused the shop's spans: %s: %q", resp.Status, answer)
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle waits until what was sent has been read, for a moment.
func (d *demoRun) settle() {
	deadline := time.Now().Add(3 * time.Second)
	for time.Now().Before(deadline) {
		s := d.node.Status()
		var sent uint64
		for _, r := range s.Receivers {
			sent += r.GRPC.Spans + r.HTTP.Spans
		}
		if s.Ledger.Received >= sent {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (d *demoRun) report() demo.Report { return d.reportOf(d.node.Status()) }

func (d *demoRun) reportOf(s node.Status) demo.Report {
	l := &s.Ledger
	r := demo.Report{
		ReceivedSpans: l.Received, KeptSpans: l.Kept, DroppedSpans: l.Dropped, LateKeptSpans: l.LateKept, LateDroppedSpans: l.LateDropped,
		DuplicateSpans: l.Duplicate, RejectedSpans: l.Invalid, InFlightSpans: l.InFlight, KeptTraces: l.KeptTraces, DroppedTraces: l.DroppedTraces,
		Policies: map[string]demo.PolicyTotal{}, BytesIn: l.BytesIn, BytesOut: l.BytesKept, Seconds: time.Since(d.started).Seconds(),
	}
	for _, p := range d.counts(s) {
		name := p.Name
		if name == "" {
			name = policies.Unmatched
		}
		r.Policies[name] = demo.PolicyTotal{Traces: p.Traces, Spans: p.Spans}
	}
	return r
}

// counts are the policies in the order of the configuration, unmatched traces at the end. A policy either keeps or drops.
func (d *demoRun) counts(s node.Status) []demo.PolicyCount {
	var out []demo.PolicyCount
	for _, p := range d.cfg.Plan.Policies() {
		c := s.Policies[p.Name]
		out = append(out, demo.PolicyCount{Name: p.Name, Drops: p.Type == "drop", Traces: c.KeptTraces + c.DroppedTraces, Spans: c.KeptSpans + c.DroppedSpans})
	}
	c := s.Policies[policies.Unmatched]
	return append(out, demo.PolicyCount{Drops: true, Traces: c.DroppedTraces, Spans: c.DroppedSpans})
}

func (d *demoRun) snapshot() demo.Snapshot {
	s := d.node.Status()
	snap := demo.Snapshot{
		Elapsed: time.Since(d.started), Planned: d.options.duration, Report: d.reportOf(s), Policies: d.counts(s),
		OpenTraces: uint64(s.OpenTraces), BufferedBytes: uint64(s.Buffered), MemoryBytes: s.Memory, Notice: strings.Join(s.NotReady, "; "),
	}
	snap.OwnSpans, snap.OwnTraces = s.Receivers[visitors].GRPC.Spans+s.Receivers[visitors].HTTP.Spans, d.owned.Load()
	snap.Latest, snap.Own = d.kept(d.latest.Load()), d.kept(d.own.Load())
	return snap
}

// kept makes a trace ready to be shown.
func (d *demoRun) kept(k *sampler.Delivery) *demo.Kept {
	if k == nil {
		return nil
	}
	tree, err := demo.ReadTree(k.Payload)
	if err != nil {
		return nil
	}
	return &demo.Kept{Tree: tree, Policy: k.Policy, Reason: reason(d.cfg.Plan, k)}
}

// reason says why a trace was kept: what the deciding policy asks for, and which others would have kept it too.
func reason(plan *policies.Plan, k *sampler.Delivery) string {
	var why []string
	for _, p := range plan.Policies() {
		if p.Name == k.Policy {
			why = append(why, p.Text)
		}
	}
	if others := slices.DeleteFunc(slices.Clone(k.Matched), func(name string) bool { return name == k.Policy }); len(others) > 0 {
		why = append(why, "also "+strings.Join(others, ", "))
	}
	if k.Probability < 1 {
		why = append(why, fmt.Sprintf("stands for %.3g like it", 1/k.Probability))
	}
	return strings.Join(why, "; ")
}
