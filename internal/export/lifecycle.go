package export

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Start opens the exporters and begins to send what was submitted. The context bounds the opening only. Backends need
// not be there.
func (d *Delivery) Start(ctx context.Context) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.started || d.ended {
		return errors.New("a delivery starts once")
	}
	for i, e := range d.exporters {
		s, err := d.open(ctx, e.id, d.cfg.Exporters[e.id])
		if err != nil {
			for _, opened := range d.exporters[:i] {
				err = errors.Join(err, opened.sender.close())
			}
			return fmt.Errorf("exporter %s: %w", e.id, err)
		}
		e.sender = s
	}
	stop, requests := context.Background(), context.Background()
	stop, d.stop = context.WithCancel(stop)
	requests, d.hangUp = context.WithCancel(requests)
	for _, e := range d.exporters {
		d.loops.Go(func() { e.run(stop, requests, &d.inFlight) })
	}
	d.started = true
	return nil
}

// open makes the sender of a configuration.
func (d *Delivery) open(ctx context.Context, id string, settings any) (sender, error) {
	// Opened again later, the context of the start is over.
	again := context.WithoutCancel(ctx)
	logger := d.opts.Logger.With("exporter", id)
	switch cfg := settings.(type) {
	case *GRPCConfig:
		return openReloading(&cfg.Client.TLS, logger, func() (sender, error) { return openGRPC(again, cfg, d.opts) })
	case *HTTPConfig:
		return openReloading(&cfg.Client.TLS, logger, func() (sender, error) { return openHTTP(again, cfg, d.opts) })
	case *KafkaConfig:
		return openReloading(cfg.TLS, logger, func() (sender, error) { return openKafka(again, cfg) })
	case *FileConfig:
		return openFile(cfg, logger)
	case *DebugConfig:
		return &debugSender{id: id, verbosity: cfg.Verbosity, out: d.opts.Debug}, nil
	case opener: // tests
		return cfg.open()
	}
	return nil, fmt.Errorf("unknown settings %T", settings)
}

// Shutdown stops sending, and drops what is unacknowledged: the log still has it. Requests in flight get ShutdownGrace to
// finish. No Ack comes after it has returned. It may be called more than once, and before Start. The error says what did
// not end in time, or did not close well.
func (d *Delivery) Shutdown(ctx context.Context) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.ended {
		return nil
	}
	d.ended = true
	defer d.close()
	if !d.started {
		return nil
	}
	d.stop()
	quiet := make(chan struct{})
	go func() {
		d.loops.Wait() // before inFlight: only loops add to it
		d.inFlight.Wait()
		close(quiet)
	}()
	grace := time.NewTimer(d.opts.ShutdownGrace)
	defer grace.Stop()
	select {
	case <-quiet:
	case <-grace.C:
	case <-ctx.Done():
	}
	d.hangUp()
	select {
	case <-quiet:
	case <-ctx.Done():
		// Senders return soon after their context ends, so give them that moment even when ctx is over.
		grace.Reset(100 * time.Millisecond)
		select {
		case <-quiet:
		case <-grace.C:
			return fmt.Errorf("exporters still have requests in flight: %w", ctx.Err())
		}
	}
	var err error
	for _, e := range d.exporters {
		if cerr := e.sender.close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("close exporter %s: %w", e.id, cerr))
		}
	}
	return err
}

// close ends all tenures: from here on nobody is acknowledged.
func (d *Delivery) close() {
	d.mu.Lock()
	d.closed = true
	tenures := slices.Collect(maps.Values(d.partitions))
	clear(d.partitions)
	d.mu.Unlock()
	for _, p := range tenures {
		p.forget()
	}
}
