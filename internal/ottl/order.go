package ottl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// amendMapReader gives functions that read a map from its first to its last entry one in a fixed order: a map that was made by
// another function, or written in the expression, has been through a Go map and comes in another order each time.
func amendMapReader[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	target, err := argument[ottl.PMapGetter[K]](c, "Target")
	if err != nil {
		return nil, err
	}
	*target = orderedMap[K]{*target}
	return c.create()
}

type orderedMap[K any] struct{ source ottl.PMapGetter[K] }

func (o orderedMap[K]) Get(ctx context.Context, x K) (pcommon.Map, error) {
	m, err := o.source.Get(ctx, x)
	if err != nil || m.Len() < 2 || readOnly(m) {
		return m, err
	}
	keys := make([]string, 0, m.Len())
	for key := range m.All() {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	out := pcommon.NewMap()
	out.EnsureCapacity(len(keys))
	for _, key := range keys {
		value, _ := m.Get(key)
		value.CopyTo(out.PutEmpty(key))
	}
	return out, nil
}

// readOnly reports whether a map belongs to the span, whose own order is as good as any and the one that the Collector sees. pdata
// does not say, except by panicking.
func readOnly(m pcommon.Map) (yes bool) {
	defer func() { yes = recover() != nil }()
	m.EnsureCapacity(0)
	return false
}

// amendFormat formats lists and maps of attributes as JSON. The library prints where in memory they are.
func amendFormat[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	format, err := argument[string](c, "Format")
	if err != nil {
		return nil, err
	}
	if hasPointerVerb(*format) {
		return nil, errors.New("%p prints where a value is in memory, which is elsewhere each time; write %v")
	}
	values, err := argument[[]ottl.Getter[K]](c, "Vals")
	if err != nil {
		return nil, err
	}
	for i, source := range *values {
		(*values)[i] = printable[K]{source}
	}
	return c.create()
}

// hasPointerVerb finds %p with whatever flags, width, precision and argument index.
func hasPointerVerb(format string) bool {
	for {
		_, rest, found := strings.Cut(format, "%")
		if !found {
			return false
		}
		rest = strings.TrimLeft(rest, "+-# 0123456789.*[]")
		if strings.HasPrefix(rest, "p") {
			return true
		}
		format = strings.TrimPrefix(rest, "%")
	}
}

type printable[K any] struct{ source ottl.Getter[K] }

func (p printable[K]) Get(ctx context.Context, x K) (any, error) {
	v, err := p.source.Get(ctx, x)
	if err != nil {
		return nil, err
	}
	return printed(v)
}

// printed returns v with what would be printed as an address replaced by its JSON, which has maps in the order of their keys.
func printed(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, float64, string, []byte, []string, []bool, []int64, []float64, fmt.Stringer:
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = printed(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case pcommon.Map:
		value := pcommon.NewValueMap()
		v.CopyTo(value.Map())
		return value.AsString(), nil
	case pcommon.Slice:
		value := pcommon.NewValueSlice()
		v.CopyTo(value.Slice())
		return value.AsString(), nil
	case pcommon.Value:
		return v.AsString(), nil
	case map[string]any:
		value := pcommon.NewValueMap()
		if err := value.Map().FromRaw(v); err != nil {
			return nil, err
		}
		return value.AsString(), nil
	}
	return nil, fmt.Errorf("cannot format a value of type %T; give its parts", v)
}
