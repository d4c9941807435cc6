package policies

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"thresher/internal/wire"
)

// probabilistic passes a share of the traces, by a hash of the trace ID. It keeps exactly the traces that the
// Collector's policy keeps with the same salt and percentage. Of traces whose tracestate tells that they were sampled before, or
// their randomness, it passes those from a randomness on, so that all who sample them agree (OTEP 235).
type probabilistic struct {
	salt      string
	percent   float64
	threshold uint64 // the largest hash that passes
}

func readProbabilistic(m *mapping) rule {
	r := &probabilistic{salt: "default-hash-seed"} // the Collector's
	if salt, n := m.text("hash_salt"); n != nil && salt != "" {
		r.salt = salt
	}
	m.expected("sampling_percentage", "1")
	percent, n := m.number("sampling_percentage")
	if n != nil && (percent < 0 || percent > 100) {
		m.slip(n, m.sub("sampling_percentage"), "must lie between 0 and 100, but is %s", n.Value)
	}
	r.percent, r.threshold = percent, hashThreshold(percent/100)
	return r
}

// hashThreshold returns the part of the largest hash, cut to a whole number. The steps are those of the Collector,
// whose product has the 64 bits of precision that the largest hash has.
func hashThreshold(part float64) uint64 {
	product := new(big.Float).SetInt(new(big.Int).SetUint64(math.MaxUint64))
	threshold, _ := product.Mul(product, big.NewFloat(part)).Uint64()
	return threshold
}

func (r *probabilistic) text() string {
	return fmt.Sprintf("%s %% of trace IDs hashed with %q, up to %d", strconv.FormatFloat(r.percent, 'f', -1, 64), r.salt,
		r.threshold)
}

func (r *probabilistic) compile(c *compiler) gate {
	g := &hashGate{threshold: r.threshold, limit: limitOf(r.percent / 100), least: c.least()}
	step := g.limit
	if g.least {
		step = Never - g.limit
	}
	g.salt = c.salt(r.salt, r.threshold, step)
	return g
}

// limitOf returns the randomness from which on a share of all traces is.
func limitOf(share float64) uint64 { return Never - uint64(math.Round(min(max(share, 0), 1)*Never)) }

type hashGate struct {
	salt      int
	threshold uint64
	limit     uint64
	least     bool // see compiler.least
}

func (g *hashGate) open(e *evaluation) answer {
	if e.explicit {
		return isTrue(e.random(g.least) >= g.limit)
	}
	if e.hash(g.salt) > g.threshold {
		return no
	}
	e.until[g.salt] = min(e.until[g.salt], g.threshold) // larger hashes up to here pass as well
	return yes
}

// A salt is what trace IDs are hashed with, and all thresholds that hashes are compared with, in order.
type salt struct {
	text       string
	state      uint64 // of the hash after the salt
	thresholds []uint64
	steps      []uint64 // the same for randomness, in no order
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func newSalt(text string) salt {
	state := uint64(fnvOffset)
	for i := range len(text) {
		state = (state ^ uint64(text[i])) * fnvPrime
	}
	return salt{text: text, state: state}
}

// hash returns the 64-bit FNV-1a hash of the salt and the ID.
func (s *salt) hash(id wire.TraceID) uint64 {
	h := s.state
	for _, b := range id {
		h = (h ^ uint64(b)) * fnvPrime
	}
	return h
}
