package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"thresher/internal/export"
	"thresher/internal/kafka"
	"thresher/internal/receive"
	"thresher/policies"
	"thresher/sampler"
)

// Ledger accounts for every span since the process started: received is the sum of the other span counts. Spans that were
// read again only to rebuild memory after a restart are in Rebuilt and nowhere else.
type Ledger struct {
	Received    uint64 `json:"received_spans"`
	Kept        uint64 `json:"kept_spans"`
	Dropped     uint64 `json:"dropped_spans"`
	LateKept    uint64 `json:"late_kept_spans"`
	LateDropped uint64 `json:"late_dropped_spans"`
	Duplicate   uint64 `json:"duplicate_spans"`
	Invalid     uint64 `json:"invalid_spans"`
	Moved       uint64 `json:"moved_spans"`
	InFlight    uint64 `json:"in_flight_spans"`

	KeptTraces     uint64 `json:"kept_traces"`
	DroppedTraces  uint64 `json:"dropped_traces"`
	EarlyTraces    uint64 `json:"early_traces"`
	RootlessTraces uint64 `json:"rootless_traces"`
	EvictedTraces  uint64 `json:"evicted_traces"`
	SpilledTraces  uint64 `json:"spilled_traces"`
	RescuedTraces  uint64 `json:"rescued_traces"`
	LostTraces     uint64 `json:"lost_traces"`
	UnsureTraces   uint64 `json:"unsure_traces"` // kept because they may be the rest of a trace whose decision nobody remembers
	// MissedSpans are those of LateDropped that a policy would have kept their trace for, had they come before the decision.
	MissedSpans uint64 `json:"missed_spans"`
	// Misplaced are spans that were not in the partition of their trace, MisplacedTraces those that were decided in parts for it.
	Misplaced       uint64 `json:"misplaced_spans"`
	MisplacedTraces uint64 `json:"misplaced_traces"`
	Rebuilt         uint64 `json:"rebuilt_spans"`
	Redelivered     uint64 `json:"already_delivered"`
	Forgotten       uint64 `json:"forgotten_decisions"`
	ForgottenIDs    uint64 `json:"forgotten_span_ids"`
	DamagedRecords  uint64 `json:"damaged_records"`
	BytesIn         uint64 `json:"bytes_in"`
	BytesKept       uint64 `json:"bytes_kept"`
}

// Balanced reports whether every span is accounted for.
func (l *Ledger) Balanced() bool {
	return l.Received == l.Kept+l.Dropped+l.LateKept+l.LateDropped+l.Duplicate+l.Invalid+l.Moved+l.InFlight
}

func (l *Ledger) add(s *sampler.Stats) {
	l.Received += s.Received
	l.Kept += s.Kept
	l.Dropped += s.Dropped
	l.LateKept += s.LateKept
	l.LateDropped += s.LateDropped
	l.Duplicate += s.Duplicate
	l.Invalid += s.Invalid
	l.Moved += s.Moved
	l.Misplaced += s.Misplaced
	l.MisplacedTraces += s.MisplacedTraces
	l.InFlight += s.InFlight
	l.KeptTraces += s.KeptTraces
	l.DroppedTraces += s.DroppedTraces
	l.EarlyTraces += s.EarlyTraces
	l.RootlessTraces += s.RootlessTraces
	l.EvictedTraces += s.EvictedTraces
	l.SpilledTraces += s.SpilledTraces
	l.RescuedTraces += s.RescuedTraces
	l.UnsureTraces += s.UnsureTraces
	l.Rebuilt += s.Rebuilt
	l.Redelivered += s.Redelivered
	l.Forgotten += s.Forgotten
	l.ForgottenIDs += s.ForgottenIDs
	l.DamagedRecords += s.DamagedRecords
	l.BytesIn += s.BytesIn
	l.BytesKept += s.BytesKept
}

// PolicyCount is what one policy decided.
type PolicyCount struct {
	KeptTraces    uint64 `json:"kept_traces"`
	KeptSpans     uint64 `json:"kept_spans"`
	KeptBytes     uint64 `json:"kept_bytes"`
	DroppedTraces uint64 `json:"dropped_traces"`
	DroppedSpans  uint64 `json:"dropped_spans"`
	// Sole are those of the kept that no other policy matched: what removing the policy would save.
	SoleTraces uint64 `json:"sole_traces"`
	SoleSpans  uint64 `json:"sole_spans"`
	SoleBytes  uint64 `json:"sole_bytes"`
	// RescuedTraces were dropped, and are kept since a late span that this policy of rescue_on matched.
	RescuedTraces uint64 `json:"rescued_traces"`
	// MissedSpans came late to dropped traces that the policy would have kept, had they come before the decision.
	MissedSpans uint64 `json:"missed_spans"`
	// ErrorTraces have a span for which a condition in the policy could not be evaluated, and none of which it was true. FailedTraces
	// are those of them on which it had no vote for that: error_mode propagate.
	ErrorTraces  uint64 `json:"error_traces"`
	FailedTraces uint64 `json:"failed_traces"`
}

func (c *PolicyCount) add(p *sampler.PolicyStats) {
	c.KeptTraces += p.KeptTraces
	c.KeptSpans += p.KeptSpans
	c.KeptBytes += p.KeptBytes
	c.DroppedTraces += p.DroppedTraces
	c.DroppedSpans += p.DroppedSpans
	c.SoleTraces += p.SoleTraces
	c.SoleSpans += p.SoleSpans
	c.SoleBytes += p.SoleBytes
	c.RescuedTraces += p.RescuedTraces
	c.MissedSpans += p.MissedSpans
	c.ErrorTraces += p.Erred
	c.FailedTraces += p.Failed
}

// Partition is the state of one partition.
type Partition struct {
	Partition       int32   `json:"partition"`
	NextOffset      int64   `json:"next_offset"`
	ResumeOffset    int64   `json:"resume_offset"`
	CommittedOffset int64   `json:"committed_offset"`
	EndOffset       int64   `json:"end_offset"`
	LagRecords      int64   `json:"lag_records"`
	LagSeconds      float64 `json:"lag_seconds"`
	Time            string  `json:"time,omitempty"`
	StampsAhead     float64 `json:"stamps_ahead_seconds"` // how far the timestamps of the log are ahead of Time
	OpenTraces      int     `json:"open_traces"`
	Decisions       int     `json:"remembered_decisions"`
	Unsettled       int     `json:"unsettled"`
	BufferedBytes   int     `json:"buffered_bytes"`
	CheckpointAge   float64 `json:"checkpoint_age_seconds"`
	Rebuilding      bool    `json:"rebuilding"`
	Held            bool    `json:"held_by_backends"`
}

// Status is the answer of /api/status.
type Status struct {
	Version  string   `json:"version"`
	Uptime   float64  `json:"uptime_seconds"`
	State    string   `json:"state"` // starting, running, draining
	Ready    bool     `json:"ready"`
	NotReady []string `json:"not_ready_because,omitempty"`
	Ledger   Ledger   `json:"ledger"`
	// Misplaced is the latest trace that was not where it belongs; absent if there was none since the start.
	Misplaced *Misplaced             `json:"misplaced,omitempty"`
	Policies  map[string]PolicyCount `json:"policies"`
	// Advice is what to change in the configuration, of Thresher or of who sends to it, and why.
	Advice     []string    `json:"advice,omitempty"`
	Partitions []Partition `json:"partitions"`
	// HeldPartitions wait because the backends have not taken what was kept.
	HeldPartitions int                      `json:"held_partitions"`
	OpenTraces     int                      `json:"open_traces"`
	Buffered       int                      `json:"buffered_bytes"`
	Memory         uint64                   `json:"memory_bytes"`
	Places         []Place                  `json:"memory_places"`
	Receivers      map[string]receive.Stats `json:"receivers"`
	Exporters      []export.ExporterStats   `json:"exporters"`
	Kafka          kafka.Stats              `json:"kafka"`
	// Forgetful counts partitions taken over of whose log too little was left to remember earlier decisions.
	Forgetful uint64 `json:"forgetful_partitions"`
}

// Status gathers what all parts say of themselves.
func (n *Node) Status() Status {
	s := Status{
		Version:  n.opts.Version,
		Uptime:   time.Since(n.started).Seconds(),
		State:    stateNames[n.state.Load()],
		Policies: map[string]PolicyCount{},
		Memory:   memoryInUse() + n.slabs.Held(),
	}
	s.NotReady = n.notReady()
	s.Ready = len(s.NotReady) == 0
	for _, name := range slices.Concat(n.cfg.Plan.Names(), n.cfg.Plan.RescueNames()) {
		s.Policies[name] = PolicyCount{}
	}
	var late missed
	now, ends := time.Now(), n.ends.Load()
	views := n.views()
	for _, v := range views {
		s.Ledger.add(&v.stats)
		s.Ledger.LostTraces += v.lost
		late.add(&v.stats)
		for _, p := range v.stats.Policies {
			name := p.Name
			if name == "" {
				name = policies.Unmatched
			}
			c := s.Policies[name]
			c.add(&p)
			s.Policies[name] = c
		}
		if a := v.astray; a != nil && (s.Misplaced == nil || a.at.After(s.Misplaced.LastSeen)) {
			s.Misplaced = a.told(v.no)
		}
		s.OpenTraces += v.stats.OpenTraces
		s.Buffered += v.stats.BufferedBytes
		s.Partitions = append(s.Partitions, v.partition(ends, now))
		if v.held {
			s.HeldPartitions++
		}
	}
	if s.Ledger.MissedSpans = late.spans; late.spans > 0 {
		s.Advice = append(s.Advice, fmt.Sprintf("%d spans came after their traces were dropped, which policies would have kept for them (%s): %s",
			late.spans, late.by(), late.advice(&n.cfg.Sampling)))
	}
	if s.Misplaced != nil {
		s.Advice = append(s.Advice, s.Misplaced.advice(&s.Ledger))
	}
	slices.SortFunc(s.Partitions, func(a, b Partition) int { return int(a.Partition - b.Partition) })
	s.Receivers = n.receiverStats()
	if d := n.deliveries(); d != nil {
		s.Exporters = d.Stats().Exporters
		slices.SortFunc(s.Exporters, func(a, b export.ExporterStats) int { return strings.Compare(a.ID, b.ID) })
	}
	s.Kafka = n.client.Stats()
	s.Forgetful = n.forgot.Load()
	s.Places = append(n.machinePlaces(views), n.receivingPlaces()...)
	return s
}
