// Package demo has the parts of `thresher demo` that are not Thresher: the load, the backend and the view.
//
//	shop ──► Driver ──► (the node: receive, decide, deliver) ──► Backend
//	                          │ Snapshot, a few times a second      │ latest trace
//	                          ▼                                     ▼
//	                        View: live screen or plain lines ◄── Tree
//	                        Report: the final JSON object or a summary for people
//
// It promises that the load keeps its pace without spinning and catches up after a stall; that the view writes nothing
// but what fits the terminal, whatever spans contain, and leaves the terminal as it was; and that a Report says
// itself whether it balances. Putting the parts together, and what the numbers in a Snapshot are, is up to the
// command.
//
// Goroutines: Driver.Run owns one for each request being sent, at most Concurrent; they end with their Send, and Run
// waits for them. StartBackend starts the one that accepts connections, and gRPC its own behind it; Backend.Stop ends
// them and waits. A View has none: it draws when shown something.
package demo
