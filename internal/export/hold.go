package export

import (
	"fmt"
	"time"
)

// A refusal for good (400, 413, INVALID_ARGUMENT) is a word about the traces, and taking it for one sends them to the rejected topic.
// But a backend that misses a tenant header, or that is another service altogether, says the same, to everything. So the
// word is believed while the backend is known to accept others: something was accepted within the minute before. Of
// a thousand bad traces among good ones each ends in the rejected topic. If nothing was accepted for that long, nobody
// knows whose fault it is, and the traces are held: a mistaken hold costs lag that an operator sees, a mistaken rejection costs data.
//
// What was refused is set back. To find out whether it is all or only some, the first batch is taken apart to a single trace,
// in about log2(n) requests, and after that there are rounds at growing intervals, in which as many single traces are sent
// as may be in flight: the newest, the oldest, and now and then one that was set back. The first acceptance ends the hold,
// and then what is really bad is told from the rest.
//
// Answers about the configuration (401, 403, 404) need no hold: they are tried again for ever anyway, unless others are
// accepted meanwhile (blame.go). They are reported like one.
//
// What was known when the request was sent counts: an answer from before the configuration was mended may come after the
// first acceptance.
//
// on_refusal: reject is an operator's word that the backend's is to be believed, come what may.
const trustFor = time.Minute

// trusted reports whether the backend is known to accept traces.
func (e *exporter) trusted(now time.Time) bool {
	return !e.lastAccepted.IsZero() && now.Sub(e.lastAccepted) <= trustFor
}

// Refusal is what a backend says that accepts nothing, in words that blame the traces or the configuration.
type Refusal struct {
	Since          time.Time `json:"since"`
	Answer         string    `json:"answer"`
	Advice         string    `json:"advice"`
	AcceptedBefore bool      `json:"accepted_before"` // since this process started
}

// refuses notes that the backend refuses and accepts nothing.
func (e *exporter) refuses(out outcome, now time.Time) {
	if e.refusal == nil {
		e.refusal = &Refusal{Since: now, AcceptedBefore: !e.lastAccepted.IsZero()}
	}
	e.refusal.Answer, e.refusal.Advice = out.err.Error(), out.kind.advice()
}

// hold keeps what was refused. The first time it takes it apart.
func (e *exporter) hold(b *batch, now time.Time) {
	e.counts.retries.Add(1)
	e.failures++
	e.holding = true
	switch {
	case e.rounds > 0:
		e.setBack(b)
	case e.scout != nil && e.scout != b:
		e.aside = append(e.aside, b)
	case len(b.entries) > 1:
		first, second := b.halves()
		e.aside = append(e.aside, second)
		e.scout = first
		e.park(first, now)
	default:
		e.setBack(b)
		e.scoutFailed(now)
	}
}

// setBack keeps what was refused for later rounds.
func (e *exporter) setBack(b *batch) {
	for _, en := range b.entries {
		e.refused.push(en)
	}
}

// scoutFailed goes over to rounds.
func (e *exporter) scoutFailed(now time.Time) {
	for _, b := range e.aside {
		e.setBack(b)
	}
	e.scout, e.aside = nil, nil
	e.nextRound(now)
}

func (e *exporter) nextRound(now time.Time) {
	e.round = now.Add(backOff(e.retry, e.rounds, e.random()))
	e.rounds++
}

// scoutLost goes over to rounds if the scout has no traces left: their partition was released.
func (e *exporter) scoutLost(now time.Time) {
	if e.scout != nil && len(e.scout.entries) == 0 {
		e.scoutFailed(now)
	}
}

// startRound says when the next trace may be sent while the others are held.
func (e *exporter) startRound(start, now time.Time) time.Time {
	switch {
	case e.scout != nil:
		return now.Add(time.Hour) // whatever it finds comes first
	case e.left == 0 && e.round.After(start):
		return e.round
	}
	return start
}

// formRound makes the next request of a round.
func (e *exporter) formRound(from *queue, now time.Time) *batch {
	if e.left == 0 {
		e.left = e.batching.MaxInFlight
		e.nextRound(now)
	}
	e.left--
	e.scouts++
	if from == &e.queue && e.scouts%2 == 0 {
		from.rotate() // the newest
	}
	return e.form(from, 1)
}

// nextQueue is where the next batch comes from.
func (e *exporter) nextQueue() *queue {
	if e.refused.count > 0 && (e.queue.count == 0 || e.scouts%4 == 3) {
		return &e.refused
	}
	return &e.queue
}

// release ends a hold: the backend accepts traces. What was set aside is sent at once.
func (e *exporter) release(now time.Time) {
	for _, b := range e.aside {
		e.park(b, now)
	}
	for e.refused.count > 0 {
		e.queue.push(e.refused.pop())
	}
	e.holding, e.scout, e.aside, e.rounds, e.left = false, nil, nil, 0, 0
}

// NotReady says which required exporters have been refused everything since they were started, and what to do about it.
func (d *Delivery) NotReady() (why []string) {
	for _, e := range d.exporters {
		e.mu.Lock()
		if r := e.refusal; r != nil && !r.AcceptedBefore && e.requiredFor() {
			why = append(why, fmt.Sprintf("exporter %s: the backend has accepted nothing yet and refuses all that it is sent: %s; %s. "+
				"The traces are kept and tried again, none is lost or rejected. Once one is accepted all goes on; "+
				"on_refusal: reject in this exporter's settings gives up what is refused so to the rejected topic", e.id, r.Answer, r.Advice))
		}
		e.mu.Unlock()
	}
	return why
}

// requiredFor reports whether any class waits for this exporter.
func (e *exporter) requiredFor() bool {
	for _, required := range e.required {
		if required {
			return true
		}
	}
	return false
}
