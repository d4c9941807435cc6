// Package twin decides the traces of a partition a second time, in the most obvious way, so that tests can compare.
//
//	records ──► pdata ──► map of traces ──► Decider ──► Result: every trace, its spans, the ledger
//
// It promises to be easy to check by reading: plain maps, whole spans, every rule in one place (Twin.Apply), no
// cleverness about memory or speed. It shares no code with the engine; what both do alike they do for the same reason
// written twice.
//
// It is for tests only. It keeps everything in memory and never forgets what it has decided, it only stops to believe in it.
package twin
