// Package node puts Thresher together: it reads the configuration's sections into parts, starts them downstream first, runs one
// goroutine a partition, answers over HTTP, and stops everything upstream first.
//
//	receivers ─► kafka.Accumulator ─► [thresher.spans] ─► kafka.Reader ─► runner (sampler.Machine) ─► export.Delivery ─► backends
//	                                                                        ▲      │                        │
//	                                                                        └──────┼──── acknowledgements ──┘
//	                                                                               └─► checkpoint ─► commit
//
// It promises that effects happen in this order and no other: backends have acknowledged, then the checkpoint is stored, then the
// offset is committed. So a process may die between any two of its instructions, and the next one begins where nothing is lost.
// It promises that a partition whose kept traces cannot be delivered stops reading instead of growing, that /readyz is
// truthful, and that a drain takes less than five seconds and decides nothing early.
//
// # Goroutines
//
//   - runner: one a partition, owns the machine. It ends when partitions.stop tells it, after its last checkpoint; stop waits.
//   - kafka.Reader.Run and commits.run: end after the runners; stop waits.
//   - reading spilled traces again: at most Node.readers at a time over all partitions; end with Node.stopping; the runner waits.
//   - the HTTP server: ends last; server.stop waits.
//   - those of the receivers, the accumulator, the delivery and the Kafka client, which their packages name.
package node
