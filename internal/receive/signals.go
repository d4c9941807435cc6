package receive

import (
	"fmt"
	"strings"
	"sync"
)

// An otherSignal is one that agents often send to the same address.
type otherSignal struct{ name, service, setting string }

var otherSignals = []otherSignal{
	{"metrics", "opentelemetry.proto.collector.metrics.v1.MetricsService", "OTEL_METRICS_EXPORTER=none"},
	{"logs", "opentelemetry.proto.collector.logs.v1.LogsService", "OTEL_LOGS_EXPORTER=none"},
	{"profiles", "opentelemetry.proto.collector.profiles.v1development.ProfilesService", ""},
}

// refusal tells a client where to turn the signal off.
func (s otherSignal) refusal() string {
	text := fmt.Sprintf("Thresher takes traces only; send %s elsewhere", s.name)
	if s.setting != "" {
		text += fmt.Sprintf(" (OTEL_EXPORTER_OTLP_%s_ENDPOINT) or turn them off (%s)", strings.ToUpper(s.name), s.setting)
	}
	return text
}

// signalsSeen are the signals that have been refused and logged. SDKs send them every minute for as long as they run: one line
// says it all.
type signalsSeen struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (r *Receiver) logOtherSignal(name, from string) {
	s := &r.signals
	s.mu.Lock()
	again := s.seen[name]
	if !again {
		if s.seen == nil {
			s.seen = map[string]bool{}
		}
		s.seen[name] = true
	}
	s.mu.Unlock()
	if again {
		return
	}
	for _, o := range otherSignals {
		if o.name == name {
			r.log.Warn("A client sends something else than traces; it is refused, and this is said only once", "signal", name,
				"first_client", from, "answer", o.refusal())
		}
	}
}
