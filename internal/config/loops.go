package config

import (
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/export"
)

// loops reports exporters that would send kept traces back into Thresher, and exporters that would write over each
// other.
func (r *reader) loops(top *yaml.Node) {
	key, n := get(top, "exporters")
	files := map[string]string{}
	for _, id := range r.cfg.Exporters.IDs() {
		at := func(element string) (*yaml.Node, string) {
			return r.find(key, n, []string{"exporters", id, element})
		}
		switch cfg := r.cfg.Exporters.Exporters[id].(type) {
		case *export.GRPCConfig:
			target := cfg.Client.Endpoint
			if _, rest, ok := strings.Cut(target, "://"); ok {
				target = strings.TrimLeft(rest, "/")
			}
			r.comesBack(target, at)
		case *export.HTTPConfig:
			if u, err := url.Parse(cfg.Client.Endpoint); err == nil {
				r.comesBack(u.Host, at)
			}
		case *export.KafkaConfig:
			if cfg.Topic == r.cfg.Kafka.Spans.Topic && slices.ContainsFunc(cfg.Brokers, func(b string) bool {
				return slices.Contains(r.cfg.Kafka.Brokers, b)
			}) {
				node, path := at("topic")
				r.d.add(node, path, "%q is the topic that Thresher reads (kafka.spans.topic), so every kept trace would come back; "+
					"write to another topic", cfg.Topic)
			}
		case *export.FileConfig:
			if other, taken := files[cfg.Path]; taken && cfg.Path != "" {
				node, path := at("path")
				r.d.add(node, path, "%s is also written by %s; give each its own file", quote(cfg.Path), other)
			}
			files[cfg.Path] = "exporters." + id
		}
	}
}

func (r *reader) comesBack(target string, at func(string) (*yaml.Node, string)) {
	for _, own := range r.addresses {
		if own.path != "node.listen" && reaches(target, own.endpoint) {
			node, path := at("endpoint")
			r.d.add(node, path, "%s is Thresher's own receiver (%s, line %d), so every kept trace would come back; write the backend's "+
				"address, or give the receiver another port", target, own.path, own.at.Line)
			return
		}
	}
}
