package sampler

import (
	"encoding/binary"
	"math/bits"

	"thresher/buffer"
	"thresher/internal/tracestate"
	"thresher/internal/wire"
	"thresher/policies"
)

// A marker writes on the spans of one delivery why they are kept, and with what probability.
type marker struct {
	id          wire.TraceID
	policy      string
	probability float64
	head        uint64 // threshold of an earlier sampler that some span told
	rv          uint64 // randomness that some span told
	hasRV       bool
	reasons     Reasons
	thresholds  bool
	rootless    bool // no span is a root: the first one stands for it
	begun       bool

	keys  *wire.KeySet // none
	span  wire.Span
	state []byte
}

// newMarker returns nil if there is nothing to write.
// t is the trace, nil for late spans.
func newMarker(marks Marks, d *Delivery, t *buffer.Trace) *marker {
	if marks == (Marks{}) {
		return nil
	}
	m := &marker{
		id: d.TraceID, policy: d.Policy, probability: d.Probability,
		keys: wire.NewKeySet(nil), reasons: marks.Reasons, thresholds: marks.Thresholds, rootless: !d.Late && !d.Complete,
	}
	if t != nil {
		m.head, m.rv, m.hasRV = head(t), t.Randomness, t.HasRV
	}
	return m
}

// write returns the span with what is to be on it, which it appends to dst if it is not the span as it is.
func (m *marker) write(dst, raw []byte) (grown, span []byte) {
	first := !m.begun
	m.begun = true
	if wire.ScanSpan(raw, m.keys, &m.span) != nil {
		return dst, raw
	}
	var e wire.Edit
	if m.reasons == ReasonsAll || m.reasons == ReasonsRoot && (m.span.Root() || m.rootless && first) {
		e.Policy, e.Probability = []byte(m.policy), m.probability
	}
	if m.thresholds {
		e.TraceState = m.traceState(m.span.TraceState)
	}
	if e.Policy == nil && e.TraceState == nil {
		return dst, raw
	}
	start := len(dst)
	dst = wire.AppendEdited(dst, raw, &e)
	return dst, dst[start:len(dst):len(dst)]
}

// traceState returns the tracestate that says with what probability the span has come this far: ours, of what whoever sampled
// the trace before let pass. nil: as it is.
//
// The randomness of the trace must not be below the threshold, or a sampler behind this one would find that we should not have
// kept it. It can be, if a percentage of hashes decided and nobody had given the trace a randomness: then it is given one, any
// from the threshold on with equal probability, which is what it is known to be.
func (m *marker) traceState(state []byte) []byte {
	ot, ok := tracestate.ScanOT(state)
	if !ok {
		return nil
	}
	head := max(ot.TH, m.head)
	set := tracestate.OT{TH: tracestate.Threshold(m.probability * tracestate.Probability(head)), HasTH: true}
	set.TH = max(set.TH, head)
	if ot.HasTH && ot.TH == set.TH && (ot.HasRV || !m.hasRV) {
		return nil
	}
	if ot.HasRV && ot.RV < set.TH {
		return nil // another span of the trace told another randomness
	}
	switch {
	case ot.HasRV:
	case m.hasRV:
		if m.rv < set.TH {
			return nil
		}
		set.RV, set.HasRV = m.rv, true
	case policies.Randomness(m.id) < set.TH:
		if head > 0 {
			return nil // it was sampled by a randomness that this span does not tell
		}
		set.RV, set.HasRV = randomFrom(set.TH, m.id), true
	}
	if m.state, ok = tracestate.AppendWith(m.state[:0], state, set); !ok {
		return nil
	}
	return m.state
}

// randomFrom returns a randomness from the threshold on, which follows from the trace ID.
func randomFrom(threshold uint64, id wire.TraceID) uint64 {
	h := (binary.BigEndian.Uint64(id[:8]) ^ 0x9E3779B97F4A7C15) * 0xD1B54A32D192ED03
	h = (h ^ h>>32 ^ binary.BigEndian.Uint64(id[8:])) * 0x9FB21C651E98DF25
	h ^= h >> 28
	above, _ := bits.Mul64(h, tracestate.Max-threshold)
	return threshold + above
}
