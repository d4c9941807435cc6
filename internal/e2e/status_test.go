//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// ledger is what /api/status says of spans since the process started.
type ledger struct {
	Received    int `json:"received_spans"`
	Kept        int `json:"kept_spans"`
	Dropped     int `json:"dropped_spans"`
	LateKept    int `json:"late_kept_spans"`
	LateDropped int `json:"late_dropped_spans"`
	Duplicate   int `json:"duplicate_spans"`
	Invalid     int `json:"invalid_spans"`
	InFlight    int `json:"in_flight_spans"`

	KeptTraces    int `json:"kept_traces"`
	DroppedTraces int `json:"dropped_traces"`
}

// balance fails when a span is not accounted for.
func (l ledger) balance() error {
	if sum := l.Kept + l.Dropped + l.LateKept + l.LateDropped + l.Duplicate + l.Invalid + l.InFlight; sum != l.Received {
		return fmt.Errorf("the ledger does not balance: received %d, all outcomes %d: %+v", l.Received, sum, l)
	}
	return nil
}

// report is the part of /api/status that the tests look at.
type report struct {
	Ready    bool   `json:"ready"`
	Ledger   ledger `json:"ledger"`
	Policies map[string]struct {
		KeptTraces  int `json:"kept_traces"`
		KeptSpans   int `json:"kept_spans"`
		MissedSpans int `json:"missed_spans"`
	} `json:"policies"`
	Partitions []struct {
		Partition int32 `json:"partition"`
		Next      int64 `json:"next_offset"`
		Resume    int64 `json:"resume_offset"`
		Lag       int64 `json:"lag_records"`
	} `json:"partitions"`
	OpenTraces int      `json:"open_traces"`
	Advice     []string `json:"advice"`
}

// status asks /api/status. The ledger balances at any moment.
func (n *node) status() (report, error) {
	var s report
	code, text, err := n.get("/api/status")
	if err != nil {
		return s, err
	}
	if code != http.StatusOK {
		return s, fmt.Errorf("/api/status says %d: %s", code, text)
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("/api/status: %w in %s", err, text)
	}
	if err := s.Ledger.balance(); err != nil {
		n.t.Error(err)
	}
	return s, nil
}

// settled waits until all of the log is read, decided, delivered and acknowledged.
func (n *node) settled(within time.Duration) report {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	admin := newAdmin(n.t)
	var s report
	eventually(n.t, within, "everything to be settled", func() (err error) {
		if s, err = n.status(); err != nil {
			return err
		}
		ends, err := logEnds(ctx, admin, n.names.spans)
		if err != nil {
			return err
		}
		if s.Ledger.InFlight > 0 || s.OpenTraces > 0 || len(s.Partitions) == 0 {
			return fmt.Errorf("%d spans of %d open traces in flight, %d partitions", s.Ledger.InFlight, s.OpenTraces, len(s.Partitions))
		}
		for _, p := range s.Partitions {
			if end := ends[p.Partition]; p.Next != end || p.Resume != end || p.Lag != 0 {
				return fmt.Errorf("the log ends at %d, the node is at %+v", end, p)
			}
		}
		return nil
	})
	return s
}
