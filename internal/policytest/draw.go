package policytest

import (
	"encoding/binary"
	"hash/fnv"
	"math"

	"thresher/internal/wire"
)

// The hash by which the Collector's probabilistic policy draws: FNV-1a of the salt and the trace ID. It is part of its
// documented behaviour, so it does not change.
const defaultSalt = "default-hash-seed"

// drawn returns the ID of the trace with number i. Its last seven bytes are the randomness of W3C and OpenTelemetry: near
// zero it is below every threshold. The first eight are searched for a hash that draws alike.
func drawn(i int, win bool) wire.TraceID {
	const one = math.MaxUint64 / 2000 // a win is one from 0.05 % on, a loss one up to 99.95 %
	var id wire.TraceID
	random := uint64(i + 1)
	if win {
		random = 1<<56 - 1 - random
	}
	binary.BigEndian.PutUint64(id[8:], random|0x7e<<56)
	for n := uint64(i) << 32; ; n++ {
		binary.BigEndian.PutUint64(id[:8], n*0x9e3779b97f4a7c15) // spread, to look like an ID
		h := fnv.New64a()
		_, _ = h.Write([]byte(defaultSalt))
		_, _ = h.Write(id[:])
		if sum := h.Sum64(); win && sum < one || !win && sum > math.MaxUint64-one {
			return id
		}
	}
}
