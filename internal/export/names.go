package export

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"thresher/internal/suggest"
)

// unknownSettings finds keys that no field of the settings struct has, at any depth.
func unknownSettings(path []string, settings map[string]any, t reflect.Type) (problems Problems) {
	fields := map[string]reflect.Type{}
	if !settingsOf(t, fields) {
		return nil
	}
	for key, value := range settings {
		at := append(slices.Clone(path), key)
		field, known := fields[key]
		if !known {
			problems = append(problems, Problem{at, "unknown setting" + suggest.DidYouMean(key, slices.Sorted(maps.Keys(fields)))})
			continue
		}
		if below, ok := value.(map[string]any); ok {
			problems = append(problems, unknownSettings(at, below, field)...)
		}
	}
	return problems
}

// settingsOf collects the settings that a struct has. It reports whether the type is a struct with settings: maps have any key.
func settingsOf(t reflect.Type, fields map[string]reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	if get, ok := reflect.PointerTo(t).MethodByName("Get"); ok && get.Type.NumOut() == 1 && strings.HasPrefix(t.Name(), "Optional[") {
		if !settingsOf(get.Type.Out(0), fields) {
			return false
		}
		fields["enabled"] = reflect.TypeFor[bool]() // every optional section has it
		return true
	}
	for field := range t.Fields() {
		name, opts, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case strings.Contains(opts, "squash"):
			settingsOf(field.Type, fields)
		case name != "" && name != "-":
			fields[name] = field.Type
		}
	}
	return len(fields) > 0
}
