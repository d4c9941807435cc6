package main

import (
	"context"
	"errors"
	"fmt"
)

// runReceive measures nodes that get the spans from clients, each beside one that only reads the same log.
func (b *bench) runReceive(ctx context.Context, r *report) error {
	for i := range b.repeats {
		p, err := b.receiveOnce(ctx, r, i+1)
		if err != nil {
			return err
		}
		b.say("repeat %d of %d: receiving takes %.0f ns a span", i+1, b.repeats, p.ReceiveNanos)
		r.Receives = append(r.Receives, *p)
	}
	return nil
}

// taken compares a node that receives and reads with one that only reads.
type taken struct {
	Both measurement `json:"receive_and_read"`
	Read measurement `json:"read_again"`
	Log  logged      `json:"log"`

	ReceiveNanos  float64 `json:"receive_cpu_nanoseconds_per_span"`
	ReadNanos     float64 `json:"read_cpu_nanoseconds_per_span"`
	ReceivedACore float64 `json:"received_spans_per_second_per_core"`
}

func (b *bench) receiveOnce(ctx context.Context, r *report, i int) (*taken, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	topic := fmt.Sprintf("%s-%d", b.name, i)
	kc, err := b.client(ctx, topic)
	if err != nil {
		return nil, err
	}
	kc.Close()
	to, err := startSink()
	if err != nil {
		return nil, err
	}
	defer to.stop()
	c := b.nodeConfig(to, topic, fmt.Sprintf("receive-%d", i))
	if c.OTLP, err = freeAddress(); err != nil {
		return nil, err
	}
	n, err := startNode(b.binary, c)
	if err != nil {
		return nil, err
	}
	t := &taken{}
	err = b.receiveWith(ctx, n, c.OTLP, fmt.Sprintf("receive-%d", i), &t.Both, to)
	if err = errors.Join(err, n.stop()); err != nil {
		return nil, err
	}
	t.Log = logged{Topic: topic, Partitions: b.partitions, Spans: t.Both.Pushed.Spans, SpanBytes: t.Both.Pushed.Spans * int64(b.spanBytes)}
	t.Log.Stored = b.stored(ctx, topic)
	if t.Log.Records, err = b.records(ctx, topic); err != nil {
		return nil, err
	}
	read, err := b.readOnce(ctx, &t.Log, fmt.Sprintf("again-%d", i), func(s *nodeStatus, n int64) bool { return s.Ledger.Received >= n })
	if err != nil {
		return nil, err
	}
	t.Read = *read
	spans := float64(t.Log.Spans)
	t.ReadNanos = t.Read.ReadCPU / spans * 1e9
	t.ReceiveNanos = t.Both.ReadCPU/spans*1e9 - t.ReadNanos
	t.ReceivedACore = 1e9 / t.ReceiveNanos
	r.Log = t.Log
	return t, nil
}

func (b *bench) receiveWith(ctx context.Context, n *node, address, name string, m *measurement, to *sink) error {
	var start measurement
	if _, err := start.watch(ctx, n, 0, func(s *nodeStatus) bool { return s.Ready }); err != nil {
		return err
	}
	profiled := b.profile(ctx, n, name)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var sent pushed
	acknowledged := make(chan struct{})
	go func() {
		defer close(acknowledged)
		var err error
		if sent, err = push(ctx, b.options, address); err != nil {
			cancel(err)
		}
	}()
	s, err := m.watch(ctx, n, int64(b.spans), func(s *nodeStatus) bool {
		select {
		case <-acknowledged:
			return s.Ledger.Received >= sent.Spans
		default:
			return false
		}
	})
	if err != nil {
		cancel(err)
		<-acknowledged
		return err
	}
	<-profiled
	m.Pushed = &sent
	m.ReadCPU, m.ReadWall = m.CPU, m.Wall // what is received is read meanwhile
	m.conclude(&s, b.spanBytes, to)
	return nil
}
