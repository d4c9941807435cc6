package ottl

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// amendGrok refuses patterns that are not known when the policy is compiled. The library compiles these into a place that all
// evaluations share, so that one goroutine would read with the pattern of another.
func amendGrok[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	pattern, err := argument[ottl.StringGetter[K]](c, "Pattern")
	if err != nil {
		return nil, err
	}
	if _, ok := ottl.GetLiteralValue(*pattern); !ok {
		return nil, errors.New("the pattern must be written in the expression, not taken from the span")
	}
	return c.create()
}

// amendParseSeverity refuses a mapping in which two levels claim a value. The library takes one at random.
func amendParseSeverity[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	mapping, err := argument[ottl.PMapGetter[K]](c, "Mapping")
	if err != nil {
		return nil, err
	}
	levels, ok := ottl.GetLiteralValue(*mapping)
	if !ok {
		return nil, errors.New("the mapping must be written in the expression, not taken from the span")
	}
	if err := checkLevels(levels); err != nil {
		return nil, err
	}
	return c.create()
}

// A claim is what a criterion of a level accepts: a text, or the numbers from low to high.
type claim struct {
	level     string
	text      string
	number    bool
	low, high int64
}

func (a claim) overlaps(b claim) bool {
	if a.number {
		return b.number && a.low <= b.high && b.low <= a.high && a.low <= a.high && b.low <= b.high
	}
	return !b.number && a.text == b.text
}

func (a claim) String() string {
	if a.number {
		return fmt.Sprintf("%d to %d", a.low, a.high)
	}
	return fmt.Sprintf("%q", a.text)
}

// checkLevels finds values that two levels claim. What is not as the library wants it is left to the library.
func checkLevels(levels pcommon.Map) error {
	var claims []claim
	for level, criteria := range levels.All() {
		if criteria.Type() != pcommon.ValueTypeSlice {
			continue
		}
		for _, criterion := range criteria.Slice().All() {
			if criterion.Type() == pcommon.ValueTypeMap {
				claims = appendClaims(claims, level, criterion.Map())
			}
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return cmp.Compare(a.level, b.level) })
	for i, a := range claims {
		for _, b := range claims[i+1:] {
			if a.level != b.level && a.overlaps(b) {
				return fmt.Errorf("both %q and %q take %s, and OTTL would choose at random; let only one of them", a.level, b.level, b)
			}
		}
	}
	return nil
}

func appendClaims(claims []claim, level string, criterion pcommon.Map) []claim {
	if v, ok := criterion.Get("equals"); ok && v.Type() == pcommon.ValueTypeSlice {
		for _, text := range v.Slice().All() {
			claims = append(claims, claim{level: level, text: text.AsString()})
		}
	}
	v, ok := criterion.Get("range")
	if !ok {
		return claims
	}
	switch v.Type() {
	case pcommon.ValueTypeStr: // "2xx" and so on
		if s := v.Str(); len(s) == 3 && s[1:] == "xx" && s[0] >= '2' && s[0] <= '5' {
			low := int64(s[0]-'0') * 100
			claims = append(claims, claim{level: level, number: true, low: low, high: low + 99})
		}
	case pcommon.ValueTypeMap:
		low, hasLow := v.Map().Get("min")
		high, hasHigh := v.Map().Get("max")
		if hasLow && hasHigh {
			claims = append(claims, claim{level: level, number: true, low: low.Int(), high: high.Int()})
		}
	}
	return claims
}
