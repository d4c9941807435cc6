package node

import (
	"fmt"
	"sync"

	"thresher/internal/kafka"
	"thresher/sampler"
)

// mostRejects is the most that all partitions together have on the way to the rejected topic, however large the memory limit,
// give or take a record each. What backends refuse is not in it: it stays in the delivery's budget until it is there.
const mostRejects = 32 << 20

// rejects counts what a partition gave to the rejected topic and does not yet know to be there.
//
// The machine is done with a record that it cannot read, and with spans that belong to no trace, when it has reported
// them: its resume offset passes them. So the order has to be made here: what was rejected is in its topic, THEN a
// checkpoint that passes it is stored. If the checkpoint came first, a crash before the topic had it would lose it, and
// with Kafka half away (the topic's leader gone, that of the checkpoints there) not only a crash at that very moment.
//
// A checkpoint waits for what was rejected before it was taken and not for what came since: a sender that always has
// something wrong would otherwise hold it up for ever.
type rejects struct {
	ready chan struct{} // something got there
	most  int64

	mu     sync.Mutex
	bytes  int64
	before int // of those rejected before the checkpoint that waits
	since  int
	age    uint64 // how many checkpoints were taken
	then   func() // stores the checkpoint that waits
}

func newRejects(most int64) *rejects {
	return &rejects{ready: make(chan struct{}, 1), most: most}
}

// add notes something rejected. What it returns is called when the topic has it.
func (q *rejects) add(size int) (done func()) {
	n := int64(size) + 1<<10 // with what it takes beside its bytes
	q.mu.Lock()
	q.bytes += n
	q.since++
	age := q.age
	q.mu.Unlock()
	return func() {
		q.mu.Lock()
		q.bytes -= n
		var then func()
		if age == q.age {
			q.since--
		} else if q.before--; q.before == 0 {
			then, q.then = q.then, nil
		}
		q.mu.Unlock()
		select {
		case q.ready <- struct{}{}:
		default:
		}
		if then != nil {
			then()
		}
	}
}

// full reports whether so much is on its way that nothing more should be read.
func (q *rejects) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes > 0 && q.bytes >= q.most
}

// after calls then as soon as all that was rejected up to now is in the topic, at once if it is. then must not block. Of two
// that wait, the newer one is called.
func (q *rejects) after(then func()) {
	q.mu.Lock()
	q.before += q.since
	q.since = 0
	q.age++
	if q.before > 0 {
		q.then, then = then, nil
	}
	q.mu.Unlock()
	if then != nil {
		then()
	}
}

// abandon makes the one that waits never be called. It reports whether there was one.
func (q *rejects) abandon() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	waited := q.then != nil
	q.then = nil
	return waited
}

// rejectBytes is what all partitions have on the way.
func (n *Node) rejectBytes() (sum int64) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, r := range n.runners {
		r.rejects.mu.Lock()
		sum += r.rejects.bytes
		r.rejects.mu.Unlock()
	}
	return sum
}

func (r *runner) rejectRecord(rec *kafka.Record, reason error) {
	r.reject(reason.Error(), append([]byte(nil), rec.Value...), rec.Offset)
}

func (r *runner) rejectSpans(i *sampler.Invalid) {
	r.reject(fmt.Sprintf("%d spans: %s", i.Spans, i.Reason), i.Payload, int64(i.Offset))
}

// reject gives what was read at an offset to the rejected topic. Checkpoints that are taken from now on wait for it.
func (r *runner) reject(reason string, value []byte, offset int64) {
	r.n.rejecter.Reject(kafka.Rejected{
		Reason: reason, Value: value, Topic: r.n.cfg.Kafka.Spans.Topic, Partition: r.partition, Offset: offset,
	}, r.rejects.add(len(value)))
}
