// Package export delivers traces to backends and tells when each has arrived.
//
// # What it promises
//
// An item is acknowledged once, when every required exporter of its route has settled it: the backend accepted it, or the
// rejected topic has it. Anything short of that is tried again for ever, with growing pauses: a backend that is down, slow,
// misconfigured or out of quota costs lag, never data. A trace is given to the rejected topic only by a backend that is known
// to accept others: because it says that the trace is bad (hold.go), or because it fails on it again and again while it
// accepts the others (blame.go). A trace travels whole, in one request, and the stored bytes go out as they are. One
// exporter that is stuck does not hold up another, one trace that is refused does not take its neighbours along, and a
// best-effort exporter never holds up anything.
//
// # What it does not
//
// It remembers nothing over a restart: what is unacknowledged is read from the log again. So a trace can arrive twice
// (a request that timed out may have been accepted), and acknowledgements come in any order. A trace that is larger than
// what a backend accepts is not split. The budget bounds what waits only if the caller heeds Full.
//
// # Data flow
//
//	Submit -> entry --+--> exporter A: queue -> batch -> in flight -> accepted ----------> settle --+-> Ack (the last required)
//	                  |                  ^                 |  |                                     |
//	                  |                  parked <- again --+  +-- refused: split, down to a trace   |
//	                  |                  set back <- held --+     -> Reject -> in the topic: settle +
//	                  +--> exporter B: ...
//
// An entry is shared by the exporters of its route and counts them down. The outcome of a request is judged in classify.go
// and nowhere else. exporter.go decides what to send next, finish.go what an outcome means, hold.go and blame.go whose fault
// it is.
//
// # Locks
//
// Each exporter has one for its queues, each partition one around Ack, the budget one. They are taken in the order
// exporter, budget; Ack and Reject are called with no lock held but the partition's.
//
// # Goroutines
//
//   - A loop for each exporter (exporter.run), started by Start, ended and awaited by Shutdown.
//   - One for each request in flight, started by the loop, at most max_in_flight for an exporter. It ends with the request;
//     Shutdown cancels it after a grace period and waits.
//   - One that waits for those two during Shutdown.
//   - Those of gRPC, HTTP and Kafka clients, ended when Shutdown closes them. Idle HTTP connections behind headers or
//     compression cannot be closed from here and end when the server or their idle timeout ends them.
package export
