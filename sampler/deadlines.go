package sampler

import (
	"cmp"
	"slices"

	"thresher/buffer"
)

// deadlines orders open traces by (deadline, creation). Traces of one deadline are a doubly linked list through the
// traces themselves; the distinct deadlines, at most one per millisecond of the longest wait, are a heap.
// A trace can be moved or removed in constant time, so nothing stale is ever found.
type deadlines struct {
	traces  *buffer.Map
	heap    []bucketAt
	buckets []bucket
	free    []uint32
	byTime  map[int64]uint32
}

type bucketAt struct {
	deadline int64
	bucket   uint32
}

type bucket struct {
	head, tail uint32
}

func newDeadlines(traces *buffer.Map) *deadlines {
	return &deadlines{traces: traces, byTime: make(map[int64]uint32)}
}

// add puts the trace under t.Deadline.
func (d *deadlines) add(ref buffer.Ref, t *buffer.Trace) {
	b, ok := d.byTime[t.Deadline]
	if !ok {
		b = d.newBucket(t.Deadline)
	}
	k := &d.buckets[b]
	t.Prev, t.Next = k.tail, 0
	if k.tail == 0 {
		k.head = uint32(ref)
	} else {
		d.traces.Trace(buffer.Ref(k.tail)).Next = uint32(ref)
	}
	k.tail = uint32(ref)
}

// remove takes the trace out of the list of t.Deadline. An emptied list stays in the heap until its time comes.
func (d *deadlines) remove(t *buffer.Trace) {
	k := &d.buckets[d.byTime[t.Deadline]]
	if t.Prev == 0 {
		k.head = t.Next
	} else {
		d.traces.Trace(buffer.Ref(t.Prev)).Next = t.Next
	}
	if t.Next == 0 {
		k.tail = t.Prev
	} else {
		d.traces.Trace(buffer.Ref(t.Next)).Prev = t.Prev
	}
	t.Prev, t.Next = 0, 0
}

// due reports whether there is a deadline that is not after now. Its list may have become empty.
func (d *deadlines) due(now int64) bool { return len(d.heap) > 0 && d.heap[0].deadline <= now }

// next returns the earliest deadline. There must be one.
func (d *deadlines) next() int64 { return d.heap[0].deadline }

// pop takes all traces with the earliest deadline out and appends them to due in creation order.
func (d *deadlines) pop(due []buffer.Ref) []buffer.Ref {
	at := d.popHeap()
	k := d.buckets[at.bucket]
	delete(d.byTime, at.deadline)
	d.free = append(d.free, at.bucket)
	first := len(due)
	sorted, last := true, uint64(0)
	for ref := k.head; ref != 0; {
		t := d.traces.Trace(buffer.Ref(ref))
		due = append(due, buffer.Ref(ref))
		sorted = sorted && last <= t.Seq
		last = t.Seq
		ref, t.Prev, t.Next = t.Next, 0, 0
	}
	if !sorted {
		slices.SortFunc(due[first:], func(a, b buffer.Ref) int {
			return cmp.Compare(d.traces.Trace(a).Seq, d.traces.Trace(b).Seq)
		})
	}
	return due
}

// held returns about the bytes that the lists take besides the traces.
func (d *deadlines) held() int {
	return cap(d.heap)*16 + cap(d.buckets)*8 + cap(d.free)*4 + len(d.byTime)*32
}

func (d *deadlines) newBucket(deadline int64) uint32 {
	var b uint32
	if k := len(d.free); k > 0 {
		b = d.free[k-1]
		d.free = d.free[:k-1]
		d.buckets[b] = bucket{}
	} else {
		b = uint32(len(d.buckets))
		d.buckets = append(d.buckets, bucket{})
	}
	d.byTime[deadline] = b
	d.heap = append(d.heap, bucketAt{deadline, b})
	for i := len(d.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if d.heap[up].deadline <= d.heap[i].deadline {
			break
		}
		d.heap[up], d.heap[i] = d.heap[i], d.heap[up]
		i = up
	}
	return b
}

func (d *deadlines) popHeap() bucketAt {
	top := d.heap[0]
	n := len(d.heap) - 1
	d.heap[0] = d.heap[n]
	d.heap = d.heap[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && d.heap[c+1].deadline < d.heap[c].deadline {
			c++
		}
		if d.heap[i].deadline <= d.heap[c].deadline {
			break
		}
		d.heap[i], d.heap[c] = d.heap[c], d.heap[i]
		i = c
	}
	return top
}
