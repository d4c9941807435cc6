package buffer

import (
	"encoding/binary"
	"math/bits"

	"thresher/internal/wire"
)

// A Trace is an open trace: one whose decision is still to come. All times are Unix milliseconds of partition time.
type Trace struct {
	ID          wire.TraceID
	Seq         uint64 // creation order within the partition
	FirstOffset int64  // offset of the record that held the first span
	FirstTime   int64  // partition time when the first span came
	LastSeen    int64  // partition time when the latest span came
	Deadline    int64

	Start, End uint64 // earliest start and latest end of its spans, Unix nanoseconds; 0: none known
	SpanBytes  uint64 // bytes of its spans as received, without duplicates
	Stored     uint64 // bytes in Payload
	LastOffset int64  // offset of the record that held the latest span
	Randomness uint64 // 56 bits; see policies.Trace
	Head       uint64
	Spans      uint32 // spans without duplicates
	Repeats    uint32 // duplicates

	Matches uint32 // group of match bits
	Set     uint32 // the policy set it began under
	Prev    uint32 // neighbours in the list of traces with the same deadline
	Next    uint32

	Payload Chain
	Shape   Chain
	Shaped  uint32 // bytes in Shape
	IDs     IDSet

	HasRoot   bool
	HasRV     bool // Randomness is from a tracestate
	Explicit  bool // a tracestate has a randomness or a threshold
	Early     bool // it is too large to wait any longer
	Evicted   bool // there is no room for it to wait any longer
	Misplaced bool // it belongs to another partition
	Rebuilt   bool // settled before the restart: decided again, not delivered again
	Spilled   bool // Payload holds the offsets of the records with its spans, not the spans
}

// Decided is the memory of a decision.
type Decided struct {
	ID       wire.TraceID
	LastSeen int64  // partition time when the latest span came
	Queued   int64  // the LastSeen by which it was put into the queue of decisions
	Age      uint32 // milliseconds from the first span to LastSeen, at most 2^32-1
	Policy   uint32
	IDs      IDSet   // of a kept trace: the spans delivered
	Share    float64 // of a kept trace: the probability with which it was
	Late     uint32  // scratch for the user of the map: the late spans being gathered
	next     uint32
	Kept     bool
	Rescued  bool // dropped first, and kept from a late span on
	Dropped  bool // a drop policy decided
}

// Map finds open traces and remembered decisions by trace ID.
type Map struct {
	Pages   Pages
	IDs     IDSets
	Headers *Headers // of resources and scopes alike

	seed    Seed
	index   []slot // open addressing, linear probing, power-of-two length
	count   int
	open    slab[Trace]
	decided slab[Decided]

	oldest, newest uint32 // FIFO of decisions
	// withIDs is the first decision of the queue that may have span IDs in what ForgetIDs has not passed; 0: begin with the oldest.
	withIDs uint32
	keptIDs int // bytes of the span IDs of decisions
}

// slot is a place of the index. ref counts from 1; its lowest bit tells which slab it is in.
type slot struct{ hash, ref uint32 }

// Ref names a trace in a Map. The zero Ref is none.
type Ref uint32

const minIndex = 256

// NewMap returns an empty map that keeps spans in slabs from source.
func NewMap(source Slabs, seed Seed) *Map {
	m := &Map{index: make([]slot, minIndex), Pages: NewPages(source), Headers: NewHeaders(), seed: seed}
	m.IDs.seed = seed
	return m
}

// hash folds a 128-bit product, so that IDs with a constant half (64-bit IDs, counters) spread as well.
func (m *Map) hash(id *wire.TraceID) uint32 {
	a := binary.LittleEndian.Uint64(id[:8]) ^ m.seed[0] ^ 0x9E3779B97F4A7C15
	b := binary.LittleEndian.Uint64(id[8:]) ^ m.seed[1] ^ 0xD1B54A32D192ED03
	hi, lo := bits.Mul64(a, b)
	h := hi ^ lo ^ bits.RotateLeft64(b, 29)
	return uint32(h>>32) ^ uint32(h)
}

// Find returns the open trace or the decision of this ID: at most one of them is not zero.
func (m *Map) Find(id *wire.TraceID) (open, decided Ref) {
	h := m.hash(id)
	mask := uint32(len(m.index) - 1)
	for i := h & mask; m.index[i].ref != 0; i = (i + 1) & mask {
		s := m.index[i]
		if s.hash != h {
			continue
		}
		if ref := s.ref >> 1; s.ref&1 == 0 {
			if m.open.at(ref).ID == *id {
				return Ref(ref), 0
			}
		} else if m.decided.at(ref).ID == *id {
			return 0, Ref(ref)
		}
	}
	return 0, 0
}

// Open adds an open trace of an ID that is not in the map. The caller fills it in.
func (m *Map) Open(id wire.TraceID) (Ref, *Trace) {
	ref := m.open.alloc()
	t := m.open.at(ref)
	t.ID = id
	m.insert(m.hash(&id), ref<<1)
	return Ref(ref), t
}

// Trace returns an open trace. The pointer is valid until the trace is closed.
func (m *Map) Trace(r Ref) *Trace { return m.open.at(uint32(r)) }

// Decision returns a remembered decision. The pointer is valid until the decision is forgotten.
func (m *Map) Decision(r Ref) *Decided { return m.decided.at(uint32(r)) }

// Decide closes an open trace, frees its payload, and remembers d in its place. The span IDs pass to d if it was kept
// and are freed otherwise. d.ID and d.IDs are filled in here.
func (m *Map) Decide(r Ref, d Decided) Ref {
	t := m.open.at(uint32(r))
	m.Pages.Free(&t.Payload, PagesFor(t.Stored))
	m.Pages.Free(&t.Shape, PagesFor(uint64(t.Shaped)))
	d.ID = t.ID
	if d.Kept {
		d.IDs = t.IDs
		m.keptIDs += m.IDs.Bytes(&d.IDs)
	} else {
		m.IDs.Free(&t.IDs)
	}
	at := m.locate(m.hash(&t.ID), uint32(r)<<1)
	m.open.release(uint32(r))
	ref := m.remember(d)
	m.index[at].ref = ref<<1 | 1
	return Ref(ref)
}

// Remember adds a decision of an ID that is not in the map.
func (m *Map) Remember(d Decided) Ref {
	ref := m.remember(d)
	m.insert(m.hash(&d.ID), ref<<1|1)
	return Ref(ref)
}

func (m *Map) remember(d Decided) uint32 {
	ref := m.decided.alloc()
	d.next, d.Queued = 0, d.LastSeen
	*m.decided.at(ref) = d
	m.enqueue(ref)
	return ref
}

func (m *Map) enqueue(ref uint32) {
	if m.newest == 0 {
		m.oldest = ref
	} else {
		m.decided.at(m.newest).next = ref
	}
	m.newest = ref
}

// Oldest returns the decision that has waited longest in the queue of decisions, 0 if there is none.
func (m *Map) Oldest() Ref { return Ref(m.oldest) }

// Requeue moves the oldest decision to the end of the queue: a late span has refreshed it.
func (m *Map) Requeue() {
	ref := m.dequeue()
	d := m.decided.at(ref)
	d.Queued = d.LastSeen
	m.enqueue(ref)
}

func (m *Map) dequeue() uint32 {
	ref := m.oldest
	d := m.decided.at(ref)
	m.oldest = d.next
	if m.withIDs == ref {
		m.withIDs = d.next
	}
	d.next = 0
	if m.oldest == 0 {
		m.newest = 0
	}
	return ref
}

// ForgetOldest removes the oldest decision.
func (m *Map) ForgetOldest() {
	ref := m.dequeue()
	d := m.decided.at(ref)
	if d.ID != (wire.TraceID{}) {
		m.remove(m.locate(m.hash(&d.ID), ref<<1|1))
	}
	m.freeIDs(d)
	m.decided.release(ref)
}

// Forget makes the map not find a decision any more. Its place in the queue is freed when it becomes the oldest.
func (m *Map) Forget(r Ref) {
	d := m.decided.at(uint32(r))
	m.remove(m.locate(m.hash(&d.ID), uint32(r)<<1|1))
	m.freeIDs(d)
	*d = Decided{next: d.next}
}

// AddLate puts the key of a late span into the set of a kept trace and reports whether it was not there before.
func (m *Map) AddLate(d *Decided, key uint64) bool {
	before := m.IDs.Bytes(&d.IDs)
	fresh := m.IDs.Add(&d.IDs, key)
	m.keptIDs += m.IDs.Bytes(&d.IDs) - before
	return fresh
}

// KeptIDs returns the bytes that the span IDs of decisions take.
func (m *Map) KeptIDs() int { return m.keptIDs }

// ForgetIDs forgets the span IDs of decisions, of the oldest first, until they take no more than left bytes, and returns of how many
// decisions it did. A set of more than a quarter of that goes first: one trace must not cost all others theirs. The last is the decision that
// has just grown, 0 if none has.
func (m *Map) ForgetIDs(left int, last Ref) (forgotten int) {
	if last != 0 {
		if d := m.Decision(last); m.IDs.Bytes(&d.IDs) > left/4 {
			m.freeIDs(d)
			forgotten++
		}
	}
	for rounds := 0; m.keptIDs > left && rounds < 2; {
		if m.withIDs == 0 {
			m.withIDs = m.oldest
			rounds++
			if m.oldest == 0 {
				return forgotten
			}
		}
		d := m.decided.at(m.withIDs)
		if d.IDs.Len() > 0 {
			m.freeIDs(d)
			forgotten++
		}
		m.withIDs = d.next
	}
	return forgotten
}

func (m *Map) freeIDs(d *Decided) {
	m.keptIDs -= m.IDs.Bytes(&d.IDs)
	m.IDs.Free(&d.IDs)
}

// Traces returns the number of open traces.
func (m *Map) Traces() int { return m.open.len() }

// Decisions returns the number of decisions held, with those forgotten but still queued.
func (m *Map) Decisions() int { return m.decided.len() }

// EachOpen calls fn for every open trace, in no order that means anything.
func (m *Map) EachOpen(fn func(*Trace)) {
	m.open.each(func(t *Trace) {
		if t.ID != (wire.TraceID{}) {
			fn(t)
		}
	})
}

const (
	traceBytes   = 184 // of a Trace
	decidedBytes = 80  // of a Decided
)

// Held are the bytes that a Map has taken, by what for.
type Held struct {
	Payload, Headers int
	Open             int // traces, their span IDs, and the index over traces and decisions
	Decisions        int
	KeptIDs          int // span IDs of decisions
}

// Held returns what the map has taken.
func (m *Map) Held() Held {
	return Held{
		Payload: m.Pages.Held(), Headers: m.Headers.Bytes(), Open: m.open.held(traceBytes) + m.IDs.Held() - m.keptIDs + len(m.index)*8,
		Decisions: m.decided.held(decidedBytes), KeptIDs: m.keptIDs,
	}
}

func (m *Map) insert(h, ref uint32) {
	if (m.count+1)*4 > len(m.index)*3 {
		m.rehash(2 * len(m.index))
	}
	mask := uint32(len(m.index) - 1)
	i := h & mask
	for m.index[i].ref != 0 {
		i = (i + 1) & mask
	}
	m.index[i] = slot{h, ref}
	m.count++
}

// Trim gives memory back that a burst needed. Cost: linear in the number of pages and of traces.
func (m *Map) Trim() {
	m.Pages.Trim()
	m.IDs.Trim()
	if len(m.index) > minIndex && m.count*8 < len(m.index) {
		m.rehash(len(m.index) / 4)
	}
	if m.open.len() == 0 {
		m.open = slab[Trace]{}
	}
	if m.decided.len() == 0 {
		m.decided = slab[Decided]{}
	}
}

func (m *Map) rehash(size int) {
	old := m.index
	m.index = make([]slot, max(size, minIndex))
	mask := uint32(len(m.index) - 1)
	for _, s := range old {
		if s.ref == 0 {
			continue
		}
		i := s.hash & mask
		for m.index[i].ref != 0 {
			i = (i + 1) & mask
		}
		m.index[i] = s
	}
}

func (m *Map) locate(h, ref uint32) uint32 {
	mask := uint32(len(m.index) - 1)
	i := h & mask
	for m.index[i].ref != ref {
		i = (i + 1) & mask
	}
	return i
}

// remove empties a slot and moves the slots behind it up (Knuth 6.4, algorithm R), so that no tombstones pile up.
func (m *Map) remove(i uint32) {
	mask := uint32(len(m.index) - 1)
	m.count--
	for j := i; ; {
		j = (j + 1) & mask
		s := m.index[j]
		if s.ref == 0 {
			break
		}
		// s may move to i unless its home lies cyclically in (i, j].
		if (j-s.hash)&mask >= (j-i)&mask {
			m.index[i] = s
			i = j
		}
	}
	m.index[i] = slot{}
}
