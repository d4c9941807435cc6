package kafka

import "sync/atomic"

// Stats is a snapshot of what has happened since the Client was made. Counters only grow.
type Stats struct {
	// Connected is what Client.Connected reports; Problem says why not.
	Connected bool   `json:"connected"`
	Problem   string `json:"problem"`

	ConsumedRecords uint64 `json:"consumed_records"`
	ConsumedBytes   uint64 `json:"consumed_bytes"` // of values, decompressed
	// FetchErrors counts answers that stopped the reading of a partition until it was mended.
	FetchErrors uint64 `json:"fetch_errors"`
	// Gaps counts jumps in what was read, LostRecords the offsets that were jumped over. Log truncations count as a gap
	// without lost records: how many are lost is not known.
	Gaps        uint64 `json:"gaps"`
	LostRecords uint64 `json:"lost_records"`
	// AssignedPartitions and PausedPartitions of the reader, now; QueuedBytes that are read but not taken, now.
	AssignedPartitions int64 `json:"assigned_partitions"`
	PausedPartitions   int64 `json:"paused_partitions"`
	QueuedBytes        int64 `json:"queued_bytes"`
	// Pauses counts how often a partition was paused.
	Pauses uint64 `json:"pauses"`

	ProducedRecords uint64 `json:"produced_records"`
	ProducedBytes   uint64 `json:"produced_bytes"` // of values, before compression
	ProduceErrors   uint64 `json:"produce_errors"` // records that Kafka did not acknowledge
	// Ticks are records without spans that were appended so that time passes; TickErrors could not be.
	Ticks      uint64 `json:"ticks"`
	TickErrors uint64 `json:"tick_errors"`
	// WaitingBytes have been published and not yet been acknowledged, now.
	WaitingBytes int64 `json:"waiting_bytes"`

	RejectedRecords uint64 `json:"rejected_records"` // written to the rejected topic
	RejectErrors    uint64 `json:"reject_errors"`    // attempts to write there that failed; they are repeated
	// RejectWaiting are records that are to be written there and are not yet acknowledged, now.
	RejectWaiting int64 `json:"reject_waiting"`

	CheckpointWrites uint64 `json:"checkpoint_writes"`
	CheckpointErrors uint64 `json:"checkpoint_errors"`
	Commits          uint64 `json:"commits"`
	CommitErrors     uint64 `json:"commit_errors"`
}

type counters struct {
	consumedRecords, consumedBytes, fetchErrors, gaps, lostRecords, pauses atomic.Uint64
	assigned, paused, queued                                               atomic.Int64

	producedRecords, producedBytes, produceErrors, ticks, tickErrors atomic.Uint64
	waiting                                                          atomic.Int64

	rejected, rejectErrors                                    atomic.Uint64
	rejectWaiting                                             atomic.Int64
	checkpointWrites, checkpointErrors, commits, commitErrors atomic.Uint64
}

// Stats takes a snapshot. Each figure is exact; they are not taken at one instant.
func (c *Client) Stats() Stats {
	n := &c.counters
	problem := c.problem.Load()
	s := Stats{
		Connected:          problem == nil,
		ConsumedRecords:    n.consumedRecords.Load(),
		ConsumedBytes:      n.consumedBytes.Load(),
		FetchErrors:        n.fetchErrors.Load(),
		Gaps:               n.gaps.Load(),
		LostRecords:        n.lostRecords.Load(),
		AssignedPartitions: n.assigned.Load(),
		PausedPartitions:   n.paused.Load(),
		QueuedBytes:        n.queued.Load(),
		Pauses:             n.pauses.Load(),
		ProducedRecords:    n.producedRecords.Load(),
		ProducedBytes:      n.producedBytes.Load(),
		ProduceErrors:      n.produceErrors.Load(),
		Ticks:              n.ticks.Load(),
		TickErrors:         n.tickErrors.Load(),
		WaitingBytes:       n.waiting.Load(),
		RejectedRecords:    n.rejected.Load(),
		RejectErrors:       n.rejectErrors.Load(),
		RejectWaiting:      n.rejectWaiting.Load(),
		CheckpointWrites:   n.checkpointWrites.Load(),
		CheckpointErrors:   n.checkpointErrors.Load(),
		Commits:            n.commits.Load(),
		CommitErrors:       n.commitErrors.Load(),
	}
	if problem != nil {
		s.Problem = *problem
	}
	return s
}
