// Package receive takes spans in over OTLP: gRPC and HTTP, protobuf and JSON, in the way and with the YAML of the
// Collector's otlpreceiver.
//
//	gRPC frames -> rawCodec -------------------------+
//	HTTP body -> decompressor (-> otlpjson.Append) --+-> request.body -> wire.Splitter -> Fragments, one or more a partition
//	                                                                                         |
//	client <- success, partial success or error <- outcome <- Publisher.Publish <------------+
//	                                                 returns when Kafka has acknowledged
//
// # What it promises
//
//   - Success is said only after the Publisher has returned nil: all in-sync replicas have all spans of the request, except
//     those that the partial success in the same answer counts.
//   - Everything else is an error that says whether to send again. What Kafka, load or a shutdown prevents is retryable
//     (gRPC UNAVAILABLE with RetryInfo, HTTP 503 with Retry-After); what the client has to change is not (INVALID_ARGUMENT,
//     RESOURCE_EXHAUSTED, UNIMPLEMENTED; HTTP 400, 413, 4xx with a google.rpc.Status).
//   - A span that cannot be used (no ID, undecodable, larger than a record) does not take the others of its request with it.
//   - Spans are validated to the bottom, and their bytes are not changed. They are never decoded to objects, be they protobuf
//     or JSON.
//   - No input makes it panic, or hold more than Memory has room for: whatever grows with what clients send is taken from
//     there first, and what does not fit is refused. A request that alone cannot fit is refused for good. What gRPC reads,
//     which it does without asking, is counted as it is read, and ended when it is too much.
//   - Whoever fills the memory, by sending much, slowly or nothing at all, does not keep small requests of others out.
//   - Nothing is accepted silently that was not understood: the partial success says what is unknown in a request without spans.
//
// # What it does not
//
//   - It does not buffer, retry or order. Clients do the first two; the log does the last.
//   - It does not remove duplicates: a request that failed after half of it was stored comes again whole.
//   - It has no authenticators and middlewares, which are extensions of the Collector. It has mutual TLS.
//
// # Goroutines
//
//   - A Receiver has two, which accept connections of gRPC and HTTP. Start starts them, Shutdown ends and waits for them.
//   - Each request is served by a goroutine of grpc or net/http. The gate counts them; Shutdown waits until none is left,
//     or forces them and says so. A gRPC message is read by one more, which ends with the call at the latest.
//   - Shutdown has up to three of its own, two that close a server each and one that waits for them. They end with the
//     last connection and request.
package receive
