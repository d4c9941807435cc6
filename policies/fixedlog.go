package policies

import "math/bits"

// logBits are the bits after the point of log2.
const logBits = 32

// log2 returns the logarithm to base 2 of v, rounded down to 2^-32 but for an error of at most that; that of 0 is taken to
// be 0. The standard library's logarithms are not the same on every kind of CPU.
func log2(v uint64) uint64 {
	if v == 0 {
		return 0
	}
	whole := bits.Len64(v) - 1
	m := v << (63 - whole) // in 1..2, with 63 bits after the point
	var fraction uint64
	for range logBits {
		// The square has twice the logarithm: if it is 2 or more, the next digit is a 1.
		m, _ = bits.Mul64(m, m) // 62 bits after the point
		fraction <<= 1
		if m>>63 != 0 {
			fraction |= 1
		} else {
			m <<= 1
		}
	}
	return uint64(whole)<<logBits | fraction
}
