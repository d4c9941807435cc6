// Package kafka is Thresher's side of the log: topics, reading, writing, checkpoints and commits.
//
// # What it promises
//
//   - Every record of an assigned partition is delivered once per assignment, in offset order, and a hole is never
//     silent: what retention deleted before it was read, and what an unclean leader election took back, arrives in the
//     same queue as a [Gap], is logged as an error and counted.
//   - A partition that is not drained does not hold back the others, and memory stays bounded: its fetching is paused
//     until its queue has been taken.
//   - [Accumulator.Publish] returns nil only after every in-sync replica has the spans. Everything else is an error, and
//     [IsRetryable] says whether sending the same again can help.
//   - What a [Rejecter] was given is in the rejected topic when it says so, and until then it is tried again.
//   - Wrong topics are refused at start ([Client.Ensure]) with what they have, what they need and the command to mend it.
//
// # What it does not
//
//   - It knows nothing about spans: values are bytes.
//   - It does not fence: two readers of one partition both read it, two savers of one checkpoint both save it. Thresher
//     is built so that this costs duplicates and nothing else.
//   - It does not join a consumer group. Partitions are assigned by the caller; the group carries offsets only, so that
//     the usual lag tools work.
//
// # Data flow
//
//	receivers -> Accumulator -> Producer -> [thresher.spans] -> Reader -> Feed (one a partition) -> runner
//	runner -> Checkpoints.Save -> [thresher.checkpoints],  then Checkpoints.Commit -> consumer group
//	anything undecodable, traces that backends refuse -> Rejecter -> [thresher.rejected]
//
// # Goroutines
//
//   - Client: one, started by a successful Ensure, asks every second whether Kafka answers; Close stops it and waits.
//   - Rejecter: one, started by the first Reject, sends what waits; Client.Close stops it and waits.
//   - Reader: Run is the caller's goroutine and owns every change to what is fetched. It starts one more, which asks for
//     log ends; it stops with Run, and Run waits for it.
//   - Accumulator: one, sends records whose linger is over; Close stops it and waits. Close itself uses one to wait with
//     a time limit; it ends when the last request is settled, at the latest with Producer.Close.
//   - Embedded: those of the fake cluster; Close stops them.
//   - franz-go's own, which the Close of each part stops.
package kafka
