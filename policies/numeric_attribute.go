package policies

import (
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// numericAttribute passes a trace with a resource or span attribute whose value is a number between two bounds, both
// included.
type numericAttribute struct {
	key      string
	min, max *bound
	invert   bool
}

// A bound is a number: whole, or a fraction.
type bound struct {
	isWhole  bool
	whole    int64
	fraction float64
}

func readNumericAttribute(m *mapping) rule {
	r := &numericAttribute{}
	r.key = readKey(m, "http.response.status_code")
	var lower, upper *yaml.Node
	r.min, lower = readBound(m, "min_value")
	r.max, upper = readBound(m, "max_value")
	r.invert = m.flag("invert_match")
	if m.get("min_value") == nil && m.get("max_value") == nil {
		m.p.errorf(m.at, m.path, "has neither min_value nor max_value (the Collector crashes on this); write at least one, such as min_value: 500")
	}
	if m.p.options.Strict {
		given := lower != nil || upper != nil
		r.min, r.max = strictBounds(r.min), strictBounds(r.max)
		if given && r.min == nil && r.max == nil {
			m.p.errorf(m.at, m.path, "has no bound, since 0 means none with compat: strict (the Collector crashes on this); write one that is not 0,"+
				" or remove compat")
		}
	}
	if r.min != nil && r.max != nil && r.max.less(r.min) {
		const none = "in the Collector 0 is no bound: remove the line for none"
		switch {
		case r.max.double() == 0:
			m.slip(upper, m.sub("max_value"), "is 0, which is below min_value %s; %s", r.min, none)
		case r.min.double() == 0:
			m.slip(lower, m.sub("min_value"), "is 0, which is above max_value %s; %s", r.max, none)
		default:
			m.slip(upper, m.sub("max_value"), "is %s, which is below min_value %s; exchange them", r.max, r.min)
		}
	}
	return r
}

func readBound(m *mapping, key string) (*bound, *yaml.Node) {
	f, n := m.number(key)
	if n == nil {
		return nil, nil
	}
	if i, ok := integer(n); ok {
		return &bound{isWhole: true, whole: i}, n
	}
	if f < -1<<63 || f >= 1<<63 {
		m.p.errorf(n, m.sub(key), "must lie between -2^63 and 2^63-1, but is %s", n.Value)
		return nil, nil
	}
	return &bound{fraction: f}, n
}

func (b *bound) String() string {
	if b.isWhole {
		return strconv.FormatInt(b.whole, 10)
	}
	return strconv.FormatFloat(b.fraction, 'g', -1, 64)
}

// less compares two bounds. A fraction is smaller than 2^53 and so compares exactly with whole numbers' nearest doubles.
func (b *bound) less(other *bound) bool {
	if b.isWhole && other.isWhole {
		return b.whole < other.whole
	}
	return b.double() < other.double()
}

func (b *bound) double() float64 {
	if b.isWhole {
		return float64(b.whole)
	}
	return b.fraction
}

func (r *numericAttribute) condition() numberRange {
	n := numberRange{math.MinInt64, math.MaxInt64, math.Inf(-1), math.Inf(1)}
	if r.min != nil {
		n.low, n.lowDouble = r.min.whole, doubleFrom(r.min.whole)
		if !r.min.isWhole {
			n.low, n.lowDouble = int64(math.Ceil(r.min.fraction)), r.min.fraction
		}
	}
	if r.max != nil {
		n.high, n.highDouble = r.max.whole, doubleUpTo(r.max.whole)
		if !r.max.isWhole {
			n.high, n.highDouble = int64(math.Floor(r.max.fraction)), r.max.fraction
		}
	}
	return n
}

// doubleFrom returns the smallest double that is not smaller than i.
func doubleFrom(i int64) float64 {
	f := float64(i)
	if f < 1<<63 && int64(f) < i {
		return math.Nextafter(f, math.Inf(1))
	}
	return f
}

// doubleUpTo returns the largest double that is not larger than i.
func doubleUpTo(i int64) float64 {
	f := float64(i)
	if f >= 1<<63 || int64(f) > i {
		return math.Nextafter(f, math.Inf(-1))
	}
	return f
}

func (r *numericAttribute) text() string {
	key := strconv.Quote(r.key)
	switch {
	case r.min == nil && r.max == nil:
		return inverted(r.invert, key+" is a number")
	case r.max == nil:
		return inverted(r.invert, fmt.Sprintf("%s >= %s", key, r.min))
	case r.min == nil:
		return inverted(r.invert, fmt.Sprintf("%s <= %s", key, r.max))
	}
	return inverted(r.invert, fmt.Sprintf("%s <= %s <= %s", r.min, key, r.max))
}

func (r *numericAttribute) compile(c *compiler) gate {
	return invertible(r.invert, c.attribute(r.key, r.condition()))
}

// numberRange is met by integers from low to high, and by doubles from lowDouble to highDouble, all included. NaN is in
// no range.
type numberRange struct {
	low, high             int64
	lowDouble, highDouble float64
}

func (n numberRange) text() string {
	return fmt.Sprintf("in %d..%d %v..%v", n.low, n.high, n.lowDouble, n.highDouble)
}

func (n numberRange) addTo(col *column, bit uint64) {
	col.numbers = append(col.numbers, numberBits{n, bit})
}

type numberBits struct {
	numberRange
	bits uint64
}

// whole returns the bits of the ranges that an integer is in.
func (col *column) whole(v int64) (bits uint64) {
	for i := range col.numbers {
		if n := &col.numbers[i]; n.low <= v && v <= n.high {
			bits |= n.bits
		}
	}
	return bits
}

func floatOf(representation uint64) float64 { return math.Float64frombits(representation) }

// double returns the bits of the ranges that a double, given by its representation, is in.
func (col *column) double(representation uint64) (bits uint64) {
	v := floatOf(representation)
	for i := range col.numbers {
		if n := &col.numbers[i]; n.lowDouble <= v && v <= n.highDouble {
			bits |= n.bits
		}
	}
	return bits
}
