package export

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"thresher/internal/suggest"
)

// Class is what became of a trace; it selects the route.
type Class uint8

// The classes, in the order of the `routes` section.
const (
	Kept    Class = iota // sampled: to the backend
	Dropped              // not sampled: to cheap storage, if anywhere
	numClasses
)

func (c Class) String() string {
	if c == Dropped {
		return "dropped"
	}
	return "kept"
}

// Route is one destination of a class.
type Route struct {
	Exporter string // component ID

	// Required makes the resume offset wait for this exporter: nothing is lost when it is down, everything waits. A
	// best-effort exporter loses what does not fit into its share of the budget.
	Required bool
}

// Destinations names the exporters of routes, for people.
func Destinations(routes []Route) string {
	names := make([]string, len(routes))
	for i, r := range routes {
		names[i] = r.Exporter
		if !r.Required {
			names[i] += " (best effort)"
		}
	}
	return strings.Join(names, ", ")
}

// Routes is the `routes` section: which classes go to which exporters.
type Routes struct {
	Kept    []Route
	Dropped []Route

	// Warnings names exporters that no route uses.
	Warnings Problems
}

// Of returns the destinations of a class.
func (r Routes) Of(c Class) []Route {
	if c == Dropped {
		return r.Dropped
	}
	return r.Kept
}

// ParseRoutes reads the `routes` section as decoded from YAML: lists of exporter IDs, or of {exporter: ID, required:
// BOOL}, under `kept` and `dropped`. Kept traces go to all exporters if the section says nothing of them. Exporters of
// kept traces are required and exporters of dropped traces are best effort, unless it is said. The error is Problems.
func ParseRoutes(section map[string]any, cfg Config) (Routes, error) {
	var routes Routes
	var problems Problems
	for _, key := range slices.Sorted(maps.Keys(section)) {
		path := []string{"routes", key}
		switch key {
		case "kept":
			routes.Kept, problems = parseRoute(path, section[key], true, cfg, problems)
		case "dropped":
			routes.Dropped, problems = parseRoute(path, section[key], false, cfg, problems)
		default:
			problems = append(problems, Problem{path, "unknown route; known are kept, dropped" +
				suggest.DidYouMean(key, []string{"kept", "dropped"})})
		}
	}
	if _, said := section["kept"]; !said {
		for _, id := range cfg.IDs() {
			if !slices.ContainsFunc(routes.Dropped, func(r Route) bool { return r.Exporter == id }) {
				routes.Kept = append(routes.Kept, Route{Exporter: id, Required: true})
			}
		}
	}
	routes.Warnings = routes.unused(cfg)
	return routes, problems.err()
}

func parseRoute(path []string, raw any, required bool, cfg Config, problems Problems) ([]Route, Problems) {
	var list []any
	switch v := raw.(type) {
	case nil:
	case []any:
		list = v
	case string, map[string]any: // one exporter without the brackets
		list = []any{v}
	default:
		return nil, append(problems, Problem{path, fmt.Sprintf("want a list of exporters, not %v", raw)})
	}
	var routes []Route
	for i, entry := range list {
		at := append(slices.Clone(path), fmt.Sprint(i))
		route := Route{Required: required}
		switch v := entry.(type) {
		case string:
			route.Exporter = v
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				ok := false
				switch key {
				case "exporter":
					route.Exporter, ok = v[key].(string)
				case "required":
					route.Required, ok = v[key].(bool)
				default:
					problems = append(problems, Problem{append(slices.Clone(at), key), "unknown setting; known are exporter, required" +
						suggest.DidYouMean(key, []string{"exporter", "required"})})
					continue
				}
				if !ok {
					problems = append(problems, Problem{append(slices.Clone(at), key), fmt.Sprintf("has the wrong type: %v", v[key])})
				}
			}
		default:
			problems = append(problems, Problem{at, fmt.Sprintf("want an exporter or {exporter: ID, required: true|false}, not %v", entry)})
			continue
		}
		if _, known := cfg.Exporters[route.Exporter]; !known {
			problems = append(problems, Problem{at, fmt.Sprintf("no exporter %q under exporters; there are: %s%s", route.Exporter,
				strings.Join(cfg.IDs(), ", "), suggest.DidYouMean(route.Exporter, cfg.IDs()))})
			continue
		}
		if slices.ContainsFunc(routes, func(r Route) bool { return r.Exporter == route.Exporter }) {
			problems = append(problems, Problem{at, fmt.Sprintf("exporter %q is in this route twice", route.Exporter)})
			continue
		}
		routes = append(routes, route)
	}
	return routes, problems
}

func (r Routes) unused(cfg Config) Problems {
	var warnings Problems
	for _, id := range cfg.IDs() {
		uses := func(route Route) bool { return route.Exporter == id }
		if !slices.ContainsFunc(r.Kept, uses) && !slices.ContainsFunc(r.Dropped, uses) {
			warnings = append(warnings, Problem{[]string{"exporters", id}, "no route uses this exporter; name it under routes: kept or dropped"})
		}
	}
	return warnings
}
