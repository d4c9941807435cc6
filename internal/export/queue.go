package export

import (
	"container/heap"
	"time"
)

// queue is a first-in first-out ring of entries.
type queue struct {
	ring  []*entry // length is a power of two
	head  int
	count int
	bytes int64 // of payloads
}

func (q *queue) push(e *entry) {
	if q.count == len(q.ring) {
		grown := make([]*entry, max(64, 2*len(q.ring)))
		for i := range q.count {
			grown[i] = q.at(i)
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.count)&(len(q.ring)-1)] = e
	q.count++
	q.bytes += int64(len(e.Payload))
}

func (q *queue) at(i int) *entry { return q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue) pop() *entry {
	e := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.count--
	q.bytes -= int64(len(e.Payload))
	return e
}

// rotate makes the last entry the first.
func (q *queue) rotate() {
	e := q.at(q.count - 1)
	q.ring[(q.head+q.count-1)&(len(q.ring)-1)] = nil
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.ring[q.head] = e
}

// remove takes the entries of a partition out.
func (q *queue) remove(p *partition) (removed []*entry) {
	for range q.count {
		if e := q.pop(); e.part == p {
			removed = append(removed, e)
		} else {
			q.push(e)
		}
	}
	return removed
}

// batch is the traces of one request.
type batch struct {
	entries  []*entry
	bytes    int // of payloads
	spans    int
	attempts int       // failures so far that were nobody's fault
	served   uint64    // what the exporter had accepted when this batch first failed
	against  int       // of a single trace: how often it failed while others fared well before and after, see blame.go
	gap      uint64    // the last gap in which it failed
	trusted  bool      // it was sent to a backend that was known to accept traces
	blamed   bool      // a part of what failed while others were accepted
	slow     bool      // in flight among those that have failed often
	due      time.Time // parked until then
	order    uint64    // ties of due
	probe    bool      // sent to see whether new batches fare better than those that failed
}

func newBatch(entries []*entry) *batch {
	b := &batch{entries: entries}
	for _, e := range entries {
		b.bytes += len(e.Payload)
		b.spans += e.Spans
	}
	return b
}

// payloads returns the request in pieces.
func (b *batch) payloads() [][]byte {
	list := make([][]byte, len(b.entries))
	for i, e := range b.entries {
		list[i] = e.Payload
	}
	return list
}

// remove takes the entries out for which f is true.
func (b *batch) remove(f func(int, *entry) bool) (removed []*entry) {
	stay := make([]*entry, 0, len(b.entries))
	for i, e := range b.entries {
		if f(i, e) {
			removed = append(removed, e)
		} else {
			stay = append(stay, e)
		}
	}
	if len(removed) > 0 {
		left := newBatch(stay)
		b.entries, b.bytes, b.spans = left.entries, left.bytes, left.spans
	}
	return removed
}

// parked holds the batches that wait for their next attempt, the earliest first.
type parked struct{ list []*batch }

func (p *parked) Len() int      { return len(p.list) }
func (p *parked) Swap(i, j int) { p.list[i], p.list[j] = p.list[j], p.list[i] }
func (p *parked) Push(x any)    { p.list = append(p.list, x.(*batch)) }

func (p *parked) Less(i, j int) bool {
	a, b := p.list[i], p.list[j]
	if a.due.Equal(b.due) {
		return a.order < b.order
	}
	return a.due.Before(b.due)
}

func (p *parked) Pop() any {
	last := p.list[len(p.list)-1]
	p.list[len(p.list)-1] = nil
	p.list = p.list[:len(p.list)-1]
	return last
}

func (p *parked) put(b *batch)     { heap.Push(p, b) }
func (p *parked) take() *batch     { return heap.Pop(p).(*batch) }
func (p *parked) first() time.Time { return p.list[0].due }

// remove takes the entries of a partition out; batches that become empty vanish.
func (p *parked) remove(part *partition) (removed []*entry) {
	stay := p.list[:0]
	for _, b := range p.list {
		removed = append(removed, b.remove(func(_ int, e *entry) bool { return e.part == part })...)
		if len(b.entries) > 0 {
			stay = append(stay, b)
		}
	}
	clear(p.list[len(stay):])
	p.list = stay
	heap.Init(p)
	return removed
}
