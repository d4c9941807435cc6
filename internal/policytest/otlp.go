package policytest

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/tracefile"
)

// otlp reads traces from a file, from text that is JSON, or from JSON written as YAML.
func (r *reader) otlp(b *block, t *Test) {
	n := b.values["otlp"]
	sink := &messages{}
	switch {
	case r.doc.Broken(n):
		return
	case n.Kind == yaml.MappingNode:
		var object map[string]any
		text, err := []byte(nil), n.Decode(&object)
		if err == nil {
			text, err = json.Marshal(object)
		}
		if err != nil {
			b.report("otlp", "cannot be written as JSON: %v", err)
			return
		}
		tracefile.Read(context.Background(), "otlp", bytes.NewReader(text), sink)
	default:
		text, ok := b.text("otlp")
		if !ok {
			return
		}
		if strings.HasPrefix(strings.TrimSpace(text), "{") {
			tracefile.Read(context.Background(), "otlp", strings.NewReader(text), sink)
			break
		}
		if !filepath.IsAbs(text) {
			text = filepath.Join(r.dir, text)
		}
		tracefile.ReadFile(context.Background(), text, strings.NewReader(""), sink)
	}
	for _, problem := range sink.problems {
		b.report("otlp", "%s", strings.TrimPrefix(problem.Error(), "otlp: "))
	}
	if len(sink.problems) == 0 && len(sink.list) == 0 {
		b.report("otlp", "holds no traces")
	}
	t.messages = append(t.messages, sink.list...)
}

// messages is a sink that keeps all.
type messages struct {
	list     [][]byte
	problems []tracefile.Problem
}

func (m *messages) Traces(otlp []byte) error {
	m.list = append(m.list, otlp)
	return nil
}

func (m *messages) Problem(p tracefile.Problem) { m.problems = append(m.problems, p) }
