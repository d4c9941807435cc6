package wire

import "github.com/cespare/xxhash/v2"

// Partition returns the partition, in [0, n), of the log in which the spans of a trace are. n must be positive.
//
// It must never change: it is the layout of the log. Spans that are in the log already, and producers and readers of
// another version, would disagree about where a trace is, and it would be decided in parts.
func Partition(id TraceID, n int) int { return int(xxhash.Sum64(id[:]) % uint64(n)) }
