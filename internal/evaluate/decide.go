package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"thresher/internal/config"
	"thresher/internal/wire"
	"thresher/policies"
	"thresher/sampler"
)

// A Result is what is decided about a trace.
type Result struct {
	TraceID     wire.TraceID
	Kept        bool
	Policy      string   // that decided; empty: none matched
	Matched     []string // every policy of the list that matched
	Erred       []string // policies in which a condition could not be evaluated for a span, and was true of none
	Probability float64  // of keeping such a trace; 0 for one that is dropped
	Spans       int      // that are handed on if it is kept: each once, however often it came
	Repeats     int      // spans that came again: policies see them with compat: strict only, and nobody is sent them
	Bytes       uint64   // of the spans without these
	Complete    bool     // a root span is among them
	Sole        bool     // no other policy would have kept it
	Early       bool     // decided by maximum_trace_size_bytes, on the spans up to there

	Start, End uint64 // Unix nanoseconds: the smallest and largest known, 0: none
	Service    string // of the root span, or without one of the span that starts first
	Operation  string // its name

	Why []policies.Explanation // if it was asked for
}

// Options are what is asked for besides verdicts.
type Options struct {
	// Explain says of which traces each condition is wanted. nil: of none.
	Explain func(wire.TraceID) bool
	// Erred, if not nil, is told at the end why conditions could not be evaluated, at most once of each policy.
	Erred func(policy, why string)
}

// largestRecord is what the log could hold of one trace.
const largestRecord = math.MaxInt32

// Decide decides all traces, in the order of their ends, and gives each result to each. The error is that of ctx, or says
// which trace cannot be decided.
func (s *Store) Decide(ctx context.Context, p *config.Policies, o Options, each func(*Result) error) error {
	m, err := sampler.New(limits(p, o), settings(p))
	if err != nil {
		return err
	}
	defer m.Release()
	r := run{s: s, m: m, each: each, service: wire.NewKeySet([]string{"service.name"})}
	var asm wire.Assembler
	var record []byte
	var at int64
	for i, no := range s.order() {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := &s.traces[no]
		if t.bytes > largestRecord/2 {
			return fmt.Errorf("trace %x has %d bytes, more than a trace can have", t.id, t.bytes)
		}
		record = s.record(t, &asm, record[:0])
		// There was no log, so there are no records that say that time passed between two traces: it did.
		if i > 0 {
			m.Elapse(max(0, millis(t.end)-at))
		}
		at = millis(t.end)
		if err := m.Record(sampler.Offset(i), at, record); err != nil {
			return fmt.Errorf("trace %x: %w", t.id, err)
		}
		if err := r.results(); err != nil {
			return err
		}
		if cap(record) > 16<<20 {
			record = nil
		}
	}
	if _, some := m.Time(); some {
		m.Elapse(p.Sampling.DecisionWait.Milliseconds() + policies.Tick)
	}
	if err := r.results(); err != nil {
		return err
	}
	if o.Erred != nil {
		for _, e := range m.TakeErrors() {
			o.Erred(e.Policy, e.Text)
		}
	}
	return nil
}

// Decided returns between which times the traces are decided, in Unix milliseconds, and false if there are none.
func (s *Store) Decided(p *config.Policies) (from, to int64, some bool) {
	if len(s.traces) == 0 {
		return 0, 0, false
	}
	longest := p.Sampling.DecisionWait.Milliseconds()
	usual := longest
	if root := p.Sampling.DecisionWaitAfterRoot.Milliseconds(); root > 0 {
		usual = min(root, longest)
	}
	from = math.MaxInt64
	for i := range s.traces {
		end, shortest := millis(s.traces[i].end), usual
		if most := p.Sampling.MaxTraceBytes; most > 0 && s.traces[i].bytes > uint64(most) {
			shortest = 0
		}
		from, to = min(from, end+shortest), max(to, end+longest+policies.Tick)
	}
	return from, to, true
}

func millis(nanos uint64) int64 { return int64(nanos / 1e6) }

func settings(p *config.Policies) sampler.Settings {
	return sampler.Settings{
		Plan:          p.Plan,
		DecisionWait:  p.Sampling.DecisionWait.Milliseconds(),
		RootWait:      p.Sampling.DecisionWaitAfterRoot.Milliseconds(),
		MaxTraceBytes: uint64(p.Sampling.MaxTraceBytes),
	}
}

func limits(p *config.Policies, o Options) sampler.Limits {
	return sampler.Limits{
		LateWindow:     max(p.Sampling.LateWindow, p.Sampling.DecisionWait).Milliseconds(),
		DeliverDropped: true,
		MaxPayload:     math.MaxInt32, // a trace is one part
		Explain:        o.Explain,
	}
}

// order returns the traces by their end, those that end together as they were first seen.
func (s *Store) order() []uint32 {
	order := make([]uint32, len(s.traces))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(a, b uint32) int { return cmp.Compare(s.traces[a].end, s.traces[b].end) })
	return order
}

// run turns what a machine hands out into results.
type run struct {
	s       *Store
	m       *sampler.Machine
	each    func(*Result) error
	batch   []Result
	service *wire.KeySet
	scratch wire.Scratch
	scan    wire.Span
	attrs   []wire.Attr
}

// results hands on what the machine has decided. Late spans of a trace are those behind maximum_trace_size_bytes: they come
// right behind the decision, because all spans of a trace are in one record.
func (r *run) results() error {
	fx := r.m.Effects()
	r.batch = r.batch[:0]
	for i := range fx.Deliveries {
		d := &fx.Deliveries[i]
		r.m.Ack(d.Seq)
		t := &r.s.traces[r.s.byID[d.TraceID]]
		if d.Late {
			if last := len(r.batch) - 1; last >= 0 && r.batch[last].TraceID == d.TraceID {
				r.batch[last].Spans += d.Spans
				r.batch[last].Bytes += r.size(d.Payload)
			}
			continue
		}
		res := Result{
			TraceID: d.TraceID, Kept: d.Kept, Policy: d.Policy, Matched: d.Matched, Erred: d.Erred, Spans: d.Spans, Bytes: r.size(d.Payload),
			Complete: d.Complete, Early: d.Early, Sole: d.Sole, Start: t.start, End: t.end, Why: d.Why,
		}
		if d.Kept {
			res.Probability = d.Probability
		}
		r.root(t, &res)
		r.batch = append(r.batch, res)
	}
	r.m.Clear()
	for i := range r.batch {
		res := &r.batch[i]
		res.Repeats = r.s.traces[r.s.byID[res.TraceID]].spans - res.Spans
		if err := r.each(res); err != nil {
			return err
		}
	}
	return nil
}

// size returns the bytes of the spans in a payload. Those of the input would count a repeated span each time.
func (r *run) size(payload []byte) uint64 {
	var n spanBytes
	_ = wire.Walk(payload, &r.scratch, &n) // the machine has just written it
	return uint64(n)
}

// spanBytes is the visitor that adds up what spans have.
type spanBytes uint64

func (*spanBytes) Resource([]byte) error { return nil }

func (*spanBytes) Scope([]byte) error { return nil }

func (n *spanBytes) Span(raw []byte) error {
	*n += spanBytes(len(raw))
	return nil
}

// root names a trace by its root span.
func (r *run) root(t *stored, res *Result) {
	best, start, rooted := uint32(0), uint64(0), false
	for n := t.first; n != 0; {
		sp := &r.s.spans[n-1]
		_ = wire.ScanSpan(r.s.raw(sp), nil, &r.scan) // it was sound when it came
		root := r.scan.Root()
		if best == 0 || root && !rooted || root == rooted && r.scan.Start < start {
			best, start, rooted = n, r.scan.Start, root
			res.Operation = string(r.scan.Name)
		}
		n = sp.next
	}
	var err error
	r.attrs, err = wire.ScanResource(r.s.headers[r.s.spans[best-1].resource], r.service, r.attrs[:0])
	if err == nil && len(r.attrs) > 0 {
		res.Service = string(r.attrs[0].Value.Bytes)
	}
}
