package conformance

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	seed    = flag.Uint64("seed", 1, "what configurations and traces are made from")
	from    = flag.Int("from", 0, "number of the first configuration")
	configs = flag.Int("configs", 3000, "how many configurations")
	perList = flag.Int("traces", 100, "how many traces a configuration gets; a fifth of it where limits can be reached")
)

func TestReference(t *testing.T) {
	p := startPeer(t)
	bad := 0
	for no := *from; no < *from+*configs && bad < 10; no++ {
		g := newGenerator(*seed, uint64(no))
		l, tight := g.list(allTypes())
		var traces []*trace
		for range *perList {
			traces = append(traces, g.trace())
		}
		if tight {
			continue
		}
		theirs, err := p.decide(l.yaml(), batches(traces)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, l.yaml())
		}
		for _, tr := range traces {
			if want, got := decide(l, tr, allQuirks), theirs[tr.id]; want != got {
				bad++
				t.Errorf("config %d: reference says %v, peer %v\n%s%s", no, want, got, l.yaml(), tr)
				break
			}
		}
	}
}

func allTypes() []string {
	return []string{"always_sample", "latency", "latency", "numeric_attribute", "numeric_attribute", "probabilistic", "status_code",
		"string_attribute", "string_attribute", "boolean_attribute", "trace_state", "trace_flags", "span_count", "rate_limiting",
		"bytes_limiting", "ottl_condition", "and", "and", "not", "drop", "composite"}
}
var _ = fmt.Sprint
var _ = maps.Keys[map[int]int]
var _ = slices.Sort[[]int]
var _ = strings.Join
var _ sync.Mutex
