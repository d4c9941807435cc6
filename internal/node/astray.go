package node

import (
	"encoding/hex"
	"fmt"
	"time"

	"thresher/sampler"
)

// astray is the latest trace of a partition that does not belong there.
type astray struct {
	found sampler.Misplaced
	at    time.Time // of this machine, when it was heard of
}

// Misplaced is a trace that was found in a partition where it does not belong.
type Misplaced struct {
	TraceID   string    `json:"trace_id"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	BelongsTo int       `json:"belongs_to"`
	LastSeen  time.Time `json:"last_seen"`
}

func (a *astray) told(partition int32) *Misplaced {
	return &Misplaced{
		TraceID: hex.EncodeToString(a.found.TraceID[:]), Partition: partition, Offset: int64(a.found.Offset), BelongsTo: a.found.Partition,
		LastSeen: a.at,
	}
}

// mendProducer is what to do about a producer that puts traces elsewhere.
const mendProducer = "a producer of the topic puts traces where nobody looks for them; in the Collector's kafka exporter set " +
	"partition_traces_by_id: true and remove record_partitioner (docs/kafka.md)"

// complainOfAstray notes the latest trace that does not belong here, and logs it at most once a minute for all partitions.
func (r *runner) complainOfAstray() {
	x, found := r.machine.TakeMisplaced()
	if !found {
		return
	}
	r.astray = &astray{x, time.Now()}
	if !r.n.complaints.due("misplaced", r.astray.at) {
		return
	}
	becomes := "they are decided in parts; kafka.spans.misplaced: move would make them whole"
	if r.n.mover != nil {
		becomes = "their spans are moved to it"
	}
	r.log.Warn("traces are not in their partition: "+becomes, "trace_id", hex.EncodeToString(x.TraceID[:]), "offset", int64(x.Offset),
		"belongs_to", x.Partition, "mend", mendProducer)
}

// advice says what was misplaced since the start, and what to do about it.
func (m *Misplaced) advice(l *Ledger) string {
	return fmt.Sprintf("misplaced: %d spans since the start were not in the partition of their trace (%d moved there, %d traces decided in parts), "+
		"the last %v ago: trace %s in partition %d belongs to %d; %s", l.Misplaced, l.Moved, l.MisplacedTraces,
		time.Since(m.LastSeen).Round(time.Second), m.TraceID, m.Partition, m.BelongsTo, mendProducer)
}
