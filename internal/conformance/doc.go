// Package conformance compares Thresher's decisions with those of the OpenTelemetry Collector's tail_sampling processor, by
// running both.
//
//	configuration, traces ──► OTLP ──┬──► sampler.Machine ─────────► verdicts ──┐
//	 (generated from a seed)         └──► peer: the real processor ► verdicts ──┴──► equal?
//
// With `compat: strict` every verdict must be the same: sampled, not sampled or dropped, and the policy that decided. Without
// it, what docs/policies.md lists as different may differ, and nothing else: a reference that is written in the plainest way
// and knows each difference as a switch (a quirk) must agree with the peer when all are on and with Thresher when all are off.
// So every difference has the names of the quirks that make it, and they are counted.
//
// What bytes_limiting counts of a trace is found out to the byte, also for requests in encodings that nobody writes.
//
// It also runs the Collector's kafkaexporter, as docs/kafka.md configures it, and compares in which partitions it puts traces with
// wire.Partition: the program exporter, a module of its own for the same reason as the peer.
//
// The tests are all there is:
//
//	cd internal/conformance && go test ./...
//	go test -run TestVerdicts -v -seed 7 -configs 20000   # more, others; -v prints the counts
//
// They build the peer, a program in a module of its own below this package, from the versions its go.mod pins. This package
// is a module too, so that nothing here becomes a dependency of the product, and has the product's versions of everything.
package conformance
