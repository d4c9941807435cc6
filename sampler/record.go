package sampler

import (
	"encoding/binary"

	"thresher/buffer"
	"thresher/internal/tracestate"
	"thresher/internal/wire"
	"thresher/policies"
)

// record applies the spans of one record, as the visitor of wire.Walk.
type record struct {
	m       *Machine
	offset  Offset
	settled bool // the record lies before the place the machine was restored at

	// The headers that hold for the next span. They are given numbers when a span needs them: a record can be full of
	// headers without spans.
	resource, scope     []byte
	resourceID, scopeID uint32
	newResource         bool
	newScope            bool
	damaged             error // the resource cannot be decoded, so none of its spans can be

	// no is the number of spans of the record so far, of all traces.
	no uint32

	// messages are the ResourceSpans and ScopeSpans with spans so far; resourceNo and scopeNo are the numbers of the latest. They tell
	// messages with equal headers apart, of all records. A machine that reads the log again gives others, to the same effect.
	messages, resourceNo, scopeNo uint64

	span  wire.Span
	attrs []wire.Attr
	where policies.Context // of the span
	shape []byte

	late    []gathered
	invalid gathered
	reason  error

	moved  bool // a machine of another partition has moved the record here
	astray bool // the trace that the current span begins belongs to another partition
	moves  []gathered
	moveOf map[wire.TraceID]int // index into moves
}

// gathered are spans of one record that leave it together: late or misplaced spans of a trace, or invalid ones.
type gathered struct {
	ref     buffer.Ref // the decision that the late spans follow
	id      wire.TraceID
	kept    bool
	rescued bool
	policy  uint32
	share   float64
	to      int // the partition where misplaced ones belong
	spans   int
	stored  uint64
	chain   buffer.Chain
}

// serverSpace sets the spans of kind SERVER apart: instrumentation in the tradition of Zipkin gives a client span and its server
// span one ID, and they are two spans.
const serverSpace = 0x5851F42D4C957F2D

const kindServer = 2

// spanKey is what a span is recognised by within its trace: its ID and whether it is a server's. Never 0.
func spanKey(s *wire.Span) uint64 {
	k := binary.LittleEndian.Uint64(s.SpanID[:])
	if s.Kind == kindServer {
		k ^= serverSpace
	}
	return max(k, 1)
}

func (r *record) begin(o Offset) {
	r.offset, r.no = o, 0
	r.settled = r.m.resumed.Settles(o)
}

// Resource is called by wire.Walk.
func (r *record) Resource(header []byte) error {
	r.resource, r.newResource = header, true
	return nil
}

// Scope is called by wire.Walk.
func (r *record) Scope(header []byte) error {
	r.scope, r.newScope = header, true
	return nil
}

// number gives the current headers their numbers.
func (r *record) number() {
	until := r.m.clock.now + r.m.maxWait
	if r.newResource {
		r.newResource = false
		r.messages++
		r.resourceNo = r.messages
		r.resourceID = r.m.traces.Headers.Intern(r.resource, until)
		_, r.damaged = r.bits(r.m.active)
	}
	if r.newScope {
		r.newScope = false
		r.messages++
		r.scopeNo = r.messages
		r.scopeID = r.m.traces.Headers.Intern(r.scope, until)
	}
}

// bits returns what the current resource contributes under a policy set, which is computed once for each distinct resource.
func (r *record) bits(s *policySet) ([]uint64, error) {
	n, id := s.Plan.Words(), int(r.resourceID)
	if id >= len(s.known) {
		s.known = append(s.known, make([]bool, id+1-len(s.known))...)
		s.resources = append(s.resources, make([]uint64, len(s.known)*n-len(s.resources))...)
	}
	b := s.resources[id*n : id*n+n]
	if s.known[id] {
		return b, nil
	}
	var err error
	if r.attrs, err = wire.ScanResource(r.resource, s.Plan.Keys(), r.attrs[:0]); err != nil {
		return nil, err
	}
	clear(b)
	s.matcher.MatchResource(r.attrs, b)
	s.known[id] = true
	return b, nil
}

// Span is called by wire.Walk. A damaged span is counted and set aside; it never stops the others.
func (r *record) Span(raw []byte) error {
	r.apply(raw)
	r.no++
	if m := r.m; m.opened > m.limits.OpenBytes || len(m.evictions.pending) > 0 {
		m.evict(r.offset, r.no)
	}
	return nil
}

func (r *record) apply(raw []byte) {
	m := r.m
	if r.newResource || r.newScope {
		r.number()
	}
	err := r.damaged
	if err == nil {
		err = wire.ScanSpan(raw, m.active.Plan.Keys(), &r.span)
	}
	if err != nil {
		r.reject(raw, err)
		return
	}
	openRef, decidedRef := m.traces.Find(&r.span.TraceID)
	if decidedRef != 0 {
		d := m.traces.Decision(decidedRef)
		if !m.expired(d) {
			r.follow(decidedRef, d, raw)
			return
		}
		m.remember(d)
		m.traces.Forget(decidedRef)
	}
	var t *buffer.Trace
	if openRef == 0 {
		if r.leaves(raw) {
			return
		}
		openRef, t = r.open()
	} else {
		t = m.traces.Trace(openRef)
	}
	r.add(openRef, t, raw)
}

// open begins a trace with the current span.
func (r *record) open() (buffer.Ref, *buffer.Trace) {
	m, s := r.m, r.m.active
	ref, t := m.traces.Open(r.span.TraceID)
	t.Seq = m.queue.add(item{id: r.span.TraceID, offset: r.offset, time: m.clock.now, count: uint32(ref)})
	if r.settled {
		t.Rebuilt = true
		m.queue.set(t.Seq, again)
	}
	t.FirstOffset, t.LastOffset = int64(r.offset), int64(r.offset)
	t.FirstTime = m.clock.now
	t.Deadline = s.deadline(m.clock.now + s.DecisionWait)
	t.Randomness = policies.Randomness(r.span.TraceID)
	t.Misplaced = r.astray
	t.Set = s.no
	t.Matches = s.words.Alloc()
	m.opened += s.traceCost()
	m.deadlines.add(ref, t)
	return ref, t
}

// add adds the current span to an open trace.
func (r *record) add(ref buffer.Ref, t *buffer.Trace, raw []byte) {
	m := r.m
	t.LastSeen = m.clock.now
	count := &m.stats.Rebuilt
	if !t.Rebuilt {
		count = &m.stats.Received
		m.stats.BytesIn += uint64(len(raw))
		if t.Misplaced {
			m.stats.Misplaced++
		}
	}
	*count++
	s := m.sets[t.Set]
	fresh := m.traces.IDs.Add(&t.IDs, spanKey(&r.span))
	if fresh || s.Plan.Strict() { // the Collector does not recognise repeated spans
		r.contribute(s, t, raw)
	}
	if !fresh {
		t.Repeats++
		if !t.Rebuilt {
			m.stats.Duplicate++
		}
		if s.isTooLarge(t) {
			r.tooLarge(ref, t, s)
		}
		return
	}
	t.Spans++
	m.opened += spanCost
	t.SpanBytes += uint64(len(raw))
	if !t.Rebuilt {
		m.stats.InFlight++
		r.store(t, raw)
	}
	if r.span.Root() {
		t.HasRoot = true
		if d := s.deadline(m.clock.now + s.RootWait); s.RootWait > 0 && d < t.Deadline {
			m.deadlines.remove(t)
			t.Deadline = d
			m.deadlines.add(ref, t)
		}
	}
	t.LastOffset = int64(r.offset)
	if s.isTooLarge(t) {
		r.tooLarge(ref, t, s)
	}
}

// isTooLarge reports whether a trace has just grown over the limit. With `compat: strict` its size is what the Collector counts, which a
// repeated span adds to.
func (s *policySet) isTooLarge(t *buffer.Trace) bool {
	if s.MaxTraceBytes == 0 || t.Early {
		return false
	}
	if n := s.Plan.Size(s.words.At(t.Matches)); n > 0 {
		return n > s.MaxTraceBytes
	}
	return t.SpanBytes > s.MaxTraceBytes
}

// tooLarge makes a trace be decided at once; with the others of this tick, if policies depend on them.
func (r *record) tooLarge(ref buffer.Ref, t *buffer.Trace, s *policySet) {
	m := r.m
	t.Early = true
	if s.isAlone() {
		m.deadlines.remove(t)
		m.decide(ref)
		return
	}
	if d := s.deadline(m.clock.now + 1); d < t.Deadline {
		m.deadlines.remove(t)
		t.Deadline = d
		m.deadlines.add(ref, t)
	}
}

// contribute adds to the summary of an open trace what policies want to know of the current span.
func (r *record) contribute(s *policySet, t *buffer.Trace, raw []byte) {
	m := r.m
	if s != m.active { // it began under earlier policies, which look at other keys
		_ = wire.ScanSpan(raw, s.Plan.Keys(), &r.span) // it was scanned without error just now
	}
	r.stand(s)
	s.matcher.MatchSpan(&r.span, &r.where, s.words.At(t.Matches))
	if st := r.span.Start; st != 0 && (t.Start == 0 || st < t.Start) {
		t.Start = st
	}
	t.End = max(t.End, r.span.End)
	if len(r.span.TraceState) > 0 {
		r.randomness(t)
	}
	if n := s.Plan.ShapeBytes(); n > 0 && int(t.Shaped) < n*policies.MostShaped {
		r.shape = s.Plan.AppendShape(r.shape[:0], &r.span, &r.where)
		m.traces.Pages.Append(&t.Shape, r.shape)
		m.opened -= shapeCost(t)
		t.Shaped += uint32(len(r.shape))
		m.opened += shapeCost(t)
	}
}

// stand fills in what the current span stands in.
func (r *record) stand(s *policySet) {
	bits, _ := r.bits(s) // the resource was found sound when it came
	r.where = policies.Context{
		Resource: r.resource, Scope: r.scope, Matches: bits, Now: r.m.stamp, ResourceNo: r.resourceNo, ScopeNo: r.scopeNo,
	}
}

// randomness takes what the tracestate of the current span says about sampling into its trace. The first span that has a
// randomness tells it.
func (r *record) randomness(t *buffer.Trace) {
	ot, ok := tracestate.ScanOT(r.span.TraceState)
	if !ok {
		return
	}
	if ot.HasRV && !t.HasRV {
		t.Randomness, t.HasRV = ot.RV, true
	}
	if ot.HasTH {
		t.Head = max(t.Head, ot.TH)
	}
	t.Explicit = t.Explicit || ot.HasRV || ot.HasTH
}

// follow treats the current span as late: its trace is decided.
func (r *record) follow(ref buffer.Ref, d *buffer.Decided, raw []byte) {
	m := r.m
	was, first := d.Age, d.LastSeen-int64(d.Age)
	d.LastSeen = max(d.LastSeen, m.clock.now) // a decision from a checkpoint can be ahead of the log that is read again
	d.Age = age(d.LastSeen, first)
	if wait := m.waits.of(first); int64(was) <= wait && int64(d.Age) > wait {
		m.addLong(d.ID)
	}
	rescued := r.rescues(d, len(raw))
	fresh := !d.Kept || m.traces.AddLate(d, spanKey(&r.span))
	m.boundIDs(ref)
	if r.settled {
		m.stats.Rebuilt++
		return
	}
	m.stats.Received++
	m.stats.BytesIn += uint64(len(raw))
	switch {
	case !fresh:
		m.stats.Duplicate++
		return
	case d.Kept:
		m.stats.LateKept++
		m.stats.BytesKept += uint64(len(raw))
	default:
		m.stats.LateDropped++
		r.miss(d, first, len(raw))
		if !m.limits.DeliverDropped {
			return
		}
	}
	// Late may be left from an earlier record.
	if d.Late == 0 || int(d.Late) > len(r.late) || r.late[d.Late-1].ref != ref || rescued {
		r.late = append(r.late, gathered{ref: ref, id: d.ID, kept: d.Kept, policy: d.Policy, share: d.Share, rescued: d.Rescued})
		d.Late = uint32(len(r.late))
	}
	r.gather(&r.late[d.Late-1], raw)
}

// rescues makes the decision not to keep a trace one to keep it from now on, if the current span by itself matches a policy of
// rescue_on and no drop policy decided.
func (r *record) rescues(d *buffer.Decided, bytes int) bool {
	m, s := r.m, r.m.active
	if d.Kept || d.Dropped {
		return false
	}
	if len(s.rescueNo) == 0 {
		return false
	}
	r.stand(s)
	i := s.matcher.Rescues(&r.span, &r.where, bytes)
	if i < 0 {
		return false
	}
	d.Kept, d.Rescued, d.Policy, d.Share = true, true, s.rescueNo[i], 1
	m.rescued = append(m.rescued, rescue{d.ID, r.offset})
	if !r.settled {
		m.stats.RescuedTraces++
		m.stats.Policies[d.Policy].RescuedTraces++
	}
	return true
}

// reject sets a span aside that can be no part of a trace.
func (r *record) reject(raw []byte, reason error) {
	if r.settled {
		return
	}
	r.m.stats.Received++
	r.m.stats.Invalid++
	r.m.stats.BytesIn += uint64(len(raw))
	if r.invalid.spans == 0 {
		r.reason = reason
	}
	r.gather(&r.invalid, raw)
}

// gather stores the current span with its number in the record.
func (r *record) gather(g *gathered, raw []byte) {
	g.spans++
	g.stored += r.append(&g.chain, uint64(r.no), raw)
}

// end hands out what was gathered.
func (r *record) end() {
	for i := range r.late {
		r.m.deliverLate(&r.late[i])
	}
	clear(r.late)
	r.late = r.late[:0]
	r.moveOut()
	if g := &r.invalid; g.spans > 0 {
		m := r.m
		for _, p := range m.payloads(g.chain, nil) {
			m.fx.Invalid = append(m.fx.Invalid, Invalid{Offset: r.offset, Spans: p.Spans, Reason: r.reason.Error(), Payload: p.Payload})
		}
		m.traces.Pages.Free(&g.chain, buffer.PagesFor(g.stored))
		r.invalid, r.reason = gathered{}, nil
	}
	// Nothing here may hold on to the record: it shares its memory with a whole fetch.
	r.resource, r.scope, r.damaged, r.where = nil, nil, nil, policies.Context{}
	clear(r.span.Attrs[:cap(r.span.Attrs)])
	clear(r.attrs[:cap(r.attrs)])
	r.span = wire.Span{Attrs: r.span.Attrs[:0]}
}
