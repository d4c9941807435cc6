package policies

import (
	"encoding/binary"
	"math"
)

// stateDecoder reads the fields of a state until one is missing or is not what would have been written; from then on it is
// bad and every field is 0. Only shortest varints are taken: otherwise two texts would stand for one state.
type stateDecoder struct {
	b   []byte
	bad bool
}

// fail makes the decoder bad.
func (d *stateDecoder) fail() { d.b, d.bad = nil, true }

// take returns the next n bytes, nil if there are not as many.
func (d *stateDecoder) take(n int) []byte {
	if d.bad || n < 0 || len(d.b) < n {
		d.fail()
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *stateDecoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *stateDecoder) uint64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (d *stateDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *stateDecoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// float reads what appendFloat wrote: a finite number that is not negative.
func (d *stateDecoder) float() float64 {
	bits := d.uint64()
	v := math.Float64frombits(bits)
	if bits>>63 != 0 || !(v <= math.MaxFloat64) {
		d.fail()
		return 0
	}
	return v
}

// count reads the number of elements of at least size bytes each, and refuses one that cannot be true.
func (d *stateDecoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}
