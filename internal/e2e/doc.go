// Package e2e drives the built thresher binary as an operator would: configuration file, process, signals, HTTP, against a
// real Apache Kafka, a real Jaeger and real OpenTelemetry clients.
//
//	generated traffic, SDKs ──OTLP──► thresher process ──► Kafka ──► thresher process ──OTLP──► backend in the test, or Jaeger
//	                                                        │                                        │
//	                                                        └──► the naive twin decides the same log ─┴─► must be equal
//
// The tests have the build tag e2e. They take everything from the environment, which .ci/e2e sets after it has installed and
// started the real components; what is missing there fails, nothing is skipped. Each test has topics and a group of its own
// and removes them. They run one after the other: some stop Kafka.
//
// They promise that what they compare comes from outside the product: the log is read by a client of its own, requests
// are taken apart by a reader of their own, and decisions come from the twin. The twin has no policies that depend on other
// traces: their decisions over a crash are held against one undisturbed sampler.Machine.
package e2e
