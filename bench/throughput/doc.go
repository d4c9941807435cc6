// Command throughput measures Thresher end to end, as users run it: the binary as a process of its own, a Kafka, and an
// OTLP backend.
//
//	bench/shop ─► wire.Splitter ─► internal/kafka ─► [topic] ─► thresher (child process) ─► sink (OTLP gRPC, counts)
//	                                                   │
//	                                                   └─► bare drain (child process, with --baseline)
//
// It promises that what is charged to Thresher is Thresher's alone: the load, the sink and the bare drain run in other
// processes, and CPU time is what the kernel says that the child used, so other work on the machine changes the wall time
// more than the result. The log is filled once and read by every repeat from its start, with a checkpoint topic of its own.
//
// It does not promise figures that can be compared between machines: compare the ratio to the bare drain, which reads the
// same records in the same run with franz-go and does nothing with them.
//
// # Scenarios
//
//   - default: read, decide about and deliver a log that is there already, as after an outage.
//   - --hold: nothing is decided, so that all spans of the log are open at once: what memory a buffered span takes.
//   - --receive: OTLP gRPC clients send the spans to a running node, which stores, reads and decides them. Then a second
//     node reads the same log again; the difference of their CPU time is what receiving took.
//
// # Examples
//
//	go build -o thresher ./cmd/thresher
//	go run ./bench/throughput --binary ./thresher --brokers localhost:9092 --baseline --repeats 5
//	go run ./bench/throughput --binary ./thresher --brokers localhost:9092 --hold --spans 1000000
//	go run ./bench/throughput --binary ./thresher --brokers localhost:9092 --receive --spans 2000000
//	go run ./bench/throughput --binary ./thresher --embedded --spans 500000
//
// --help lists all flags. The topics that it makes are deleted at the end.
//
// # Goroutines
//
//   - sink: the gRPC server's; sink.stop waits for them.
//   - node: one that waits for the child process; node.stop waits for it.
//   - push: one a request in flight; push waits for them.
//   - profile: one that waits for a profile; the scenario waits for it.
package main
