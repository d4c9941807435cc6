package sampler

import (
	"cmp"
	"slices"
)

// Shed is what was left out of a checkpoint that would have been too large.
type Shed struct {
	Delivered int  // deliveries, which come once more after a restart
	Long      int  // decisions about long traces, whose late spans are decided by themselves after a restart
	State     bool // what policies knew of other traces: they begin anew after a restart
}

// Shrink leaves out what makes a checkpoint, once it is encoded and packed, larger than most bytes: first what costs least when it is
// missing. A checkpoint that cannot be stored would leave the one before in force for ever, and each restart would have more to read.
func (c *Checkpoint) Shrink(most int, pack func([]byte) []byte) (packed []byte, shed Shed) {
	const leastDelivered, leastLong = 17, 18 // bytes that one takes at least, so that what is taken out is never too little for long
	sorted := false
	for {
		b, _ := c.MarshalBinary() // never fails
		packed = pack(b)
		over := len(packed) - most
		switch {
		case over <= 0:
			return packed, shed
		case len(c.Delivered) > 0:
			n := max(0, len(c.Delivered)-over/leastDelivered-1)
			shed.Delivered += len(c.Delivered) - n
			c.Delivered = c.Delivered[:n]
		case len(c.Long) > 0:
			if !sorted { // those that were silent for longest matter least
				slices.SortStableFunc(c.Long, func(a, b LongTrace) int { return cmp.Compare(b.LastSeen, a.LastSeen) })
				sorted = true
			}
			n := max(0, len(c.Long)-over/leastLong-1)
			shed.Long += len(c.Long) - n
			c.Long = c.Long[:n]
		case len(c.State) > 0:
			c.State, c.StateAt, shed.State = nil, 0, true
		default:
			return packed, shed
		}
	}
}
