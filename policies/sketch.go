package policies

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// A sketch is a DDSketch (Masson, Rim and Lee, VLDB 2019) of durations in nanoseconds: it tells quantiles with a relative
// error of 1 %, or half a nanosecond. Old values can be made to count less. The zero value is empty.
//
// Buckets are spread by a cubic polynomial that is close to the logarithm, in whole numbers: every CPU puts a value into
// the same bucket.
type sketch struct {
	bins  []sketchBin // not empty, by index
	total uint64      // their sum
}

type sketchBin struct{ index, count uint32 }

const (
	// sketchBins bounds the buckets. The lowest are put together beyond it: quantiles above them stay right.
	sketchBins = 512

	// An octave, from a power of two to the next, has 35 buckets: the polynomial is (6s^3 - 21s^2 + 50s)/35 with s from 0
	// to 1, its slope against the logarithm is smallest at s = 0, and there a bucket spans 0.7/35 = 2 % of the value, which
	// is within 1 % of the middle.
	octaveBuckets = 35

	sketchIndexes = 1 + 64*octaveBuckets // of 0, and of what has a logarithm

	// maxSketchTotal is how many values are counted before older ones are made to count less ahead of time.
	maxSketchTotal = 1 << 31
)

// sketchIndex returns the bucket of a value.
func sketchIndex(v uint64) uint32 {
	if v == 0 {
		return 0
	}
	octave := bits.Len64(v) - 1
	s := v << (63 - octave) << 1 >> 32 // the part of the octave, with 32 bits after the point
	// 6s^3 - 21s^2 + 50s by Horner's rule; each product is cut to 32 bits after the point, so no larger s has a smaller one.
	return 1 + octaveBuckets*uint32(octave) + uint32(octavePart(s))
}

// octavePart returns which of the buckets of an octave s is in.
func octavePart(s uint64) uint64 {
	inner := 21<<32 - 6*s
	inner = 50<<32 - mulPart(s, inner)
	return mulPart(s, inner) >> 32
}

// mulPart multiplies a number below 1 with another, both with 32 bits after the point.
func mulPart(s, x uint64) uint64 {
	hi, lo := bits.Mul64(s, x)
	return hi<<32 | lo>>32
}

// sketchLower returns the smallest value whose bucket is not below this one.
func sketchLower(index uint32) uint64 {
	if index == 0 {
		return 0
	}
	octave := (index - 1) / octaveBuckets
	if octave > 63 {
		return 1<<64 - 1
	}
	lo, hi := uint64(1)<<octave, uint64(1)<<octave<<1-1
	for lo < hi {
		middle := lo + (hi-lo)/2
		if sketchIndex(middle) < index {
			lo = middle + 1
		} else {
			hi = middle
		}
	}
	if sketchIndex(lo) < index {
		lo++ // the next octave
	}
	return lo
}

// sketchValue returns the value that stands for a bucket.
func sketchValue(index uint32) uint64 {
	if index == 0 {
		return 0
	}
	lo, hi := sketchLower(index), sketchLower(index+1)
	if hi > lo && index+1 < sketchIndexes {
		hi--
	}
	shift := lo >> 63 // for the sum to fit
	return sketchMiddle(lo>>shift, hi>>shift) << shift
}

// sketchMiddle returns what is as far from both relative to them, 2*lo*hi/(lo+hi), rounded to the nearest.
func sketchMiddle(lo, hi uint64) uint64 {
	// It is lo and a part of what lies between, lo*(hi-lo)/(lo+hi); twice that, and one, is halved after rounding down.
	up, down := bits.Mul64(2*(hi-lo), lo)
	down, carry := bits.Add64(down, lo+hi, 0)
	quotient, _ := bits.Div64(up+carry, down, lo+hi)
	return lo + quotient/2
}

// add counts a value.
func (s *sketch) add(v uint64) {
	s.addBin(sketchIndex(v), 1)
	s.bound()
}

// addBin adds to a bucket.
func (s *sketch) addBin(index, count uint32) {
	i, found := slices.BinarySearchFunc(s.bins, index, func(b sketchBin, x uint32) int { return int(b.index) - int(x) })
	if !found {
		s.bins = slices.Insert(s.bins, i, sketchBin{index: index})
	}
	s.bins[i].count += count
	s.total += uint64(count)
}

// bound keeps the sketch within its bounds.
func (s *sketch) bound() {
	for s.total >= maxSketchTotal {
		s.decay(1)
	}
	if over := len(s.bins) - sketchBins; over > 0 {
		for _, b := range s.bins[:over] {
			s.bins[over].count += b.count
		}
		s.bins = slices.Delete(s.bins, 0, over)
	}
}

// merge counts all that another sketch has counted.
func (s *sketch) merge(o *sketch) {
	for _, b := range o.bins {
		s.addBin(b.index, b.count)
	}
	s.bound()
}

// count returns the number of values; old ones count less.
func (s *sketch) count() uint64 { return s.total }

// decay halves the weight of all values so often. What is left of the number of values up to each bucket is a half of it
// rounded down: so quantiles stay where they are, however few values each bucket has, and halving twice is the same as
// taking a quarter.
func (s *sketch) decay(halvings uint64) {
	before, after := uint64(0), uint64(0)
	kept := s.bins[:0]
	for _, b := range s.bins {
		before += uint64(b.count)
		if left := before>>halvings - after; left > 0 {
			kept = append(kept, sketchBin{b.index, uint32(left)})
			after += left
		}
	}
	s.bins, s.total = kept, after
}

// quantile returns a value that a part q of the values are not above, 0 if there are none.
func (s *sketch) quantile(q float64) uint64 {
	if s.total == 0 {
		return 0
	}
	rank := uint64(0) // values below it
	if q > 0 {
		rank = uint64(float64(min(q, 1) * float64(s.total-1)))
	}
	below := uint64(0)
	for _, b := range s.bins {
		below += uint64(b.count)
		if below > rank {
			return sketchValue(b.index)
		}
	}
	return sketchValue(s.bins[len(s.bins)-1].index)
}

// Buckets are written in order: counts, and in place of a count 0 and how many buckets in a row are empty.
func (s *sketch) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.bins)))
	next := uint32(0)
	for _, bin := range s.bins {
		if gap := bin.index - next; gap > 0 {
			b = binary.AppendUvarint(append(b, 0), uint64(gap))
		}
		b = binary.AppendUvarint(b, uint64(bin.count))
		next = bin.index + 1
	}
	return b
}

func (s *sketch) decode(d *stateDecoder) {
	*s = sketch{}
	n := d.count(1)
	if n > sketchBins {
		d.fail()
		return
	}
	s.bins = make([]sketchBin, 0, n)
	next := uint64(0)
	for range n {
		count := d.uvarint()
		if count == 0 {
			gap := d.uvarint()
			count = d.uvarint()
			if gap == 0 || gap >= sketchIndexes {
				d.fail()
			}
			next += gap
		}
		s.total += count
		if count == 0 || count >= maxSketchTotal || s.total >= maxSketchTotal || next >= sketchIndexes {
			d.fail()
		}
		if d.bad {
			*s = sketch{}
			return
		}
		s.bins = append(s.bins, sketchBin{uint32(next), uint32(count)})
		next++
	}
}
