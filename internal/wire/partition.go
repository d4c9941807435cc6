package wire

// Partition returns the partition, in [0, n), of the log in which the spans of a trace are. n must be positive, and fit an int32.
//
// It is what the Collector's kafkaexporter does by default with `partition_traces_by_id: true`: the 32-bit FNV-1a hash of the trace
// ID as 32 lower-case hexadecimal digits, as Sarama takes it, so that such an exporter may write the log beside us.
//
// It must never change: it is the layout of the log. Spans that are in the log already, and producers and readers of
// another version, would disagree about where a trace is, and it would be decided in parts.
func Partition(id TraceID, n int) int {
	const (
		digits = "0123456789abcdef"
		prime  = 16777619
	)
	h := uint32(2166136261)
	for _, b := range id {
		h = (h ^ uint32(digits[b>>4])) * prime
		h = (h ^ uint32(digits[b&15])) * prime
	}
	p := int32(h) % int32(n) // with the sign of the hash, which Sarama takes off afterwards
	if p < 0 {
		p = -p
	}
	return int(p)
}
