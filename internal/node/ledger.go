package node

import (
	"thresher/internal/config"
	"thresher/sampler"
)

// What node.memory_limit is shared out to, in 64ths. Payloads are outside the heap, the rest is in it, and the collector needs some room above
// what is in use. See docs/adr/011-bytes.md for the places, and for what happens when one is full.
const (
	payloadShare    = 24 // spans of open traces and their headers
	deliveryShare   = 8  // kept traces that backends have not accepted
	openShare       = 8  // summaries and span IDs of open traces
	decisionShare   = 4
	settlementShare = 2 // what is settled behind the oldest that is not
	gatherShare     = 2 // traces that are read again
	keptIDShare     = 1 // IDs of spans of kept traces
	moveShare       = 2 // spans on their way to the partition of their trace, if spans are moved
	rejectShare     = 1 // damaged records and spans on their way to the rejected topic
	readAheadShare  = 1 // and twice as much of partitions that are not drained
	receiveShare    = 8 // connections and requests, from their first byte to Kafka's acknowledgement
	produceShare    = 2 // fragments gathered for Kafka; franz-go makes a request and its compressed form of them, as much again each
)

// share returns so many 64ths of the limit.
func (b budget) share(n int64) int64 { return b.limit / 64 * n }

const (
	// decisionBytes is about what a remembered decision costs, with its share of the index.
	decisionBytes = 104
	// againBytes is about what reading one trace again takes: a fetch, its records, and a part or two.
	againBytes = 4 << 20
)

// bound gives the machine of one of so many partitions its limits.
func (b budget) bound(l *sampler.Limits, partitions int64) {
	l.BufferBytes = int(b.buffer / partitions)
	l.OpenBytes = int(b.share(openShare) / partitions)
	l.KeptIDBytes = int(b.share(keptIDShare) / partitions)
	l.SettlementBytes = int(b.share(settlementShare) / partitions)
	l.Decisions = int(b.share(decisionShare) / partitions / decisionBytes)
}

// readers returns how many traces are read again at a time.
func (b budget) readers() int { return int(min(max(1, b.share(gatherShare)/againBytes), 8)) }

// rejects returns how many bytes a partition may have on the way to the rejected topic, give or take a record.
func (b budget) rejects(partitions int) int64 {
	return min(b.share(rejectShare), mostRejects) / int64(partitions)
}

// boundReading lets Kafka be read ahead no further than the limit allows.
func (b budget) boundReading(cfg *config.Config) {
	r := &cfg.Kafka.Reader
	most := int(max(1<<20, b.share(readAheadShare)))
	r.BufferBytes = min(r.BufferBytes, most)
	r.FetchBytes = min(r.FetchBytes, most)
	r.PartitionBytes = min(r.PartitionBytes, r.FetchBytes)
}

// boundProducing lets no more wait for Kafka than the limit allows.
func (b budget) boundProducing(cfg *config.Config) {
	p := &cfg.Kafka.Producer
	p.BufferBytes = min(p.BufferBytes, int(max(1<<20, b.share(produceShare))))
}

// A Place is something that takes memory: what it has now, and what it may have. Each has one answer to its being full.
type Place struct {
	Name  string `json:"place"`
	Bytes int64  `json:"bytes"`
	Limit int64  `json:"limit_bytes,omitempty"` // 0: bounded by something else than bytes
}

// machinePlaces are those of the partition machines.
func (n *Node) machinePlaces(views []*view) []Place {
	var sum sampler.Memory
	for _, v := range views {
		m := &v.stats.Memory
		sum.Payload += m.Payload
		sum.Headers += m.Headers
		sum.Open += m.Open
		sum.Decisions += m.Decisions
		sum.KeptIDs += m.KeptIDs
		sum.Settlement += m.Settlement
		sum.State += m.State
		sum.Scratch += m.Scratch
	}
	b := n.budget
	return []Place{
		{"payload", int64(sum.Payload + sum.Headers), b.buffer},
		{"open_traces", int64(sum.Open), b.share(openShare)},
		{"decisions", int64(sum.Decisions), b.share(decisionShare)},
		{"late_span_ids", int64(sum.KeptIDs), b.share(keptIDShare)},
		{"settlement", int64(sum.Settlement), b.share(settlementShare)},
		{"policy_state", int64(sum.State), 0},
		{"scratch", int64(sum.Scratch), 0},
		{"rejected", n.rejectBytes(), min(b.share(rejectShare), mostRejects)},
	}
}

// receivingPlaces are those between a client and Kafka. Full is answered with "come back".
func (n *Node) receivingPlaces() []Place {
	p := []Place{{"receive", n.receiving.Used(), n.receiving.Limit()}}
	n.mu.RLock()
	a := n.accumulator
	n.mu.RUnlock()
	if a != nil {
		p = append(p, Place{"produce", a.Held(), int64(n.cfg.Kafka.Producer.BufferBytes)})
	}
	return p
}

func (m *series) memory(places []Place) {
	var bytes, limits []point
	for _, p := range places {
		bytes = append(bytes, num(uint64(p.Bytes), "place", p.Name))
		if p.Limit > 0 {
			limits = append(limits, num(uint64(p.Limit), "place", p.Name))
		}
	}
	m.gauge("thresher.memory", "By", "Memory by place: what grows with the input, and has a limit.", bytes...)
	m.gauge("thresher.memory.limit", "By", "What a place may have of node.memory_limit.", limits...)
}
