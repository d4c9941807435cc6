package sampler

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"thresher/bench/shop"
	"thresher/internal/twin"
	"thresher/internal/wire"
)

// twinPolicies are mixedPolicies, for the twin.
func twinPolicies() twin.Set {
	return twin.Set{
		{Name: "errors", Policy: twin.StatusCode{ptrace.StatusCodeError}},
		{Name: "big", Policy: twin.SpanCount{Min: 6}},
		{Name: "some", Policy: twin.Probabilistic{Percentage: 20}},
		{Name: "vip", Policy: twin.StringAttribute{Key: "user", Values: []string{"vip"}}},
		{Name: "noise", Policy: twin.Drop{twin.StringAttribute{Key: "path", Values: []string{"/healthz"}}}},
	}
}

// compareWithTwin lets the machine and the naive twin read the same log and wants the same of both: decisions, policies, spans,
// order, and the ledger.
func compareWithTwin(t *testing.T, name string, s Settings, l Limits, decide twin.Decider, log []logRecord) (evicted uint64) {
	t.Helper()
	const end = 1 << 41
	var records []twin.Record
	for i, r := range log {
		records = append(records, twin.Record{Offset: int64(i), TimestampMs: r.at, Value: r.value})
	}
	want := twin.Run(records, twin.Rules{
		DecisionWaitMs: s.DecisionWait, AfterRootMs: s.RootWait, LateWindowMs: l.LateWindow, MaxTraceBytes: s.MaxTraceBytes, Decide: decide,
		MaxOpen: l.OpenBytes, TraceCost: openCost + 8*s.Plan.Words(), SpanCost: spanCost,
	}, end)

	l.DeliverDropped = true
	m, err := New(l, s)
	require.NoError(t, err)
	var got []string
	late := map[string][]string{}
	collect := func() {
		for _, d := range m.Effects().Deliveries {
			names := spanKeys(t, d.Payload)
			if d.Late {
				late[string(d.TraceID[:])] = append(late[string(d.TraceID[:])], names...)
				continue
			}
			got = append(got, fmt.Sprintf("%x of %d: kept %v by %q early %v: %v", d.TraceID, d.Offset, d.Kept, d.Policy, d.Early, names))
		}
		m.Clear()
	}
	for i, r := range log {
		err := m.Record(Offset(i), r.at, r.value)
		damaged := false
		for _, o := range want.Damaged {
			damaged = damaged || o == int64(i)
		}
		require.Equal(t, damaged, err != nil, "%s: record %d: %v", name, i, err)
		collect()
	}
	m.Elapse(1 << 30)
	collect()

	var wanted []string
	wantedLate := map[string][]string{}
	for _, tr := range want.Decided {
		wanted = append(wanted, fmt.Sprintf("%x of %d: kept %v by %q early %v: %v", [16]byte(tr.ID), tr.FirstOffset, tr.Keep, tr.Policy, tr.Early, keyNames(tr.Spans)))
		if len(tr.Late) > 0 {
			wantedLate[string(tr.ID[:])] = append(wantedLate[string(tr.ID[:])], keyNames(tr.Late)...)
		}
	}
	require.Equal(t, len(wanted), len(got), name)
	for i := range wanted {
		require.Equal(t, wanted[i], got[i], "%s: decision %d", name, i)
	}
	for _, l := range []map[string][]string{late, wantedLate} {
		for id := range l {
			sort.Strings(l[id])
		}
	}
	require.Equal(t, wantedLate, late, name)
	st := m.Stats()
	require.Equal(t, want.Ledger, twin.Ledger{
		Received: int(st.Received), Kept: int(st.Kept), Dropped: int(st.Dropped), LateKept: int(st.LateKept),
		LateDropped: int(st.LateDropped), Duplicate: int(st.Duplicate), Invalid: int(st.Invalid), InFlight: int(st.InFlight),
	}, name)
	return st.EvictedTraces
}

func spanKeys(t *testing.T, payload []byte) []string {
	t.Helper()
	k := keyVisitor{}
	require.NoError(t, walk(payload, &k))
	sort.Strings(k.names)
	return k.names
}

func walk(payload []byte, v wire.Visitor) error { return wire.Walk(payload, &wire.Scratch{}, v) }

type keyVisitor struct{ names []string }

func (*keyVisitor) Resource([]byte) error { return nil }
func (*keyVisitor) Scope([]byte) error    { return nil }
func (k *keyVisitor) Span(raw []byte) error {
	var s wire.Span
	if err := wire.ScanSpan(raw, nil, &s); err != nil {
		return err
	}
	k.names = append(k.names, fmt.Sprintf("%x server=%v", s.SpanID, s.Kind == kindServer))
	return nil
}

func keyNames(keys []twin.SpanKey) []string {
	names := []string{}
	for _, k := range keys {
		names = append(names, fmt.Sprintf("%x server=%v", [8]byte(k.ID), k.Server))
	}
	sort.Strings(names)
	return names
}

func TestTwinOnRandomLogs(t *testing.T) {
	_, s := mixed(t)
	for seed := range uint64(60) {
		log := oddLog(t, rand.New(rand.NewPCG(seed, 7)), 150, seed)
		compareWithTwin(t, fmt.Sprintf("seed %d", seed), s, Limits{LateWindow: 12_000}, twinPolicies().Decide, log)
	}
}

// TestTwinWithLittleMemory does it with a budget for open traces that is too small.
func TestTwinWithLittleMemory(t *testing.T) {
	_, s := mixed(t)
	evicted := uint64(0)
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 12))
		l := Limits{LateWindow: 12_000, OpenBytes: 1 + rnd.IntN(12_000)}
		evicted += compareWithTwin(t, fmt.Sprintf("seed %d", seed), s, l, twinPolicies().Decide, randomLog(t, rnd, 150))
	}
	require.Greater(t, evicted, uint64(1000))
}

const shopPolicies = `
- {name: health, type: drop, drop: {drop_sub_policy: [{name: path, type: string_attribute, string_attribute: {key: http.route, values: [/healthz]}}]}}
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
- {name: slow, type: latency, latency: {threshold_ms: 1000}}
- {name: vip, type: string_attribute, string_attribute: {key: user.tier, values: ["^pl"], enabled_regex_matching: true}}
- {name: shipping, type: string_attribute, string_attribute: {key: service.name, values: [shipping]}}
- {name: one percent, type: probabilistic, probabilistic: {sampling_percentage: 1}}
`

func shopTwin() twin.Set {
	return twin.Set{
		{Name: "health", Policy: twin.Drop{twin.StringAttribute{Key: "http.route", Values: []string{"/healthz"}}}},
		{Name: "errors", Policy: twin.StatusCode{ptrace.StatusCodeError}},
		{Name: "slow", Policy: twin.Latency{ThresholdMs: 1000}},
		{Name: "vip", Policy: twin.StringAttribute{Key: "user.tier", Values: []string{"^pl"}, Regex: true}},
		{Name: "shipping", Policy: twin.StringAttribute{Key: "service.name", Values: []string{"shipping"}}},
		{Name: "one percent", Policy: twin.Probabilistic{Percentage: 1}},
	}
}

// TestTwinOnTheShop does it with the traffic of the shop, split into partitions as receivers do.
func TestTwinOnTheShop(t *testing.T) {
	const partitions = 3
	for _, rootWait := range []int64{0, 2000} {
		cfg := shop.Default(rootWait + 1)
		cfg.LateRate, cfg.DuplicateRate = 0.1, 0.05
		s := shop.New(cfg)
		split := wire.NewSplitter(wire.SplitOptions{Partitions: partitions, Deep: true})
		logs := make([][]logRecord, partitions)
		for spans := 0; spans < 40_000; {
			r := s.Next()
			spans += r.Spans
			out, err := split.Split(nil, r.Data)
			require.NoError(t, err)
			require.Equal(t, r.Spans, out.Spans)
			for _, f := range out.Fragments {
				logs[f.Partition] = append(logs[f.Partition], logRecord{at: 1_000_000 + r.At.Milliseconds(), value: append([]byte(nil), f.Bytes...)})
			}
		}
		for p, log := range logs {
			compareWithTwin(t, fmt.Sprintf("root wait %d, partition %d", rootWait, p),
				Settings{Plan: mustPlan(t, shopPolicies), DecisionWait: 10_000, RootWait: rootWait, MaxTraceBytes: 60_000}, Limits{LateWindow: 30_000}, shopTwin().Decide, log)
		}
	}
}
