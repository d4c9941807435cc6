package shop

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A span that waits for its export. Times are nanoseconds of virtual time; the zero parent is a root.
type span struct {
	traceHi, traceLo uint64
	id, parent, link uint64
	start, end       int64
	user             uint32
	op               uint16
	variant          uint8
	pod              uint8
	failed           bool
	state            bool // the trace carries a trace state
	late             bool
}

// A tracer makes one trace at a time. It owns the generator, so the order of its calls is the traffic.
type tracer struct {
	cfg     Config
	catalog *catalogue
	random  *rand.PCG

	// Quantiles in 1/1024, rounded so that no machine's arithmetic shows: of a log-normal factor with median 1 on the
	// typical time of an op, and of the exponential pause between traces in means.
	spread [256]int64
	pauses [4096]int64
	mean   int64 // pause in nanoseconds

	spans   []span // of the trace being made, parents before children
	parents []int  // index of each span's parent in spans, -1 for the root
	current span   // what all spans of the trace have in common
	pods    [serviceCount]uint8
}

func newTracer(cfg Config, c *catalogue, seed uint64) *tracer {
	t := &tracer{cfg: cfg, catalog: c, random: rand.NewPCG(seed, 0x7368_6f70)}
	for i := range t.spread {
		p := (float64(i) + 0.5) / float64(len(t.spread))
		t.spread[i] = int64(math.Round(1024 * math.Exp(0.5*math.Sqrt2*math.Erfinv(2*p-1))))
	}
	for i := range t.pauses {
		p := (float64(i) + 0.5) / float64(len(t.pauses))
		t.pauses[i] = int64(math.Round(-1024 * math.Log(1-p)))
	}
	t.mean = int64(math.Round(float64(time.Second) / cfg.TracesPerSecond))
	return t
}

func (t *tracer) float() float64 { return float64(t.random.Uint64()>>11) / (1 << 53) }

func (t *tracer) happens(chance float64) bool { return chance > 0 && t.float() < chance }

func (t *tracer) below(n int) int { return int(t.random.Uint64() >> 33 % uint64(n)) }

func (t *tracer) id() uint64 {
	for {
		if id := t.random.Uint64(); id != 0 {
			return id
		}
	}
}

// between draws a time from a range.
func (t *tracer) between(least, most time.Duration) int64 {
	return int64(least) + int64(t.random.Uint64()>>1)%int64(most-least+1)
}

// pause until the next trace begins.
func (t *tracer) pause() int64 {
	return t.mean * t.pauses[t.below(len(t.pauses))] / 1024
}

// takes draws the time that something of a typical time takes.
func (t *tracer) takes(typical time.Duration) int64 {
	return int64(typical) * t.spread[t.random.Uint64()&0xFF] / 1024
}

// trace makes the trace that begins at a virtual time and tells what was done to it. Its spans are in t.spans until the next
// call; delay is how much later the late ones come.
func (t *tracer) trace(at int64, truth *Truth) (delay int64) {
	t.spans, t.parents = t.spans[:0], t.parents[:0]
	r := t.random.Uint64()
	t.current = span{
		traceHi: t.id(), traceLo: t.id(),
		user:    uint32(r % 100_000_000),
		variant: variantShare(r >> 32),
		state:   t.happens(t.cfg.TraceStateRate),
	}
	pods := t.random.Uint64() >> 8
	for s := range t.pods {
		t.pods[s] = uint8(pods % podsPerService)
		pods /= podsPerService
	}
	truth.Traces++

	if t.happens(t.cfg.HealthRate) {
		truth.HealthTraces++
		t.run(t.catalog.probes[t.below(len(t.catalog.probes))].root, -1, at)
		return 0
	}
	routes := t.catalog.routes
	if t.happens(t.cfg.LargeRate) {
		routes = t.catalog.large
		truth.LargeTraces++
	}
	t.run(t.pick(routes), -1, at)

	if t.happens(t.cfg.RetryRate) && t.retry() {
		truth.RetryTraces++
	}
	if t.happens(t.cfg.SlowRate) {
		truth.SlowTraces++
		t.stretch(t.spans[t.below(len(t.spans))].end-1, t.between(1200*ms, 6000*ms))
	}
	if t.happens(t.cfg.ErrorRate) {
		truth.ErrorTraces++
		t.fail()
	}
	if t.happens(t.cfg.LateRate) && t.hold() {
		truth.LateTraces++
		delay = t.between(t.cfg.LateBy, 2*t.cfg.LateBy)
	}
	return delay
}

func (t *tracer) pick(routes []route) *node {
	total := 0
	for _, r := range routes {
		total += r.weight
	}
	n := t.below(total)
	for _, r := range routes {
		if n < r.weight {
			return r.root
		}
		n -= r.weight
	}
	return routes[0].root
}

// run carries out a node from a time on, appends its span and those below it, and returns when it ends.
func (t *tracer) run(n *node, parent int, at int64) int64 {
	i := len(t.spans)
	o := &t.catalog.ops[n.op]
	s := t.current
	s.op, s.id, s.start, s.pod = n.op, t.id(), at, t.pods[o.service]
	if parent >= 0 {
		s.parent = t.spans[parent].id
		if o.kind == consumer {
			s.link = s.parent
		}
	}
	t.spans = append(t.spans, s)
	t.parents = append(t.parents, parent)

	own := t.takes(o.takes)
	if len(n.calls) == 0 {
		t.spans[i].end = at + own
		return at + own
	}
	at += own / 2
	for k := range n.calls {
		c := &n.calls[k]
		if c.chance < 1 && t.float() >= c.chance {
			continue
		}
		times := c.min
		if c.max > c.min {
			times += t.below(c.max - c.min + 1)
		}
		begin := at
		for range times {
			if c.parallel {
				at = max(at, t.run(c.node, i, begin))
			} else {
				at = t.run(c.node, i, at)
			}
		}
	}
	at += own / 2
	// A message is handed over: the producer's span ends without waiting for the consumer.
	if o.kind == producer {
		at = t.spans[i].start + own
	}
	t.spans[i].end = at
	return at
}

// stretch inserts a wait into the trace: what begins at the time or after it, or ends after it, does so later.
func (t *tracer) stretch(at, by int64) {
	for i := range t.spans {
		s := &t.spans[i]
		if s.start >= at {
			s.start += by
		}
		if s.end > at {
			s.end += by
		}
	}
}

// retry gives a call a first attempt that failed, and a link to it.
func (t *tracer) retry() bool {
	from := t.below(len(t.spans))
	for k := range t.spans {
		i := (from + k) % len(t.spans)
		if kind := t.catalog.ops[t.spans[i].op].kind; kind != httpClient && kind != rpcClient {
			continue
		}
		attempt := t.spans[i]
		attempt.id = t.id()
		attempt.failed = true
		took := t.takes(40 * ms)
		t.stretch(attempt.start, took)
		attempt.end = attempt.start + took*3/4
		t.spans[i].link = attempt.id
		// In front of what it precedes; parents before children still holds, as attempts have no children.
		t.spans = slices.Insert(t.spans, i, attempt)
		t.parents = slices.Insert(t.parents, i, t.parents[i])
		for j := i + 1; j < len(t.parents); j++ {
			if t.parents[j] >= i {
				t.parents[j]++
			}
		}
		return true
	}
	return false
}

// fail marks a span and what waits for it, up to the root: a failed request is one whose root failed.
func (t *tracer) fail() {
	for i := t.below(len(t.spans)); i >= 0; i = t.parents[i] {
		t.spans[i].failed = true
	}
}

// hold marks the spans of one process as late, though never the root. It reports whether there are any.
func (t *tracer) hold() bool {
	if len(t.spans) < 2 {
		return false
	}
	one := &t.spans[1+t.below(len(t.spans)-1)]
	service := t.catalog.ops[one.op].service
	for i := range t.spans {
		if s := &t.spans[i]; s.parent != 0 && t.catalog.ops[s.op].service == service {
			s.late = true
		}
	}
	return true
}
