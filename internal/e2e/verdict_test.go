//go:build e2e

package e2e

import (
	"math"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/internal/twin"
)

// shopPolicies suit the traffic of the shop: each of them decides some of its traces. shopTwin are the same, for the twin.
const shopPolicies = `
    - {name: health, type: drop, drop: {drop_sub_policy: [{name: probe, type: string_attribute, string_attribute: {key: http.route, values: [/healthz]}}]}}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: slow, type: latency, latency: {threshold_ms: 1000}}
    - {name: vip, type: string_attribute, string_attribute: {key: user.tier, values: [vip]}}
    - {name: few, type: probabilistic, probabilistic: {sampling_percentage: 1}}`

func shopTwin() twin.Set {
	return twin.Set{
		{Name: "health", Policy: twin.Drop{twin.StringAttribute{Key: "http.route", Values: []string{"/healthz"}}}},
		{Name: "errors", Policy: twin.StatusCode{ptrace.StatusCodeError}},
		{Name: "slow", Policy: twin.Latency{ThresholdMs: 1000}},
		{Name: "vip", Policy: twin.StringAttribute{Key: "user.tier", Values: []string{"vip"}}},
		{Name: "few", Policy: twin.Probabilistic{Percentage: 1}},
	}
}

// rules are those of the default settings.
func rules() twin.Rules {
	return twin.Rules{DecisionWaitMs: 2000, AfterRootMs: 500, LateWindowMs: 600_000, Decide: shopTwin().Decide}
}

// verdict is what the twin says about a topic.
type verdict struct {
	kept     map[pcommon.TraceID]map[twin.SpanKey]bool // and their spans, late ones too
	ledger   ledger
	policies map[string]int // kept traces
	logged   map[pcommon.TraceID]map[twin.SpanKey]bool
}

// judge lets the twin decide what a topic holds.
func judge(t testing.TB, topic string, rules twin.Rules) verdict {
	t.Helper()
	v := verdict{
		kept:     map[pcommon.TraceID]map[twin.SpanKey]bool{},
		logged:   map[pcommon.TraceID]map[twin.SpanKey]bool{},
		policies: map[string]int{},
	}
	for partition, records := range readTopic(t, topic) {
		result := twin.Run(logged(records), rules, math.MaxInt64)
		if len(result.Damaged) > 0 {
			t.Errorf("partition %d: the records at %v are not OTLP", partition, result.Damaged)
		}
		for _, trace := range result.Decided {
			into := func(m map[pcommon.TraceID]map[twin.SpanKey]bool) {
				if m[trace.ID] == nil {
					m[trace.ID] = map[twin.SpanKey]bool{}
				}
				for _, key := range trace.Spans {
					m[trace.ID][key] = true
				}
				for _, key := range trace.Late {
					m[trace.ID][key] = true
				}
			}
			into(v.logged)
			if !trace.Keep {
				v.ledger.DroppedTraces++
				continue
			}
			into(v.kept)
			v.ledger.KeptTraces++
			v.policies[trace.Policy]++
		}
		l := result.Ledger
		v.ledger.Received += l.Received
		v.ledger.Kept += l.Kept
		v.ledger.Dropped += l.Dropped
		v.ledger.LateKept += l.LateKept
		v.ledger.LateDropped += l.LateDropped
		v.ledger.Duplicate += l.Duplicate
		v.ledger.Invalid += l.Invalid
	}
	return v
}

// compare fails unless the backend has every span of every trace that the twin keeps, as it was sent, and nothing else,
// and unless the log has all that was acknowledged.
func (v verdict) compare(t testing.TB, sent, got *book) {
	t.Helper()
	lost := []string{}
	for id, spans := range sent.traces {
		for key := range spans {
			if !v.logged[id][key] {
				lost = append(lost, id.String()+"/"+key.ID.String())
			}
		}
	}
	if len(lost) > 0 {
		t.Errorf("acknowledged to the client and not in the log: %s", some(lost))
	}
	missing, extra, altered := differences(v.kept, sent, got)
	if len(missing) > 0 {
		t.Errorf("kept by the twin and not delivered: %s", some(missing))
	}
	if len(extra) > 0 {
		t.Errorf("delivered and not kept by the twin: %s", some(extra))
	}
	if len(altered) > 0 {
		t.Errorf("delivered otherwise than sent: %s", some(altered))
	}
	// Whole means all that was sent of the trace, not only what the twin has seen.
	incomplete := []string{}
	for id := range got.traces {
		if n := len(got.traces[id]); n != len(sent.traces[id]) {
			incomplete = append(incomplete, id.String())
		}
	}
	if len(incomplete) > 0 {
		t.Errorf("delivered incomplete: %s", some(incomplete))
	}
}
