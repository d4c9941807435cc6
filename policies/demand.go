package policies

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A demand is what has been asked of a limit lately, by which it knows what traces usually cost and how many come. Each trace counts with
// the share of all randomness and hashes with which it would have to pay, so nothing in it hangs on luck.
type demand struct {
	traces  uint64 // in parts of certain
	cost    uint64 // tokens, in parts of certain
	squares uint64 // of costs, in parts of squareParts
	time    uint64 // in which it was asked, milliseconds
	quiet   uint64 // since the last time
	period  int64
}

const (
	// At the end of a period half of what is known is forgotten, but not of what is known of few traces: however rarely traces come,
	// a large one is remembered until a hundred others have come.
	demandPeriod = 600_000
	demandTraces = 256 * certain

	squareBits  = 8
	squareParts = 1 << squareBits
	mostSquared = 1 << 26 // larger costs have the square of this, so that one is below 2^60 parts

	mostDemand = math.MaxInt64 / 2 // no sum overflows
)

// forget begins a period if it is time.
func (u *demand) forget(now int64) {
	if p := now / demandPeriod; p > u.period {
		if u.period = p; u.traces >= demandTraces {
			u.halve()
		}
	}
}

func (u *demand) halve() {
	u.traces, u.cost, u.squares, u.time = u.traces/2, u.cost/2, u.squares/2, max(u.time/2, 1)
}

// add counts a trace that costs so much with a share, of certain.
func (u *demand) add(cost, share uint64) {
	if share == 0 {
		return
	}
	small := min(cost, mostSquared)
	hi, lo := bits.Mul64(small*small, share)
	const shift = certainBits - squareBits
	u.traces = min(u.traces+share, mostDemand)
	u.cost = min(u.cost+cost*share, mostDemand)
	u.squares = min(u.squares+(hi<<(64-shift)|lo>>shift)+1, mostDemand)
}

// elapsed returns in which time all was asked. A pause that is no accident does not count in full: what is asked in the morning is not what
// was asked in the night.
func (u *demand) elapsed() uint64 {
	const accident = 8 // times what passes between two traces on average: it happens once in e^8 times
	between := u.time / (u.traces/certain + 1)
	return u.time + min(u.quiet, max(demandPeriod, accident*between))
}

// take adds what was asked in a tick, if anything was.
func (u *demand) take(tick *demand) {
	if tick.traces == 0 {
		return
	}
	u.time, u.quiet = min(u.elapsed(), mostDemand), 0
	u.traces = min(u.traces+tick.traces, mostDemand)
	u.cost = min(u.cost+tick.cost, mostDemand)
	u.squares = min(u.squares+tick.squares, mostDemand)
	for max(u.traces, u.cost, u.squares) > mostDemand/2 {
		u.halve()
	}
}

// youngTraces is of how many traces a limit must know to say what a trace usually costs.
const youngTraces = 8

// young returns how much of what a trace usually costs is not known: then it is taken to be like the one that asks.
func (u *demand) young() float64 { return max(1-float64(u.traces)/(youngTraces*certain), 0) }

// lump returns what the trace costs, on average, in which a token is spent. The one that asks costs so much.
func (u *demand) lump(cost float64) float64 {
	own := float64(youngTraces * u.young())
	all := float64(u.cost)/certain + float64(own*cost)
	if all <= 0 {
		return 0
	}
	return (float64(u.squares)/squareParts + float64(own*cost*cost)) / all
}

func (u *demand) appendTo(out []byte) []byte {
	for _, n := range []uint64{u.traces, u.cost, u.squares, u.time, u.quiet} {
		out = binary.AppendUvarint(out, n)
	}
	return binary.AppendVarint(out, u.period)
}

func (u *demand) decode(d *stateDecoder) {
	u.traces, u.cost, u.squares, u.time, u.quiet = d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	u.period = d.varint()
	if max(u.traces, u.cost, u.squares, u.time, u.quiet) > mostDemand || u.time == 0 {
		d.fail()
	}
}
