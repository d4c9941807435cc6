// Package receive takes spans in over OTLP: gRPC and HTTP, protobuf and JSON, in the way and with the YAML of the
// Collector's otlpreceiver.
//
//	gRPC frames -> rawCodec ------------------+
//	HTTP body -> decompress (-> from JSON) ---+-> request.body -> wire.Splitter -> Fragments, one or more a partition
//	                                                                                  |
//	client <- success, partial success or error <- outcome <- Publisher.Publish <-----+
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
//   - Spans are validated to the bottom, and their bytes are not changed. Protobuf is never decoded to objects; JSON is.
//   - No input makes it panic, or hold more memory than it has sent bytes for. JSON takes a multiple of its bytes.
//   - The bodies held for Kafka are bounded by max_inflight_bytes. gRPC messages count once they are complete; how many
//     may be on their way is max_concurrent_streams.
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
//     or forces them and says so.
//   - Shutdown has up to three of its own, two that close a server each and one that waits for them. They end with the
//     last connection and request.
package receive
