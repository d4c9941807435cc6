package sampler

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"thresher/buffer"
	"thresher/internal/wire"
)

// A Checkpoint is what a node that takes the partition over must know besides the log.
type Checkpoint struct {
	// Resume is the place before which everything is settled. It is what the consumer group commits, AFTER the checkpoint
	// is stored.
	Resume Resume
	// ReplayFrom is where to read the log from. What lies between it and Resume is read to recognise late spans, not to deliver
	// again. It is a place and not a time: what the clocks of brokers say is not needed to find it.
	ReplayFrom Start
	// Next is the place up to which the log was read. Traces that begin before it are decided by the rules below even if the
	// configuration has changed since, as they would have been.
	Next Resume
	// Policies identifies the policies in force.
	Policies uint64
	// Rules are those that what is read again was decided by, in the order of their places. At least one: the first also holds before
	// its place.
	Rules []Rules
	// Evictions are where traces were decided early for lack of memory, of what is read again.
	Evictions []Eviction
	// Delivered are deliveries from Resume on that the backends have acknowledged.
	Delivered []DeliveredKey
	// Long are decisions of traces that began before ReplayFrom, or before StateAt, and were still alive at Resume: reading the
	// log from ReplayFrom cannot tell how they were decided.
	Long []LongTrace
	// State is what policies that depend on other traces knew at partition time StateAt, after all decisions that were due by
	// then. Decisions due later are made again from it. It is empty if there are no such policies.
	State   []byte
	StateAt int64
	// Unsure is the partition time before which a trace that begins may be the rest of one whose decision nobody remembers: see
	// Machine.Lost. math.MinInt64 if there is none.
	Unsure int64
}

// DeliveredKey names a delivery independently of the process that made it: a trace by its first offset, late
// spans by the offset of their record, each with what kind of delivery it is.
//
// The kind is needed in full. Say that late spans a2 and a3 of a dropped trace stand in one record, and a3 is an error that
// rescue_on wants:
//
//  1. a2 is delivered to the route for what is dropped, a3 to that for what is kept: two deliveries of one trace and one record.
//  2. The backend of the latter acknowledges. A checkpoint is stored, the node is killed.
//  3. Read again, the record gives both deliveries again. If the key that the checkpoint has meant both, neither would be sent, and
//     a2 would be lost.
//
// Within a kind they cannot be two: a decision holds for the whole record, and turns from dropped to kept once.
type DeliveredKey struct {
	Offset Offset
	ID     wire.TraceID
	Kind   DeliveryKind
}

// DeliveryKind tells the deliveries of one trace and record apart.
type DeliveryKind uint8

// The kinds of deliveries.
const (
	Decided     DeliveryKind = iota // a trace, when it is decided
	LateDropped                     // late spans of a dropped trace
	LateKept                        // late spans of a kept trace
	MovedAway                       // spans of a trace that belongs to another partition
)

func (k DeliveredKey) compare(o DeliveredKey) int {
	return cmp.Or(cmp.Compare(k.Offset, o.Offset), bytes.Compare(k.ID[:], o.ID[:]), cmp.Compare(k.Kind, o.Kind))
}

// LongTrace is the decision of a trace that outlives the replayed part of the log.
type LongTrace struct {
	ID       wire.TraceID
	LastSeen int64
	Kept     bool
	Policy   uint32
	Share    float64 // the probability with which it was kept
	// Reread is set if it began at or after ReplayFrom, so that its spans are read again, and before StateAt. If it is due by then
	// when they are, this is how it was decided.
	Reread bool
	// Rescued and Dropped are as in buffer.Decided.
	Rescued, Dropped bool
}

func longTrace(d *buffer.Decided) LongTrace {
	return LongTrace{ID: d.ID, LastSeen: d.LastSeen, Kept: d.Kept, Policy: d.Policy, Share: d.Share, Rescued: d.Rescued, Dropped: d.Dropped}
}

// checkpointVersion is the first byte of the encoding. A reader refuses versions that it does not know.
const checkpointVersion = 4

// maxDelivered bounds the delivered set, which with the rest stays below the 8 MiB of the topic. Deliveries
// left out are delivered once more after a crash.
const maxDelivered = 200_000

// maxLong bounds the encoded long traces. Late spans of those left out are decided anew after a crash.
const maxLong = 80_000

// ErrCheckpoint is returned for bytes that are not a checkpoint.
var ErrCheckpoint = errors.New("not a valid checkpoint")

// MarshalBinary encodes the checkpoint. It never fails.
func (c *Checkpoint) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, 64+len(c.Delivered)*21+len(c.Long)*32+len(c.State))
	b = append(b, checkpointVersion)
	b = binary.AppendUvarint(b, uint64(c.Resume))
	b = c.ReplayFrom.append(b)
	b = binary.AppendUvarint(b, uint64(c.Next-c.Resume))
	b = binary.AppendVarint(b, c.Unsure)
	b = binary.LittleEndian.AppendUint64(b, c.Policies)
	b = binary.AppendUvarint(b, uint64(len(c.Rules)))
	for _, r := range c.Rules {
		b = binary.AppendVarint(binary.AppendUvarint(b, uint64(r.From)), r.Since)
		for _, v := range []uint64{
			uint64(r.DecisionWait), uint64(r.RootWait), r.MaxTraceBytes, uint64(r.Tick), uint64(r.LateWindow), uint64(r.Hold),
		} {
			b = binary.AppendUvarint(b, v)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(c.Evictions)))
	at := Offset(0)
	for _, e := range c.Evictions {
		b = binary.AppendUvarint(b, uint64(e.At-at))
		b = binary.AppendUvarint(b, uint64(e.Spans))
		b = binary.AppendUvarint(b, uint64(e.At-e.Through))
		at = e.At
	}
	b = binary.AppendUvarint(b, uint64(len(c.Delivered)))
	for _, d := range c.Delivered {
		b = binary.AppendUvarint(b, uint64(d.Offset-Offset(c.Resume))<<2|uint64(d.Kind))
		b = append(b, d.ID[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Long)))
	for _, l := range c.Long {
		b = append(b, l.ID[:]...)
		v := uint64(l.Policy) << 4
		for bit, set := range []bool{l.Kept, l.Reread, l.Rescued, l.Dropped} {
			if set {
				v |= 1 << bit
			}
		}
		b = binary.AppendUvarint(b, v)
		b = binary.AppendVarint(b, l.LastSeen)
		if l.Kept {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(l.Share))
		}
	}
	b = binary.AppendVarint(b, c.StateAt)
	b = binary.AppendUvarint(b, uint64(len(c.State)))
	b = append(b, c.State...)
	return b, nil
}

// UnmarshalBinary decodes a checkpoint. Its error wraps ErrCheckpoint.
func (c *Checkpoint) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	if v := d.byte(); d.bad || v != checkpointVersion {
		return fmt.Errorf("%w: unknown version %d", ErrCheckpoint, v)
	}
	*c = Checkpoint{Resume: Resume(d.uvarint()), ReplayFrom: d.start()}
	c.Next = c.Resume + Resume(d.uvarint())
	c.Unsure = d.varint()
	c.Policies = d.uint64()
	for n := d.count(8); n > 0; n-- {
		r := Rules{
			Resume(d.uvarint()), d.varint(), int64(d.uvarint()), int64(d.uvarint()), d.uvarint(), int64(d.uvarint()), int64(d.uvarint()),
			int64(d.uvarint()),
		}
		if r.isBad() || len(c.Rules) > 0 && r.From <= c.Rules[len(c.Rules)-1].From {
			d.bad = true
		}
		c.Rules = append(c.Rules, r)
	}
	at := Offset(0)
	for n := d.count(3); n > 0; n-- {
		at += Offset(d.uvarint())
		e := Eviction{At: at, Spans: uint32(d.uvarint())}
		if e.Through = at - Offset(d.uvarint()); at < 0 || e.Through < 0 || e.Through > at {
			d.bad = true
		}
		c.Evictions = append(c.Evictions, e)
	}
	for n := d.count(17); n > 0; n-- {
		v := d.uvarint()
		c.Delivered = append(c.Delivered, DeliveredKey{Offset(c.Resume) + Offset(v>>2), d.id(), DeliveryKind(v & 3)})
	}
	for n := d.count(18); n > 0; n-- {
		l := LongTrace{ID: d.id()}
		v := d.uvarint()
		l.Kept, l.Reread, l.Rescued, l.Dropped, l.Policy = v&1 != 0, v&2 != 0, v&4 != 0, v&8 != 0, uint32(v>>4)
		l.LastSeen = d.varint()
		if l.Kept {
			if l.Share = math.Float64frombits(d.uint64()); !(l.Share > 0 && l.Share <= 1) {
				d.bad = true
			}
		}
		c.Long = append(c.Long, l)
	}
	c.StateAt = d.varint()
	if n := d.count(1); n > 0 {
		c.State = bytes.Clone(d.take(n))
	}
	if d.bad || len(d.b) != 0 || c.Resume < 0 || c.Next < c.Resume || c.ReplayFrom.Offset > c.Resume || len(c.Rules) == 0 {
		return fmt.Errorf("%w: damaged (%d bytes)", ErrCheckpoint, len(b))
	}
	return nil
}

// decoder reads fields until one is missing; from then on it is bad and returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.b) < n {
		d.bad, d.b = true, nil
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (d *decoder) id() (id wire.TraceID) {
	copy(id[:], d.take(len(id)))
	return id
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the number of elements of at least size bytes each, and refuses one that cannot be true.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.bad, d.b = true, nil
		return 0
	}
	return int(n)
}
