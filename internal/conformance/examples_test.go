package conformance

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An example is a file in testdata: a configuration like one in the processor's README, and what it does.
type example struct {
	TailSampling yaml.Node        `yaml:"tail_sampling"`
	Traces       []exampleTrace   `yaml:"traces"`
	Shares       []exampleShare   `yaml:"shares"`
	Refused      *exampleRefusals `yaml:"refused"`
}

type exampleTrace struct {
	Expect string        `yaml:"expect"`
	Spans  []exampleSpan `yaml:"spans"`
}

type exampleShare struct {
	By     string        `yaml:"by"`
	Of     int           `yaml:"of"`
	Within int           `yaml:"within"`
	Spans  []exampleSpan `yaml:"spans"`
}

type exampleRefusals struct {
	Peer     string `yaml:"peer"`
	Thresher string `yaml:"thresher"`
	Strict   string `yaml:"strict"` // accepted: Thresher with compat: strict only warns
}

type exampleSpan struct {
	MS         uint64         `yaml:"ms"`
	Status     int32          `yaml:"status"`
	State      string         `yaml:"state"`
	Attributes map[string]any `yaml:"attributes"`
	Resource   map[string]any `yaml:"resource"`
	Events     []string       `yaml:"events"`
	Blank      int            `yaml:"blank"` // bytes of an attribute that nothing looks at
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var e example
			d := yaml.NewDecoder(strings.NewReader(string(content)))
			d.KnownFields(true)
			if err := d.Decode(&e); err != nil {
				t.Fatal(err)
			}
			config, err := yaml.Marshal(&e.TailSampling)
			if err != nil {
				t.Fatal(err)
			}
			e.run(t, string(config))
		})
	}
}

// run checks what the peer does, and Thresher with and without `compat: strict`.
func (e *example) run(t *testing.T, config string) {
	p := startPeer(t)
	refusals := exampleRefusals{}
	if e.Refused != nil {
		refusals = *e.Refused
	}
	subjects := []struct {
		name    string
		decide  func(requests ...[]byte) (map[traceID]verdict, error)
		refusal string
	}{
		{"peer", func(r ...[]byte) (map[traceID]verdict, error) { return p.decide(config, r...) }, refusals.Peer},
		{"strict", func(r ...[]byte) (map[traceID]verdict, error) { return thresher(config, true, r) }, refusals.Thresher},
		{"default", func(r ...[]byte) (map[traceID]verdict, error) { return thresher(config, false, r) }, refusals.Thresher},
	}
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			if e.Refused != nil {
				if _, err := s.decide(); s.name == "strict" && e.Refused.Strict == "accepted" {
					if err != nil {
						t.Errorf("refuses: %v", err)
					}
				} else if err == nil || !strings.Contains(err.Error(), s.refusal) {
					t.Errorf("does not refuse with %q: %v", s.refusal, err)
				}
				return
			}
			for i, tr := range e.Traces {
				verdicts, err := s.decide(batches([]*trace{build(uint64(i), tr.Spans)})...)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range verdicts {
					if v.String() != tr.Expect {
						t.Errorf("trace %d is %v, not %s", i, v, tr.Expect)
					}
				}
			}
			for _, share := range e.Shares {
				n := 0
				for i := range 200 {
					var traces []*trace // as many as num_traces of the examples; the peer forgets what is more
					for j := range 100 {
						traces = append(traces, build(uint64(100*i+j), share.Spans))
					}
					verdicts, err := s.decide(batches(traces)...)
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range verdicts {
						if v.policy == share.By {
							n++
						}
					}
				}
				if n < share.Of-share.Within || n > share.Of+share.Within {
					t.Errorf("%s decides %d of 20,000 traces, not %d", share.By, n, share.Of)
				}
			}
		})
	}
}

// build makes a trace of spans that start together.
func build(no uint64, spans []exampleSpan) *trace {
	t := &trace{batches: make([][]*piece, 1)}
	binary.BigEndian.PutUint64(t.id[:], (no+1)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(t.id[8:], no+1)
	for i, s := range spans {
		made := &span{start: 1_700_000_000_000_000_000, status: s.Status, state: s.State, attrs: attrsOf(s.Attributes)}
		made.end = made.start + s.MS*1_000_000
		binary.BigEndian.PutUint64(made.id[:], uint64(i+1))
		if i > 0 {
			made.parent[7] = 1
		}
		for _, name := range s.Events {
			made.events = append(made.events, event{name: name})
		}
		if s.Blank > 0 {
			made.attrs = append(made.attrs, attr{"blank", text(strings.Repeat(" ", s.Blank))})
		}
		t.batches[0] = append(t.batches[0], &piece{
			resource: &resource{attrs: attrsOf(s.Resource)}, runs: []*run{{scope: &scope{}, spans: []*span{made}}},
		})
	}
	return t
}

func attrsOf(m map[string]any) (attrs []attr) {
	for key, v := range m {
		a := attr{key: key}
		switch v := v.(type) {
		case string:
			a.value = text(v)
		case int:
			a.value = whole(int64(v))
		case float64:
			a.value = double(v)
		case bool:
			a.value = boolean(v)
		default:
			panic(fmt.Sprintf("no attribute: %v", v))
		}
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(x, y attr) int { return strings.Compare(x.key, y.key) })
	return attrs
}
