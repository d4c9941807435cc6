package shop

import (
	"math"
	"time"
)

// A Shop yields the export requests of the shop, for ever or until Stop. Make one with New.
type Shop struct {
	cfg       Config
	tracer    *tracer
	render    *renderer
	exporters []*exporter
	byPod     [instances]*exporter

	arrival int64 // when the next trace begins
	stopped bool
	held    int // spans that wait in exporters
	truth   Truth

	// The flush under way: what is left of it goes out before time moves on.
	flushing  *exporter
	at        int64
	spans     []span
	repeating [][]span
	taken     []span // the memory of spans
}

// An exporter is an SDK in a pod or the agent of a node: it sends what it has at intervals.
type exporter struct {
	pods     []int // instances that send through it
	interval int64
	flush    int64 // number of the next flush
	phase    int64
	slots    []slot // ring of coming flushes
	free     []span // memory of the latest flush, for the next slot in need: without it every slot of the ring would keep some
}

type slot struct {
	spans   []span
	late    []span   // apart, so that the few spans of far slots do not hold the memory of a full one
	repeats [][]span // requests to send once more
}

const (
	longestTrace = 60 * time.Second // above what the catalogue makes; later spans go with the last slot
	repeatAfter  = 4 * time.Second  // at most
)

// New returns the traffic of a Config.
func New(cfg Config) *Shop {
	cfg = cfg.withDefaults()
	c := newCatalogue()
	s := &Shop{cfg: cfg, tracer: newTracer(cfg, c, uint64(cfg.Seed)), render: newRenderer(cfg, c)}
	var agents [podsPerService]*exporter
	for i, svc := range services() {
		for pod := range podsPerService {
			e := agents[pod]
			if !svc.agent || e == nil {
				e = s.addExporter()
				if svc.agent {
					agents[pod] = e
				}
			}
			instance := i*podsPerService + pod
			e.pods = append(e.pods, instance)
			s.byPod[instance] = e
		}
	}
	s.arrival = s.tracer.pause()
	return s
}

func (s *Shop) addExporter() *exporter {
	interval := s.tracer.between(300*ms, 900*ms)
	horizon := int64(longestTrace) + 2*int64(s.cfg.LateBy) + int64(repeatAfter)
	e := &exporter{
		interval: interval,
		phase:    s.tracer.between(0, time.Duration(interval)),
		slots:    make([]slot, horizon/interval+2),
	}
	s.exporters = append(s.exporters, e)
	return e
}

// time of a flush.
func (e *exporter) time(flush int64) int64 { return e.phase + flush*e.interval }

// slot of the first flush after a time.
func (e *exporter) slot(after int64) *slot {
	flush := max(e.flush, (after-e.phase)/e.interval+1)
	flush = min(flush, e.flush+int64(len(e.slots))-1)
	return &e.slots[flush%int64(len(e.slots))]
}

// Stop lets no further trace begin. Next goes on until all spans of those that have begun are out.
func (s *Shop) Stop() { s.stopped = true }

// Truth tells what has been emitted.
func (s *Shop) Truth() Truth { return s.truth }

// Next returns the next request in its own memory. After Stop, a request without spans means that nothing is left.
func (s *Shop) Next() Request { return s.NextInto(nil) }

// NextInto is Next with the data appended to buf[:0], for callers that are done with a request before the next.
func (s *Shop) NextInto(buf []byte) Request {
	for {
		switch {
		case len(s.spans) > 0:
			n := min(len(s.spans), s.cfg.BatchSpans)
			batch := s.spans[:n]
			s.spans = s.spans[n:]
			s.held -= n
			for i := range batch {
				if batch[i].late {
					s.truth.Late++
				}
			}
			if s.tracer.happens(s.cfg.DuplicateRate) {
				to := s.flushing.slot(s.at + s.tracer.between(repeatAfter/4, repeatAfter))
				to.repeats = append(to.repeats, append([]span(nil), batch...))
				s.held += n
			}
			return s.emit(buf, batch)
		case len(s.repeating) > 0:
			batch := s.repeating[0]
			s.repeating = s.repeating[1:]
			s.held -= len(batch)
			s.truth.Duplicates += int64(len(batch))
			return s.emit(buf, batch)
		case s.stopped && s.held == 0:
			return Request{At: time.Duration(s.at)}
		default:
			s.advance()
		}
	}
}

// advance moves to the next flush of any exporter, after letting all traces begin that may have spans in it.
func (s *Shop) advance() {
	var next *exporter
	at := int64(math.MaxInt64)
	for _, e := range s.exporters {
		if t := e.time(e.flush); t < at {
			next, at = e, t
		}
	}
	for !s.stopped && s.arrival <= at {
		delay := s.tracer.trace(s.arrival, &s.truth)
		s.hand(delay)
		s.arrival += s.tracer.pause()
	}
	taken := &next.slots[next.flush%int64(len(next.slots))]
	next.flush++
	if s.flushing != nil {
		s.flushing.free = s.taken[:0]
	}
	s.flushing, s.at = next, at
	taken.spans = append(taken.spans, taken.late...)
	s.taken = taken.spans
	s.spans, s.repeating = s.taken, taken.repeats
	*taken = slot{}
}

// hand gives the spans of the trace just made to their exporters.
func (s *Shop) hand(delay int64) {
	for i := range s.tracer.spans {
		sp := &s.tracer.spans[i]
		end := sp.end
		if sp.late {
			end += delay
		}
		instance := s.tracer.catalog.ops[sp.op].service*podsPerService + int(sp.pod)
		e := s.byPod[instance]
		to := e.slot(end)
		if sp.late {
			to.late = append(to.late, *sp)
			continue
		}
		if to.spans == nil {
			to.spans, e.free = e.free, nil
		}
		to.spans = append(to.spans, *sp)
	}
	s.held += len(s.tracer.spans)
}

func (s *Shop) emit(buf []byte, batch []span) Request {
	data := s.render.request(buf[:0], batch, s.flushing.pods)
	s.truth.Requests++
	s.truth.Spans += int64(len(batch))
	s.truth.Bytes += int64(len(data))
	return Request{At: time.Duration(s.at), Data: data, Spans: len(batch)}
}
