package sampler

import (
	"slices"

	"thresher/buffer"
	"thresher/internal/wire"
)

// settlement is the queue of everything whose fate decides where reading must resume: every trace from its first span, and
// every delivery of late spans, in offset order. Items are numbered from 0 over the life of the machine; the number is the
// sequence by which the runner acknowledges.
//
// One delivery that is not acknowledged holds the head, and all that is settled behind it: millions of traces of which nothing is to be
// known any more. So the queue is cut into blocks, and a block that is complete gives up the items with nothing to deliver.
//
// Invariant: the offsets of the items do not decrease, so the head is the smallest.
type settlement struct {
	blocks []block
	base   uint64 // number of the first item of the first block
	first  uint64 // number of the oldest item held
	next   uint64 // number of the head: the oldest item that is not settled
	end    uint64 // number the next item gets
	aged   uint64 // no item before it is undecided
	out    int    // items that are waiting
	acked  int    // items that are delivered
	newest Offset // of the newest item
	spare  [][]item
	bytes  int // of items, the spare ones too
	most   int // bytes of budget; 0: none
}

// block holds items of blockItems consecutive numbers: all of them, or those that matter, in order, when few do and no more come.
type block struct {
	items   []item
	matters int // how many are not settled without a delivery
}

const (
	blockItems = 256
	mostSpare  = 4
	itemBytes  = 40
	blockBytes = 32
)

type item struct {
	id     wire.TraceID
	offset Offset
	time   int64 // partition time at offset
	// count is of a waiting item the acknowledgements to come, of an undecided trace its place in the map.
	count uint32
	state itemState
	kind  DeliveryKind
	no    uint8 // within the block
}

func (it *item) key() DeliveredKey { return DeliveredKey{it.offset, it.id, it.kind} }

type itemState uint8

const (
	open      itemState = iota // undecided
	waiting                    // handed out, acknowledgements to come
	delivered                  // acknowledged, or known to be from before the restart
	settled                    // nothing to deliver
	again                      // undecided, but settled before the restart
)

func (it *item) isUnsettled() bool { return it.state == open || it.state == waiting }
func (it *item) isUndecided() bool { return it.state == open || it.state == again }

func (q *settlement) add(it item) uint64 {
	seq := q.end
	if q.end == q.base+uint64(len(q.blocks))*blockItems {
		if n := len(q.blocks); n > 0 {
			q.compact(&q.blocks[n-1])
		}
		var items []item
		if n := len(q.spare); n > 0 {
			items, q.spare = q.spare[n-1], q.spare[:n-1]
		} else {
			items = make([]item, blockItems)
			q.bytes += blockItems * itemBytes
		}
		q.blocks = append(q.blocks, block{items: items})
	}
	b := &q.blocks[len(q.blocks)-1]
	b.matters++
	it.no = uint8(seq % blockItems)
	b.items[it.no] = it
	q.newest = it.offset
	q.end++
	return seq
}

// compact gives up what does not matter, if few items of the block do. It must have all its items.
func (q *settlement) compact(b *block) {
	if b.matters*4 > len(b.items) || len(b.items) == 0 {
		return
	}
	var left []item
	if b.matters > 0 {
		left = make([]item, 0, b.matters)
		for _, it := range b.items {
			if it.state != settled {
				left = append(left, it)
			}
		}
		q.bytes += len(left) * itemBytes
	}
	q.reuse(b.items)
	b.items = left
}

func (q *settlement) reuse(items []item) {
	if len(items) == blockItems && len(q.spare) < mostSpare {
		q.spare = append(q.spare, items)
		return
	}
	q.bytes -= len(items) * itemBytes
}

func (q *settlement) block(seq uint64) *block { return &q.blocks[(seq-q.base)/blockItems] }

// at returns an item, nil if it is not held any more: then there was nothing to deliver.
func (q *settlement) at(seq uint64) *item {
	if seq < q.first || seq >= q.end {
		return nil
	}
	b := q.block(seq)
	if len(b.items) == blockItems {
		return &b.items[seq%blockItems]
	}
	if i, ok := b.find(seq); ok {
		return &b.items[i]
	}
	return nil
}

// find returns where the item of a number is, or would be.
func (b *block) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(b.items, seq%blockItems, func(it item, no uint64) int { return int(it.no) - int(no) })
}

// from returns the number of the first item from seq on that is held and of which a condition holds, the end if there is none.
func (q *settlement) from(seq uint64, is func(*item) bool) uint64 {
	for seq < q.end {
		b := q.block(seq)
		start := seq - seq%blockItems
		i := int(seq % blockItems)
		if len(b.items) != blockItems {
			i, _ = b.find(seq)
		}
		for last := min(uint64(len(b.items)), q.end-start); i < int(last); i++ {
			if is(&b.items[i]) {
				return start + uint64(b.items[i].no)
			}
		}
		seq = start + blockItems
	}
	return q.end
}

// each calls fn for the items held, oldest first, until it returns false.
func (q *settlement) each(fn func(seq uint64, it *item) bool) {
	all := func(*item) bool { return true }
	for seq := q.from(q.first, all); seq < q.end && fn(seq, q.at(seq)); seq = q.from(seq+1, all) {
	}
}

// wait notes that an item was handed out, to be acknowledged so many times.
func (q *settlement) wait(seq uint64, acks int) {
	it := q.at(seq)
	it.state, it.count = waiting, uint32(acks)
	q.out++
}

// set settles an item and moves the head over what is settled. Delivered items that share their record with the head stay: reading
// resumes at that record, and the checkpoint must say that they need not be delivered again. No more are remembered than a checkpoint can
// have, or than there is twice the budget for: while the head is an undecided trace reading must go on (see Machine.Full), so what is delivered
// behind it cannot be bounded otherwise. What is not remembered is delivered again after a crash.
func (q *settlement) set(seq uint64, s itemState) {
	it := q.at(seq)
	if it.state == waiting {
		q.out--
	}
	if s == delivered {
		if q.acked < maxDelivered && (q.most == 0 || q.bytes < 2*q.most) {
			q.acked++
		} else {
			s = settled
		}
	}
	it.state = s
	if s == settled {
		b := q.block(seq)
		b.matters--
		if q.end >= seq-seq%blockItems+blockItems {
			q.compact(b)
		}
	}
	if seq == q.next || seq == q.first || q.next == q.end { // else something before it holds both
		q.advance()
	}
}

func (q *settlement) advance() {
	q.next = q.from(q.next, (*item).isUnsettled)
	// With nothing unsettled the newest record stays: more may come of it.
	keep := q.newest
	if q.next < q.end {
		keep = q.at(q.next).offset
	}
	first := q.from(q.first, func(it *item) bool {
		if it.offset >= keep || it.state == again || it.isUnsettled() {
			return true
		}
		if it.state == delivered {
			q.acked--
		}
		return false
	})
	q.first = min(first, q.next)
	gone := int((q.first - q.base) / blockItems)
	for i := range gone {
		q.reuse(q.blocks[i].items)
		q.blocks[i] = block{}
	}
	q.blocks, q.base = q.blocks[gone:], q.base+uint64(gone)*blockItems
}

// trim gives memory back that a burst needed.
func (q *settlement) trim() {
	for _, items := range q.spare {
		q.bytes -= len(items) * itemBytes
	}
	q.spare = nil
	q.blocks = slices.Clip(slices.Clone(q.blocks))
}

// oldest returns the oldest trace that is undecided.
func (q *settlement) oldest() (*item, bool) {
	q.aged = q.from(max(q.aged, q.first), (*item).isUndecided)
	if q.aged == q.end {
		return nil, false
	}
	return q.at(q.aged), true
}

// ref is the place of an undecided trace.
func (it *item) ref() buffer.Ref { return buffer.Ref(it.count) }

// ack takes one acknowledgement and reports whether it was expected: not for an item that is settled already.
func (q *settlement) ack(seq uint64) bool {
	it := q.at(seq)
	if it == nil || it.state != waiting {
		return false
	}
	if it.count--; it.count == 0 {
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

// held returns the bytes that the queue takes.
func (q *settlement) held() int { return q.bytes + cap(q.blocks)*blockBytes }
