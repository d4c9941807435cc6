package config

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.yaml.in/yaml/v3"
)

var (
	nodeType     = reflect.TypeFor[*yaml.Node]()
	durationType = reflect.TypeFor[time.Duration]()
	opaqueType   = reflect.TypeFor[configopaque.String]()
	mapListType  = reflect.TypeFor[configopaque.MapList]()
	blockType    = reflect.TypeFor[samplingBlock]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// optional returns T for configoptional.Optional[T].
func optional(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Struct && strings.HasSuffix(t.PkgPath(), "/configoptional") && strings.HasPrefix(t.Name(), "Optional[") {
		return t.Field(0).Type, true
	}
	return nil, false
}

// bare takes pointers and Optional off a type.
func bare(t reflect.Type) reflect.Type {
	for {
		if inner, ok := optional(t); ok {
			t = inner
		} else if t.Kind() == reflect.Pointer && t != nodeType {
			t = t.Elem()
		} else {
			return t
		}
	}
}

func readsText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textType) }

// needsExtension says whether a setting of the Collector's names one of its extensions.
func needsExtension(t reflect.Type) bool {
	t = bare(t)
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return strings.HasSuffix(t.PkgPath(), "/configauth") || strings.HasSuffix(t.PkgPath(), "/configmiddleware") ||
		strings.HasSuffix(t.PkgPath(), "/confighttp") && t.Name() == "AuthConfig"
}

// fields returns the keys that a struct takes, with their types, and whether it takes any others too.
func fields(t reflect.Type) (keys map[string]reflect.Type, open bool) {
	keys = map[string]reflect.Type{}
	for field := range t.Fields() {
		if !field.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		flags := strings.Split(options, ",")
		switch {
		case name == "-":
		case slices.Contains(flags, "remain"):
			open = true
		case slices.Contains(flags, "squash"):
			inner, innerOpen := fields(bare(field.Type))
			for key, keyType := range inner {
				keys[key] = keyType
			}
			open = open || innerOpen
		default:
			if name == "" {
				name = strings.ToLower(field.Name)
			}
			keys[name] = field.Type
		}
	}
	return keys, open
}

// step goes from a type to what is below one element of a path. Embedded structs appear in the paths of confmap's
// errors and not in the YAML; for them inYAML is false.
func step(t reflect.Type, element string) (below reflect.Type, inYAML bool) {
	t = bare(t)
	switch t.Kind() {
	case reflect.Struct:
		if keys, _ := fields(t); keys[element] != nil {
			return keys[element], true
		}
		for field := range t.Fields() {
			if strings.Contains(field.Tag.Get("mapstructure"), ",squash") && strings.ToLower(field.Name) == element {
				return field.Type, false
			}
		}
	case reflect.Map:
		return t.Elem(), true
	case reflect.Slice:
		if element != "" && strings.Trim(element, "0123456789") == "" {
			return t.Elem(), true
		}
	}
	return nil, false
}
