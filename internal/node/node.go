package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"thresher/buffer"
	"thresher/internal/config"
	"thresher/internal/export"
	"thresher/internal/kafka"
	"thresher/internal/offheap"
	"thresher/internal/receive"
	"thresher/sampler"
)

// Options are what code wires, as opposed to what users configure.
type Options struct {
	Logger  *slog.Logger
	Version string
	// Observe, if not nil, sees every delivery before it is sent. It is called from the partitions' goroutines and must be
	// quick, and must not change the payload.
	Observe func(*sampler.Delivery)
	// Ready, if not nil, is called once, when the node has begun to work.
	Ready func()
}

const (
	starting int32 = iota
	running
	draining
)

var stateNames = [...]string{"starting", "running", "draining"}

// How long the steps of a drain may take; together they stay below five seconds.
const (
	receiversGrace = 1500 * time.Millisecond
	publishGrace   = 500 * time.Millisecond
	deliveryGrace  = 1200 * time.Millisecond
	commitGrace    = 700 * time.Millisecond
	shutdownGrace  = 500 * time.Millisecond
)

// Node is one process of Thresher. Make it with New and run it once.
type Node struct {
	cfg      *config.Config
	opts     Options
	log      *slog.Logger
	started  time.Time
	state    atomic.Int32
	budget   budget
	limits   sampler.Limits
	settings sampler.Settings

	client      *kafka.Client
	checkpoints *kafka.Checkpoints
	rejecter    *kafka.Rejecter
	commits     *commits
	sealer      *sealer
	delivery    *export.Delivery
	receivers   []*receiver
	receiving   *receive.Memory    // of all receivers
	accumulator *kafka.Accumulator // under mu; nil before the receivers start
	slabs       *offheap.Slabs     // memory for spans
	readers     chan struct{}      // slots for reading spilled traces again
	complaints  complaints
	ends        atomic.Pointer[logEnds] // nil before the first answer
	forgot      atomic.Uint64           // partitions taken over without all that is needed to remember decisions
	mover       *mover                  // nil: nothing is moved
	stopping    chan struct{}           // closed when the partitions are told to stop

	mu      sync.RWMutex
	runners map[int32]*runner
	address string // of the HTTP server
}

// receiver is a receiver and its name.
type receiver struct {
	name string
	*receive.Receiver
}

// New prepares a node. It opens nothing but reads certificates.
func New(cfg *config.Config, opts Options) (*Node, error) {
	n := &Node{
		cfg: cfg, opts: opts, log: opts.Logger, started: time.Now(),
		budget:   shareMemory(int64(cfg.Node.MemoryLimit)),
		slabs:    &offheap.Slabs{},
		stopping: make(chan struct{}),
		runners:  map[int32]*runner{},
	}
	partitions := int64(cfg.Kafka.Spans.Partitions)
	n.settings = sampler.Settings{
		Plan:          cfg.Plan,
		DecisionWait:  cfg.Sampling.DecisionWait.Milliseconds(),
		RootWait:      cfg.Sampling.DecisionWaitAfterRoot.Milliseconds(),
		MaxTraceBytes: uint64(cfg.Sampling.MaxTraceBytes),
		Marks:         cfg.Sampling.Marks,
	}
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // never fails
	n.limits = sampler.Limits{
		Seed:           buffer.Seed{binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])},
		Slabs:          n.slabs,
		LateWindow:     cfg.Sampling.LateWindow.Milliseconds(),
		DeliverDropped: len(cfg.Routes.Dropped) > 0,
		Partitions:     cfg.Kafka.Spans.Partitions,
		MoveMisplaced:  cfg.Kafka.Spans.Misplaced == kafka.MoveMisplaced,
		// Below what a Kafka broker takes as one message unless it is told otherwise, with room for headers; and what the spans topic
		// takes, for spans that are moved.
		MaxPayload: min(768<<10, cfg.Kafka.Spans.MaxRecordBytes/2),
	}
	n.budget.bound(&n.limits, partitions)
	n.budget.boundReading(cfg)
	n.budget.boundProducing(cfg)
	n.receiving = receive.NewMemory(n.budget.share(receiveShare))
	n.readers = make(chan struct{}, n.budget.readers())
	if _, err := sampler.New(n.limits, n.settings); err != nil {
		return nil, err
	}
	var err error
	if n.client, err = kafka.New(cfg.Kafka, n.log.With("part", "kafka")); err != nil {
		return nil, err
	}
	if n.sealer, err = newSealer(); err != nil {
		return nil, err
	}
	n.checkpoints, n.rejecter = n.client.Checkpoints(), n.client.NewRejecter()
	n.commits = &commits{store: n.checkpoints, log: n.log, waiting: map[int32]kafka.Committed{}}
	return n, nil
}

// Run works until ctx ends and then drains, which takes less than five seconds. It returns nil if that is why it
// ended. Parts start downstream first and stop upstream first, so that nothing is ever handed to a part that is not there.
func (n *Node) Run(ctx context.Context) error {
	defer func() {
		n.client.Close()
		n.log.Info("stopped", "after", time.Since(n.started).Round(time.Millisecond))
	}()
	registry, meters, err := newMetrics(n)
	if err != nil {
		return err
	}
	defer func() { _ = meters.Shutdown(context.Background()) }()
	web, err := n.serve(registry)
	if err != nil {
		return err
	}
	defer web.stop()
	n.mu.Lock()
	n.address = web.addr
	n.mu.Unlock()
	n.log.Info("starting", "version", n.opts.Version, "http", web.addr, "memory_limit", n.budget.limit,
		"buffer_bytes", n.budget.buffer, "delivery_bytes", n.budget.delivery, "receive_bytes", n.receiving.Limit())
	n.log.Info("this node reads the topic, and delivers what its policies say", "brokers", strings.Join(n.cfg.Kafka.Brokers, ","),
		"topic", n.cfg.Kafka.Spans.Topic, "partitions", n.cfg.Kafka.Spans.Partitions, "group", n.cfg.Kafka.Group,
		"kept_to", export.Destinations(n.cfg.Routes.Kept), "dropped_to", cmp.Or(export.Destinations(n.cfg.Routes.Dropped), "nobody"))

	if err := n.client.Ensure(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	err = n.startDelivery(ctx)
	defer func() {
		if n.delivery == nil {
			return
		}
		grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		if err := n.delivery.Shutdown(grace); err != nil {
			n.log.Warn("exporters did not close cleanly", "error", err)
		}
	}()
	if err != nil {
		return unlessStopped(ctx, err)
	}

	if n.limits.MoveMisplaced {
		if n.mover, err = n.newMover(); err != nil {
			return err
		}
		defer n.mover.producer.Close()
	}
	partitions, err := n.startPartitions(ctx)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	defer partitions.stop()

	producer, err := n.client.NewProducer()
	if err != nil {
		return err
	}
	defer producer.Close()
	accumulator := kafka.NewAccumulator(producer)
	n.mu.Lock()
	n.accumulator = accumulator
	n.mu.Unlock()
	defer func() {
		grace, cancel := context.WithTimeout(context.Background(), publishGrace)
		defer cancel()
		_ = accumulator.Close(grace) // what is not acknowledged was not acknowledged to its client either
	}()
	if err := n.startReceivers(ctx, publisher{accumulator}, producer.MaxValue()); err != nil {
		return unlessStopped(ctx, err)
	}
	defer n.stopReceivers()

	n.state.Store(running)
	n.log.Info("running", "partitions", len(n.runners), "receivers", len(n.receivers))
	if n.opts.Ready != nil {
		n.opts.Ready()
	}
	select {
	case <-ctx.Done():
		n.log.Info("draining: undecided traces stay in Kafka and are decided whole later")
	case err = <-partitions.failed:
	}
	n.state.Store(draining)
	return err
}

// unlessStopped turns the error of a start that was interrupted into none.
func unlessStopped(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

func (n *Node) startDelivery(ctx context.Context) error {
	delivery, err := export.New(n.cfg.Exporters, n.cfg.Routes, export.Options{
		Logger:        n.log.With("part", "export"),
		MaxBytes:      n.budget.delivery,
		ShutdownGrace: shutdownGrace / 2,
		Ack: func(partition int32, seq uint64) {
			if r := n.runner(partition); r != nil {
				r.acks.add(seq)
			}
		},
		Reject: func(payload []byte, reason, exporter string, done func()) {
			n.rejecter.Reject(kafka.Rejected{Reason: fmt.Sprintf("refused by %s: %s", exporter, reason), Value: payload}, done)
		},
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.delivery = delivery
	n.mu.Unlock()
	return delivery.Start(ctx)
}

// partitions is the reading side: the reader and the runners.
type partitions struct {
	n      *Node
	failed chan error
	halt   context.CancelFunc // the runners
	end    context.CancelFunc // the reader and the commits
	finish context.Context
	limit  context.CancelFunc
	work   sync.WaitGroup // runners
	rest   sync.WaitGroup // reader, commits
}

// startPartitions restores every partition from its checkpoint and begins to read.
func (n *Node) startPartitions(ctx context.Context) (*partitions, error) {
	reader, err := n.client.NewReader()
	if err != nil {
		return nil, err
	}
	started := false
	defer func() {
		if !started { // nobody else closes it
			over, cancel := context.WithCancel(ctx)
			cancel()
			_ = reader.Run(over)
		}
	}()
	all := make([]int32, n.cfg.Kafka.Spans.Partitions)
	for i := range all {
		all[i] = int32(i)
	}
	known, err := n.lookUp(ctx, all)
	if err != nil {
		return nil, err
	}
	runners := make([]*runner, len(all))
	from := make([]int64, len(all))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, p := range all {
		g.Go(func() (err error) {
			runners[p], from[p], err = n.newRunner(gctx, known[p])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}

	q := &partitions{n: n, failed: make(chan error, 1)}
	background := context.Background()
	var work, rest context.Context
	work, q.halt = context.WithCancel(background)
	rest, q.end = context.WithCancel(background)
	q.finish, q.limit = context.WithCancel(background)
	for _, p := range all {
		runners[p].reader = reader
		if runners[p].feed, err = reader.Assign(p, from[p]); err != nil {
			q.end()
			q.halt()
			q.limit()
			return nil, err
		}
		runners[p].publish()
	}
	started = true
	n.mu.Lock()
	for p, r := range runners {
		n.runners[int32(p)] = r
	}
	n.mu.Unlock()
	for _, r := range runners {
		q.work.Go(func() { r.run(work, q.finish) })
	}
	q.rest.Go(func() {
		if err := reader.Run(rest); err != nil && !errors.Is(err, context.Canceled) {
			q.failed <- err
		}
	})
	q.rest.Go(func() { n.commits.run(rest) })
	q.rest.Go(func() { n.watch(rest, all) })
	return q, nil
}

// newRunner makes the runner of a partition, and says where to read from.
func (n *Node) newRunner(ctx context.Context, t *takeover) (*runner, int64, error) {
	m, from, err := n.restore(ctx, t)
	if err != nil {
		return nil, 0, err
	}
	r := &runner{
		n: n, partition: t.partition, log: n.log.With("partition", t.partition), begun: time.Now(), rejects: newRejects(n.budget.rejects(n.cfg.Kafka.Spans.Partitions)),
		savedAcked: make(chan savedCheckpoint, 1), gathered: make(chan gathered), ticked: make(chan ticked, 1),
	}
	r.own(t, m)
	r.acks.ready = make(chan struct{}, 1)
	return r, from, nil
}

// stop ends the runners, then what they need.
func (q *partitions) stop() {
	time.AfterFunc(deliveryGrace, q.limit)
	close(q.n.stopping)
	q.halt()
	q.work.Wait()
	for _, r := range q.n.runners {
		r.machine.Release()
	}
	q.n.slabs.Close()
	q.limit()
	q.end()
	q.rest.Wait()
	grace, cancel := context.WithTimeout(context.Background(), commitGrace)
	defer cancel()
	if err := q.n.commits.flush(grace); err != nil {
		q.n.log.Warn("the last offsets were not committed; the checkpoints have them", "error", err)
	}
}

// web returns where the HTTP server listens; empty before it does.
func (n *Node) web() string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.address
}

// deliveries is nil before there is a delivery.
func (n *Node) deliveries() *export.Delivery {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.delivery
}

func (n *Node) runner(partition int32) *runner {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.runners[partition]
}

// views returns the latest copy of each runner's state.
func (n *Node) views() []*view {
	n.mu.RLock()
	defer n.mu.RUnlock()
	out := make([]*view, 0, len(n.runners))
	for _, r := range n.runners {
		if v := r.view.Load(); v != nil {
			out = append(out, v)
		}
	}
	return out
}

// notReady says why spans are not taken in and decided at the moment; nothing if they are.
func (n *Node) notReady() []string {
	var why []string
	switch n.state.Load() {
	case draining:
		return []string{"draining"}
	case starting:
		why = append(why, "starting")
	}
	if s := n.client.Stats(); !s.Connected {
		why = append(why, "Kafka: "+s.Problem)
	}
	if err := n.rejecter.Problem(); err != nil {
		why = append(why, "the rejected topic: "+err.Error())
	}
	if d := n.deliveries(); d != nil {
		why = append(why, d.NotReady()...)
	}
	building := 0
	for _, v := range n.views() {
		if v.building {
			building++
		}
	}
	if building > 0 {
		why = append(why, fmt.Sprintf("%d partitions are still read again to rebuild memory", building))
	}
	return why
}
