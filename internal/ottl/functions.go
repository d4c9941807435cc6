package ottl

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspanevent"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/ottlfuncs"
)

// pureFunctions are the converters whose result has been found, by reading them, to depend on their arguments alone. A function
// that a later version of the library adds is refused until it has been read too.
func pureFunctions() []string {
	return strings.Fields(`
		Base64Encode Bool Coalesce CommunityID Concat ContainsValue ConvertCase Day Decode Double Duration ExtractPatterns FNV
		FormatTime HasPrefix HasSuffix Hex Hour Hours Index IsBool IsDouble IsEmpty IsInCIDR IsInt IsList IsMap IsMatch
		IsRootSpan IsString IsValidLuhn Len MD5 Microseconds Milliseconds Minute Minutes Month Murmur3Hash Murmur3Hash128
		Nanosecond Nanoseconds ParseCSV ParseInt ParseJSON ParseKeyValue ParseSimplifiedXML ParseXML SHA1 SHA256 SHA512 Second
		Seconds SliceToMap Sort SpanID Split String Substring ToCamelCase ToLowerCase ToSnakeCase ToUpperCase TraceID Trim
		TrimPrefix TrimSuffix TruncateTime URL UnixMicro UnixMilli UnixNano UnixSeconds Weekday XXH128 XXH3 Year`)
}

const random = "returns another value each time, so the decision could not be repeated from the log; " +
	"for a random share of the traces write a policy of type probabilistic"

// spanFunctions returns the functions that expressions about spans may use.
func spanFunctions() map[string]ottl.Factory[*ottlspan.TransformContext] {
	all := ottlfuncs.StandardConverters[*ottlspan.TransformContext]()
	root := ottlfuncs.NewIsRootSpanFactory()
	all[root.Name()] = root
	return repeatable(all)
}

// eventFunctions returns the functions that expressions about events may use.
func eventFunctions() map[string]ottl.Factory[*ottlspanevent.TransformContext] {
	return repeatable(ottlfuncs.StandardConverters[*ottlspanevent.TransformContext]())
}

// repeatable makes the functions repeatable, or refuses them.
func repeatable[K any](all map[string]ottl.Factory[K]) map[string]ottl.Factory[K] {
	pure := pureFunctions()
	out := make(map[string]ottl.Factory[K], len(all))
	for name, f := range all {
		switch name {
		case "append", "delete_index": // these change their argument; they are among the converters for the library's reasons
			continue
		case "UUID", "UUIDv7":
			f = refused(f, random)
		case "Now":
			f = ottl.NewFactory(name, f.CreateDefaultArguments(), newNow[K])
		case "Unix":
			f = amended(f, amendUnix)
		case "Time":
			f = amended(f, amendTime)
		case "Keys", "Values", "ToKeyValueString":
			f = amended(f, amendMapReader)
		case "Format":
			f = amended(f, amendFormat)
		case "ParseSeverity":
			f = amended(f, amendParseSeverity)
		case "ExtractGrokPatterns":
			f = amended(f, amendGrok)
		case "GetXML", "InsertXML", "RemoveXML", "ConvertAttributesToElementsXML", "ConvertTextToElementsXML":
			f = amended(f, amendXML)
		case "UserAgent":
			f = amended(f, amendUserAgent)
		case "Int":
			f = amended(f, amendInt)
		case "Log":
			f = amended(f, amendLog)
		default:
			if !slices.Contains(pure, name) {
				f = refused(f, "is not among the functions that are known to give the same answer each time")
			}
		}
		out[name] = f
	}
	return out
}

// refused returns a function of the same name and arguments that cannot be used.
func refused[K any](f ottl.Factory[K], why string) ottl.Factory[K] {
	return ottl.NewFactory(f.Name(), f.CreateDefaultArguments(), func(ottl.FunctionContext, ottl.Arguments) (ottl.ExprFunc[K], error) {
		return nil, fmt.Errorf("%s %s", f.Name(), why)
	})
}

// A call is one use of a function in an expression. create makes the function out of the arguments as they then are.
type call[K any] struct {
	args   ottl.Arguments
	create func() (ottl.ExprFunc[K], error)
}

// amended returns f with calls of it changed.
func amended[K any](f ottl.Factory[K], amend func(*call[K]) (ottl.ExprFunc[K], error)) ottl.Factory[K] {
	create := func(c ottl.FunctionContext, a ottl.Arguments) (ottl.ExprFunc[K], error) {
		fn, err := amend(&call[K]{a, func() (ottl.ExprFunc[K], error) { return f.CreateFunction(c, a) }})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		return fn, nil
	}
	return ottl.NewFactory(f.Name(), f.CreateDefaultArguments(), create)
}

// argument returns a place of an argument. The library does not export the types of arguments, but their fields must be.
func argument[T, K any](c *call[K], name string) (*T, error) {
	field := reflect.ValueOf(c.args).Elem().FieldByName(name)
	if field.IsValid() {
		if p, ok := field.Addr().Interface().(*T); ok {
			return p, nil
		}
	}
	return nil, fmt.Errorf("cannot be used with this version of the OTTL library, which has no argument %s of type %T", name, *new(T))
}
