package sampler

import "thresher/internal/wire"

// settlement is the queue of everything whose fate decides where reading must resume: every trace from its first span, and
// every delivery of late spans, in offset order. Items are numbered from 0 over the life of the machine; the number is the
// sequence by which the runner acknowledges.
//
// Invariant: the offsets of the items do not decrease, so the head is the smallest.
type settlement struct {
	ring  []item // power-of-two length
	first uint64 // number of the oldest item held
	next  uint64 // number of the head: the oldest item that is not settled
	end   uint64 // number the next item gets
	out   int    // items that are waiting
}

type item struct {
	id     wire.TraceID
	offset Offset
	time   int64 // partition time at offset
	parts  uint32
	state  itemState
	kind   DeliveryKind
}

func (it *item) key() DeliveredKey { return DeliveredKey{it.offset, it.id, it.kind} }

type itemState uint8

const (
	open      itemState = iota // undecided
	waiting                    // handed out, parts acknowledgements to come
	delivered                  // acknowledged, or known to be from before the restart
	settled                    // nothing to deliver
)

const minRing = 256

func (q *settlement) add(it item) uint64 {
	if q.end-q.first == uint64(len(q.ring)) {
		q.resize(max(minRing, 2*len(q.ring)))
	}
	seq := q.end
	q.end++
	*q.at(seq) = it
	return seq
}

func (q *settlement) resize(size int) {
	ring := make([]item, size)
	for n := q.first; n < q.end; n++ {
		ring[n&uint64(size-1)] = q.ring[n&uint64(len(q.ring)-1)]
	}
	q.ring = ring
}

// trim gives memory back that a burst needed.
func (q *settlement) trim() {
	if n := len(q.ring); n > minRing && q.end-q.first < uint64(n/8) {
		q.resize(n / 4)
	}
}

func (q *settlement) at(seq uint64) *item { return &q.ring[seq&uint64(len(q.ring)-1)] }

// wait notes that an item was handed out in parts.
func (q *settlement) wait(seq uint64, parts int) {
	it := q.at(seq)
	it.state, it.parts = waiting, uint32(parts)
	q.out++
}

// set settles an item and moves the head over what is settled. Settled items that share their record with the head stay: reading
// resumes at that record, and the checkpoint must say that they need not be delivered again.
func (q *settlement) set(seq uint64, s itemState) {
	if it := q.at(seq); it.state == waiting {
		q.out--
	}
	q.at(seq).state = s
	for q.next < q.end && (q.at(q.next).state == delivered || q.at(q.next).state == settled) {
		q.next++
	}
	if q.first == q.end {
		return
	}
	// With nothing unsettled the newest record stays: more may come of it.
	keep := q.at(min(q.next, q.end-1)).offset
	for q.first < q.next && q.at(q.first).offset < keep {
		q.first++
	}
}

// ack takes one acknowledgement and reports whether it was expected: not for an item that is settled already.
func (q *settlement) ack(seq uint64) bool {
	if seq < q.first || seq >= q.end {
		return false
	}
	it := q.at(seq)
	if it.state != waiting {
		return false
	}
	if it.parts--; it.parts == 0 {
		q.set(seq, delivered)
	}
	return true
}

// head returns the oldest item that is not settled.
func (q *settlement) head() (*item, bool) {
	if q.next == q.end {
		return nil, false
	}
	return q.at(q.next), true
}
