package export

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Delivery sends traces to exporters. See the package comment.
type Delivery struct {
	opts      Options
	cfg       Config
	exporters []*exporter
	byClass   [numClasses][]*exporter
	required  [numClasses]int32
	budget    *budget

	mu         sync.Mutex
	partitions map[int32]*partition // the present tenures
	closed     bool

	life     sync.Mutex // Start and Shutdown
	started  bool
	ended    bool
	stop     context.CancelFunc // ends the loops
	hangUp   context.CancelFunc // ends the requests
	loops    sync.WaitGroup
	inFlight sync.WaitGroup
}

// New prepares a delivery. It opens nothing.
func New(cfg Config, routes Routes, opts Options) (*Delivery, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Ack == nil {
		opts.Ack = func(int32, uint64) {}
	}
	if opts.Reject == nil {
		opts.Reject = func(_ []byte, _, _ string, done func()) { done() }
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 256 << 20
	}
	if opts.ShutdownGrace <= 0 {
		opts.ShutdownGrace = time.Second
	}
	if opts.Debug == nil {
		opts.Debug = os.Stderr
	}
	d := &Delivery{opts: opts, cfg: cfg, partitions: map[int32]*partition{}}
	byID := map[string]*exporter{}
	bestEffort := 0
	for class := range numClasses {
		for _, route := range routes.Of(class) {
			settings, known := cfg.Exporters[route.Exporter]
			if !known {
				return nil, fmt.Errorf("route %s: no exporter %q; there are: %s", class, route.Exporter, strings.Join(cfg.IDs(), ", "))
			}
			e := byID[route.Exporter]
			if e == nil {
				e = d.newExporter(route.Exporter, settings)
				byID[route.Exporter] = e
			}
			if e.routed[class] {
				return nil, fmt.Errorf("route %s: exporter %q is in it twice", class, route.Exporter)
			}
			e.routed[class], e.required[class] = true, route.Required
			d.byClass[class] = append(d.byClass[class], e)
			if route.Required {
				d.required[class]++
			}
		}
	}
	d.exporters = slices.SortedFunc(maps.Values(byID), func(a, b *exporter) int { return strings.Compare(a.id, b.id) })
	for _, e := range d.exporters {
		if e.bestEffortFor() {
			bestEffort++
		}
	}
	// Best-effort exporters get an eighth of the budget each, and half of it together at most.
	left := opts.MaxBytes
	for _, e := range d.exporters {
		if e.bestEffortFor() {
			e.share = opts.MaxBytes / int64(max(8, 2*bestEffort))
			left -= e.share
		}
	}
	d.budget = newBudget(left)
	return d, nil
}

func (d *Delivery) newExporter(id string, settings any) *exporter {
	batching, retry := batchingOf(settings), defaultRetry()
	if r := retryOf(settings); r != nil {
		retry = *r
	}
	return &exporter{
		id:       id,
		batching: batching,
		retry:    retry,
		rejects:  onRefusal(settings) == "reject",
		delivery: d,
		log:      newNotices(d.opts.Logger, id),
		random:   rand.Float64,
		wake:     make(chan struct{}, 1),
		maxBytes: batching.MaxBatchBytes,
	}
}

// Submit queues items. It never blocks; see Full for what keeps the queue bounded. After Shutdown it does nothing.
func (d *Delivery) Submit(items []Item) {
	if len(items) == 0 {
		return
	}
	now := time.Now()
	entries := make([]entry, len(items))
	var classes [numClasses][]*entry
	var bytes int64
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	for i := range items {
		en := &entries[i]
		en.Item = items[i]
		en.size = int64(len(en.Payload)) + entryOverhead
		en.submitted = now
		en.part = d.partitions[en.Partition]
		if en.part == nil {
			en.part = &partition{}
			d.partitions[en.Partition] = en.part
		}
		en.pending.Store(d.required[en.Class])
		en.holders.Store(int32(len(d.byClass[en.Class])))
		if d.required[en.Class] > 0 {
			bytes += en.size
		}
		classes[en.Class] = append(classes[en.Class], en)
	}
	d.mu.Unlock()
	if bytes > 0 {
		d.budget.add(bytes)
	}
	for class, list := range classes {
		if len(list) == 0 {
			continue
		}
		for _, e := range d.byClass[class] {
			if discarded := e.enqueue(list); len(discarded) > 0 {
				e.discard(discarded, now)
			}
		}
		if d.required[class] == 0 {
			for _, en := range list {
				en.part.acknowledge(d.opts.Ack, &en.Item)
			}
		}
	}
}

// settle notes that an exporter is done with an entry. The last required one acknowledges it.
func (d *Delivery) settle(en *entry, required bool) {
	if required && en.pending.Add(-1) == 0 {
		if !en.part.forgotten.Load() {
			en.part.acknowledge(d.opts.Ack, &en.Item)
		}
		d.budget.release(en.size)
	}
	if en.holders.Add(-1) == 0 {
		en.Payload = nil // its neighbours of the same Submit may live on
	}
}

// Wants reports whether a class has any route: if not, its items are acknowledged unseen and need no payload.
func (d *Delivery) Wants(c Class) bool { return len(d.byClass[c]) > 0 }

// Full reports whether the byte budget is used up: stop reading until Ready.
func (d *Delivery) Full() bool {
	_, full, _ := d.budget.state()
	return full
}

// Ready returns a channel that is closed as soon as the delivery is not, or no longer, full. The delivery may be full
// again when the receiver gets to run: check Full anew.
func (d *Delivery) Ready() <-chan struct{} {
	_, _, ready := d.budget.state()
	return ready
}

// Forget discards what is queued of a partition that was released. No Ack for it comes after Forget has returned, unless
// items of it are submitted again.
func (d *Delivery) Forget(partition int32) {
	d.mu.Lock()
	p := d.partitions[partition]
	delete(d.partitions, partition)
	d.mu.Unlock()
	if p == nil {
		return
	}
	p.forget()
	for _, e := range d.exporters {
		e.forget(p)
		e.nudge()
	}
}
