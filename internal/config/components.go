package config

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/config/confignet"
	"go.yaml.in/yaml/v3"

	"thresher/internal/export"
	"thresher/internal/receive"
	"thresher/internal/suggest"
)

func (r *reader) receivers(key, n *yaml.Node, path string) {
	names, values := r.blocks(key, n, path, "receivers: {otlp: {protocols: {grpc: {endpoint: 0.0.0.0:4317}}}}")
	for i, name := range names {
		at := sub(path, name.Value)
		kind, rest, named := strings.Cut(name.Value, "/")
		switch {
		case kind != "otlp":
			r.d.add(name, at, "receivers of type %q are not supported; %s", kind, insteadOf(kind))
			continue
		case named && strings.TrimSpace(rest) == "":
			r.d.add(name, at, "nothing follows the slash; write otlp, or a name such as otlp/internal")
			continue
		}
		cfg := receive.DefaultConfig()
		decode(r.d, name, values[i], at, &cfg)
		r.cfg.Receivers = append(r.cfg.Receivers, Receiver{Name: name.Value, Config: cfg})
		r.listens(place{at: name, value: values[i], path: at, t: reflect.TypeFor[receive.Config]()}, &cfg)
	}
}

// insteadOf says how spans get here without a receiver of another type.
func insteadOf(kind string) string {
	switch {
	case suggest.Nearest(kind, []string{"otlp"}) != "":
		return "did you mean otlp?"
	case kind == "kafka":
		return "Thresher reads the topic of the kafka section, which must be partitioned by trace ID"
	}
	return "only otlp is; let agents and SDKs send OTLP, or translate in a Collector with the " + kind + " receiver and an otlp exporter"
}

// listens notes the addresses of a receiver and checks that they are addresses.
func (r *reader) listens(p place, cfg *receive.Config) {
	check := func(protocol string, endpoint string, transport confignet.TransportType) {
		if transport != "" && !strings.HasPrefix(string(transport), "tcp") {
			return
		}
		at, _ := p.locate("protocols." + protocol + ".endpoint: ")
		if endpoint == "" {
			return // reported by Validate
		}
		if err := checkListen(endpoint, "0.0.0.0:4317"); err != nil {
			r.d.add(at.at, at.path, "%v", err)
			return
		}
		r.addresses = append(r.addresses, address{at.at, at.path, endpoint})
	}
	if grpc := cfg.Protocols.GRPC.Get(); grpc != nil {
		check("grpc", grpc.NetAddr.Endpoint, grpc.NetAddr.Transport)
	}
	if http := cfg.Protocols.HTTP.Get(); http != nil {
		check("http", http.ServerConfig.NetAddr.Endpoint, http.ServerConfig.NetAddr.Transport)
	}
}

// exporterType returns the type of the settings of an exporter, nil if there is no such exporter.
func exporterType(kind string) reflect.Type {
	switch kind {
	case "otlp_grpc", "otlp":
		return reflect.TypeFor[export.GRPCConfig]()
	case "otlp_http", "otlphttp":
		return reflect.TypeFor[export.HTTPConfig]()
	case "kafka":
		return reflect.TypeFor[export.KafkaConfig]()
	case "file":
		return reflect.TypeFor[export.FileConfig]()
	case "debug":
		return reflect.TypeFor[export.DebugConfig]()
	}
	return nil
}

func (r *reader) exporters(key, n *yaml.Node, path string) {
	names, values := r.blocks(key, n, path, "exporters: {otlp_grpc: {endpoint: backend:4317}}")
	if len(names) == 0 && (isNull(n) || n.Kind == yaml.MappingNode) {
		r.d.add(key, path, "is empty, so kept traces could go nowhere; write such as exporters: {otlp_grpc: {endpoint: backend:4317}}")
		return
	}
	section := map[string]any{}
	walkers, places := map[string]*walker{}, map[string]place{}
	for i, name := range names {
		id, at := name.Value, sub(path, name.Value)
		if r.d.broken[values[i]] {
			continue
		}
		kind, _, _ := strings.Cut(id, "/")
		w := &walker{d: r.d, wrong: map[string]bool{}, accept: func(at string, setting string) bool {
			return at == sub(path, id) && ignored(id, setting)
		}}
		walkers[id] = w
		places[id] = place{at: name, value: values[i], path: at, t: exporterType(kind)}
		if places[id].t == nil {
			section[id] = plain(r.d, values[i])
		} else if settings, ok := w.value(values[i], places[id].t, at); ok {
			section[id] = settings
		}
	}
	cfg, err := export.ParseConfig(section)
	r.cfg.Exporters = cfg
	var problems export.Problems
	if errors.As(err, &problems) {
		for _, problem := range problems {
			id := problem.Path[1]
			w := walkers[id]
			w.spread(errors.New(strings.Join(append(slices.Clone(problem.Path[2:]), problem.Message), ": ")), places[id])
		}
	} else if err != nil {
		r.d.add(key, path, "%v", err)
	}
	for _, warning := range cfg.Warnings {
		at, full := r.find(key, n, warning.Path)
		r.d.warn(at, full, "%s", warning.Message)
	}
	r.exporterIDs = section
	for id := range walkers {
		if _, ok := section[id]; !ok {
			r.exporterIDs[id] = nil
		}
	}
}

// ignored asks the exporter whether it takes a setting of the Collector's and says that it has no effect.
func ignored(id, setting string) bool {
	cfg, _ := export.ParseConfig(map[string]any{id: map[string]any{setting: nil}})
	return slices.ContainsFunc(cfg.Warnings, func(w export.Problem) bool {
		return len(w.Path) == 3 && w.Path[2] == setting
	})
}

func (r *reader) routes(key, n *yaml.Node, path string) {
	if !isNull(n) && n.Kind != yaml.MappingNode {
		r.d.add(key, path, "is %s, but a block of keys is wanted; write such as routes: {kept: [otlp_grpc]}", describe(n))
		return
	}
	if len(r.exporterIDs) == 0 {
		return // reported: without exporters no route can be right
	}
	section, _ := plain(r.d, n).(map[string]any)
	known := export.Config{Exporters: maps.Clone(r.exporterIDs)}
	routes, err := export.ParseRoutes(section, known)
	r.cfg.Routes = routes
	var problems export.Problems
	switch {
	case errors.As(err, &problems):
		for _, problem := range problems {
			at, full := r.find(key, n, problem.Path)
			r.d.add(at, full, "%s", problem.Message)
		}
	case err != nil:
		r.d.add(key, path, "%v", err)
	case len(routes.Kept) == 0 && !r.anyBroken(n):
		at, _, full := descend(key, n, path, "kept")
		r.d.add(at, full, "names no exporter, so kept traces would go nowhere; name at least one of: %s",
			strings.Join(slices.Sorted(maps.Keys(r.exporterIDs)), ", "))
	}
}

// anyBroken says whether a reference below n could not be resolved.
func (r *reader) anyBroken(n *yaml.Node) bool {
	return r.d.broken[n] || slices.ContainsFunc(n.Content, r.anyBroken)
}

// find returns the key at the end of a path whose first element is the section, and the path in words.
func (r *reader) find(key, n *yaml.Node, elements []string) (*yaml.Node, string) {
	at, value, path := key, n, elements[0]
	for _, element := range elements[1:] {
		if value == nil {
			if _, err := strconv.Atoi(element); err == nil {
				path += "[" + element + "]"
			} else {
				path = sub(path, element)
			}
			continue
		}
		at, value, path = descend(at, value, path, element)
	}
	return at, path
}
