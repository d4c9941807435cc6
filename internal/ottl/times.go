package ottl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
)

var errNoTime = errors.New("there is a time only where there is a span")

// newNow replaces the clock by the timestamp of the record, which a replay has too.
func newNow[K any](ottl.FunctionContext, ottl.Arguments) (ottl.ExprFunc[K], error) {
	return func(ctx context.Context, _ K) (any, error) {
		v, ok := ctx.Value(viewKey{}).(*view)
		if !ok {
			return nil, errNoTime
		}
		return time.UnixMilli(v.now).UTC(), nil
	}, nil
}

// amendUnix returns times in UTC. The library returns them in the time zone of the machine, in which Hour and Day then count.
func amendUnix[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	unix, err := c.create()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, x K) (any, error) {
		out, err := unix(ctx, x)
		if t, ok := out.(time.Time); ok {
			out = t.UTC()
		}
		return out, err
	}, nil
}

var (
	errZone = errors.New(`a named time zone depends on the zone files of the machine; ` +
		`leave it out, which means UTC, or have the offset in the value and write %z for it`)
	errZoneName = errors.New(`%Z reads the name of a time zone, which depends on the zone files of the machine; ` +
		`if the value has an offset, write %z`)
	errNoYear = errors.New("the format has no year, for which OTTL takes the current one of the clock; " +
		"write one with %Y, %y, %F, %D or %c")
	errYearZero  = errors.New("the year of the time is 0")
	errAmbiguous = errors.New("reads digits of no fixed number right before another directive; write a character between them")
)

// amendTime makes reading a time independent of where and when it is done: the zone of the machine and its zone files, the year
// of its clock, and the format in which the library has found an earlier value to be.
func amendTime[K any](c *call[K]) (ottl.ExprFunc[K], error) {
	source, err := argument[ottl.StringGetter[K]](c, "Time")
	if err != nil {
		return nil, err
	}
	format, err := argument[string](c, "Format")
	if err != nil {
		return nil, err
	}
	location, err := argument[ottl.Optional[string]](c, "Location")
	if err != nil {
		return nil, err
	}
	if zone := location.GetOr(""); zone != "" && zone != "UTC" {
		return nil, fmt.Errorf("%q: %w", zone, errZone)
	}
	if err := checkTimeFormat(*format); err != nil {
		return nil, fmt.Errorf("%q: %w", *format, err)
	}
	*location = ottl.NewTestingOptional("UTC")
	text := *source
	*source = givenText[K]{}
	read, err := c.create()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, x K) (any, error) {
		s, err := text.Get(ctx, x)
		if err != nil {
			return nil, err
		}
		out, err := read(context.WithValue(ctx, textKey{}, s), x)
		if err != nil {
			return nil, err
		}
		if yearZero(s, func(s string) (any, error) { return read(context.WithValue(ctx, textKey{}, s), x) }) {
			return nil, errYearZero
		}
		return out, nil
	}, nil
}

// checkTimeFormat finds what in a format would make its reading depend on more than the value.
func checkTimeFormat(format string) error {
	year := false
	for i := 0; i+1 < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		i++
		switch d := format[i]; d {
		case 'Z':
			return errZoneName
		case 'Y', 'y', 'D', 'x', 'F', 'c':
			year = true
		}
		// The library tries these in several ways, the one that last worked first.
		if slices.Contains([]byte("Dxz"), format[i]) && i+2 < len(format) && format[i+1] == '%' && format[i+2] != '%' {
			return fmt.Errorf("%s %w", format[i-1:i+1], errAmbiguous)
		}
	}
	if !year {
		return errNoYear
	}
	return nil
}

// yearZero reports whether the year in s, a time that can be read, is 0000, for which the library puts the year of the clock. It
// is if the same time with a year of 4 can be read, whichever zeros are the year; both are leap years.
func yearZero(s string, read func(string) (any, error)) bool {
	for i := 0; i+4 <= len(s); i++ {
		if s[i:i+4] != "0000" {
			continue
		}
		out, err := read(s[:i] + "0004" + s[i+4:])
		if t, ok := out.(time.Time); ok && err == nil && t.Year() == 4 {
			return true
		}
	}
	return false
}

// givenText is an argument that is handed over at the call.
type givenText[K any] struct{}

type textKey struct{}

func (givenText[K]) Get(ctx context.Context, _ K) (string, error) {
	s, _ := ctx.Value(textKey{}).(string)
	return s, nil
}
