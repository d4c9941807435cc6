package conformance

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"thresher/internal/ottl"
	"thresher/policies"
	"thresher/sampler"
)

// An engine is Thresher with a configuration.
type engine struct {
	plan     *policies.Plan
	maxBytes uint64
}

// decisionWait is in milliseconds of partition time.
const decisionWait = 30_000

func newEngine(config string, strict bool) (*engine, error) {
	var block struct {
		FirstMatch bool      `yaml:"sample_on_first_match"`
		MaxBytes   uint64    `yaml:"maximum_trace_size_bytes"`
		Policies   yaml.Node `yaml:"policies"`
	}
	if err := yaml.Unmarshal([]byte(config), &block); err != nil {
		return nil, err
	}
	plan, err := policies.Parse(&block.Policies, policies.Options{
		Strict: strict, FirstMatch: block.FirstMatch, Partitions: 1, Sizes: block.MaxBytes > 0, Conditions: ottl.New(),
	})
	return &engine{plan, block.MaxBytes}, err
}

// decide lets a partition that begins now decide the traces in OTLP requests, each a record.
func (e *engine) decide(requests ...[]byte) (map[traceID]verdict, error) {
	m, err := sampler.New(
		sampler.Limits{LateWindow: decisionWait, DeliverDropped: true},
		sampler.Settings{Plan: e.plan, DecisionWait: decisionWait, MaxTraceBytes: e.maxBytes},
	)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	now := int64(1_700_000_000_000)
	for i, r := range requests {
		if err := m.Record(sampler.Offset(i), now, r); err != nil {
			return nil, err
		}
	}
	if n := m.Stats().Invalid; n > 0 {
		return nil, fmt.Errorf("%d spans are invalid", n)
	}
	m.Elapse(2 * decisionWait)
	if m.Waiting() {
		return nil, fmt.Errorf("traces are still undecided")
	}
	verdicts := map[traceID]verdict{}
	for _, d := range m.Effects().Deliveries {
		v := verdict{"not_sampled", d.Policy}
		switch {
		case d.Kept:
			v.decision = "sampled"
		case d.Policy != "":
			v.decision = "dropped"
		}
		if old, parts := verdicts[traceID(d.TraceID)]; parts && old != v {
			return nil, fmt.Errorf("trace %x was decided twice: %v and %v", d.TraceID, old, v)
		}
		verdicts[traceID(d.TraceID)] = v
	}
	return verdicts, nil
}
