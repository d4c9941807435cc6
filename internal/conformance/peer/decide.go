package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	tailsampling "github.com/open-telemetry/opentelemetry-collector-contrib/processor/tailsamplingprocessor"
	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/tailsamplingprocessor/pkg/samplingpolicy"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.yaml.in/yaml/v3"
)

type verdict struct {
	id               pcommon.TraceID
	decision, policy string
}

// decide starts a processor, gives it the batches and stops it. Stopping makes it decide every trace at once, so nothing
// waits for the clock.
func decide(config []byte, batches []ptrace.Traces) (verdicts []verdict, err error) {
	var raw map[string]any
	if err := yaml.Unmarshal(config, &raw); err != nil {
		return nil, fmt.Errorf("yaml: %w", err)
	}
	factory := tailsampling.NewFactory()
	cfg := factory.CreateDefaultConfig().(*tailsampling.Config)
	if err := confmap.NewFromStringMap(raw).Unmarshal(cfg); err != nil {
		return nil, fmt.Errorf("unmarshal: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	var mu sync.Mutex
	decided := map[pcommon.TraceID]bool{}
	hook := func(_ context.Context, id pcommon.TraceID, t *tailsampling.TraceData) {
		mu.Lock()
		defer mu.Unlock()
		if t.FinalDecision == samplingpolicy.NotSampled && decided[id] {
			return // the hook is called again for each batch that comes after a trace grew too large
		}
		decided[id] = true
		verdicts = append(verdicts, verdict{id, t.FinalDecision.String(), t.PolicyName})
	}
	cfg.Options = append(cfg.Options, tailsampling.WithSampledHooks(hook), tailsampling.WithNonSampledHooks(hook))

	ctx := context.Background()
	p, err := factory.CreateTraces(ctx, processortest.NewNopSettings(factory.Type()), cfg, consumertest.NewNop())
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	if err := p.Start(ctx, componenttest.NewNopHost()); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	sent := traceIDs(batches)
	for _, b := range batches {
		if err := p.ConsumeTraces(ctx, b); err != nil {
			return nil, fmt.Errorf("consume: %w", err)
		}
	}
	if err := p.Shutdown(ctx); err != nil {
		return nil, fmt.Errorf("shutdown: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if missing := len(sent) - len(verdicts); missing > 0 {
		// The processor's loop panics. What it defers lets Shutdown return, a moment before the panic ends this program.
		<-time.After(10 * time.Second)
		return nil, fmt.Errorf("%d traces were not decided", missing)
	}
	return verdicts, nil
}

func traceIDs(batches []ptrace.Traces) map[pcommon.TraceID]bool {
	ids := map[pcommon.TraceID]bool{}
	for _, b := range batches {
		for _, rs := range b.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					ids[s.TraceID()] = true
				}
			}
		}
	}
	return ids
}
