package config

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"thresher/internal/suggest"
)

// strangers reports the top-level keys that are not sections. Most often they are the rest of a Collector
// configuration, so each is told where its content goes.
func (r *reader) strangers(top *yaml.Node) {
	_, connectors := get(top, "connectors")
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		name := key.Value
		if slices.ContainsFunc(sections(), func(s section) bool { return s.name == name }) {
			continue
		}
		switch name {
		case "processors":
			r.d.add(key, name, "this is a section of an OpenTelemetry Collector; %s", processors(value))
		case "service":
			r.d.add(key, name, "this is a section of an OpenTelemetry Collector, and Thresher has no pipelines; remove it%s", pipelines(value, connectors))
		case "extensions":
			r.d.add(key, name, "this is a section of an OpenTelemetry Collector, and extensions are not supported in this version; remove it")
		case "connectors":
			r.d.add(key, name, "this is a section of an OpenTelemetry Collector, and there are no connectors here; remove it")
		case "tail_sampling":
			r.d.add(key, name, "here this section is called sampling; rename it, its content can stay as it is")
		case "policies", "decision_wait", "decision_wait_after_root_received", "late_window":
			r.d.add(key, name, "this belongs below sampling; indent it under a line `sampling:`")
		case "brokers":
			r.d.add(key, name, "this belongs below kafka; indent it under a line `kafka:`")
		case "otlp", "protocols":
			r.d.add(key, name, "this belongs below receivers; write receivers: {otlp: {protocols: ...}}")
		default:
			known := make([]string, 0, len(sections()))
			for _, s := range sections() {
				known = append(known, s.name)
			}
			hint := suggest.DidYouMean(name, known)
			if hint == "" {
				hint = "; the sections are " + strings.Join(known, ", ")
			}
			r.d.add(key, name, "unknown section%s", hint)
		}
	}
}

// meant says whether a missing section was probably written in another place or under another name. That has been
// reported, and with it what to write.
func (r *reader) meant(top *yaml.Node, name string) bool {
	if name == "sampling" {
		_, processors := get(top, "processors")
		found, _ := tailSampling(processors)
		if found != nil || has(top, "tail_sampling") || has(top, "policies") {
			return true
		}
	}
	if name == "kafka" && has(top, "brokers") {
		return true
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		if suggest.Nearest(top.Content[i].Value, []string{name}) == name {
			return true
		}
	}
	return false
}

// processors says what to do with the processors of a Collector configuration.
func processors(n *yaml.Node) string {
	key, _ := tailSampling(n)
	if key == nil {
		return "it has no tail_sampling processor, so remove it and write a section `sampling:` with policies"
	}
	msg := "move what is below " + key.Value + " (line " + strconv.Itoa(key.Line) + ") to a section `sampling:` at the left margin, as it is, " +
		"and remove `processors:`"
	var others []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i] != key {
			others = append(others, n.Content[i].Value)
		}
	}
	if len(others) > 0 {
		msg += "; " + strings.Join(others, ", ") + ": not here, leave such work to a Collector in front (batching and memory limits are built in)"
	}
	return msg
}

// tailSampling finds the tail_sampling processor.
func tailSampling(n *yaml.Node) (key, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if kind, _, _ := strings.Cut(n.Content[i].Value, "/"); kind == "tail_sampling" {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// pipelines says which routes do what the pipelines of a Collector configuration do.
func pipelines(service, connectors *yaml.Node) string {
	_, all := get(service, "pipelines")
	var exporters []string
	if all != nil && all.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(all.Content); i += 2 {
			if kind, _, _ := strings.Cut(all.Content[i].Value, "/"); kind != "traces" {
				continue
			}
			if _, list := get(all.Content[i+1], "exporters"); list != nil && list.Kind == yaml.SequenceNode {
				for _, item := range list.Content {
					if !slices.Contains(exporters, item.Value) && !has(connectors, item.Value) {
						exporters = append(exporters, item.Value)
					}
				}
			}
		}
	}
	if len(exporters) == 0 {
		return ""
	}
	return " and write routes: {kept: [" + strings.Join(exporters, ", ") + "]}"
}

// elsewhere says of a key that is unknown here where it may belong, or what is known here.
func elsewhere(name string, known []string) string {
	for _, s := range sections() {
		if s.name == name {
			return "it is a section of its own, so move it to the left margin"
		}
	}
	return "known here: " + list(known)
}

// list writes names for a message, sorted, and not more than a person reads.
func list(names []string) string {
	names = slices.Sorted(slices.Values(names))
	const most = 24
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func has(n *yaml.Node, name string) bool {
	key, _ := get(n, name)
	return key != nil
}
