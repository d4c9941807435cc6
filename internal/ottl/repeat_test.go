package ottl

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/ottlfuncs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func TestNow(t *testing.T) {
	const now = 1_700_000_007_000
	c := compiled(t, about(`Now() - start_time == Duration("7s") and UnixMilli(Now()) == 1700000007000 and Hour(Now()) == 22`))
	v := viewOf(t, sample(), now)
	matched, err := c.Match(v)
	require.NoError(t, err)
	require.True(t, matched)

	p := cut(t, sample())
	v.Set(p.resource, p.scope, p.span, now+1)
	matched, err = c.Match(v)
	require.NoError(t, err)
	require.False(t, matched)
}

func TestRefused(t *testing.T) {
	tests := []struct{ text, want string }{
		{`UUID() != ""`, "the decision could not be repeated"},
		{`IsMatch(UUIDv7(), "^0")`, "a policy of type probabilistic"},
		{`Time(name, "%m-%d") == nil`, "the format has no year"},
		{`Time(name, "%%Y %H") == nil`, "the format has no year"},
		{`Time(name, "%Y-%m-%d", "Europe/Berlin") == nil`, "write %z"},
		{`Time(name, "%Y-%m-%d", "Local") == nil`, "write %z"},
		{`Time(name, "%Y-%m-%d %Z") == nil`, "write %z"},
		{`Time(name, "%D%H") == nil`, "write a character between them"},
		{`Time(name, "%F %z%H") == nil`, "write a character between them"},
		{`Format("%p", [name]) == ""`, "write %v"},
		{`Format("%d%%%[1]*.[2]*[3]p", [1, 2, name]) == ""`, "write %v"},
		{`ParseSeverity(name, {"a": [{"equals": ["x", "y"]}], "b": [{"equals": ["z"]}, {"equals": ["y"]}]}) == "a"`, `both "a" and "b" take "y"`},
		{`ParseSeverity(name, {"b": [{"range": "4xx"}], "a": [{"range": {"min": 404, "max": 600}}]}) == "a"`, `both "a" and "b" take 400 to 499`},
		{`ParseSeverity(name, attributes["user"]) == "a"`, "not taken from the span"},
		{`ExtractGrokPatterns(name, attributes["csv"]) != nil`, "not taken from the span"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			_, errs := New().Compile(about(test.text))
			require.Len(t, errs, 1)
			require.Contains(t, errs[0].Msg, test.want)
		})
	}
	for _, fine := range []string{
		`Time(name, "%Y-%m-%d", "UTC") == nil`, `Time(name, "%F %T %z") == nil`, `Time(name, "%D %H") == nil`, `Format("%d%%p", [1]) == "1%p"`,
		`ParseSeverity(name, {"a": [{"equals": ["x"]}, {"equals": ["x"]}], "b": [{"range": "4xx"}], "c": [{"range": "5xx"}]}) == "a"`,
	} {
		compiled(t, about(fine))
	}
}

// Every converter has been looked at: a new version of the library must not bring one in unseen.
func TestEveryFunctionIsKnown(t *testing.T) {
	type k = *ottlspan.TransformContext
	library := ottlfuncs.StandardConverters[k]()
	amended := []string{
		"append", "delete_index", "UUID", "UUIDv7", "Now", "Unix", "Time", "Keys", "Values", "ToKeyValueString", "Format", "ParseSeverity",
		"ExtractGrokPatterns", "Int", "Log", "GetXML", "InsertXML", "RemoveXML", "ConvertAttributesToElementsXML",
		"ConvertTextToElementsXML", "UserAgent",
	}
	pure := pureFunctions()
	for name, f := range library {
		require.False(t, f.Experimental(), name)
		require.True(t, slices.Contains(pure, name) != slices.Contains(amended, name), "%s is in both lists or in none", name)
	}
	for _, name := range append(pure, amended...) {
		if name != "IsRootSpan" {
			require.Contains(t, library, name)
		}
	}
	other := ottl.NewFactory("Other", nil, func(ottl.FunctionContext, ottl.Arguments) (ottl.ExprFunc[k], error) { return nil, nil })
	_, err := repeatable(map[string]ottl.Factory[k]{"Other": other})["Other"].CreateFunction(ottl.FunctionContext{}, nil)
	require.ErrorContains(t, err, "is not among the functions that are known")
}

// The zone of the machine must not be seen.
func TestZoneOfTheMachine(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("EST", -5*3600), time.FixedZone("", 9*3600+1800)} {
		time.Local = zone
		for _, text := range []string{
			`Hour(Unix(1700000000)) == 22`, `Day(Unix(1700000000, 5)) == 14`, `Hour(Now()) == 0`, `Hour(start_time) == 22`,
			`FormatTime(Unix(1700000000), "%F %T %z %Z") == "2023-11-14 22:13:20 Z UTC"`,
			`UnixSeconds(Time("2023-11-14 22:13:20", "%Y-%m-%d %H:%M:%S")) == 1700000000`,
			`UnixSeconds(Time("2023-11-14 22:13:20", "%F %T", "UTC")) == 1700000000`,
			`UnixSeconds(Time("2023-11-14 23:13:20 +0100", "%F %T %z")) == 1700000000`,
			`Hour(Time("2023-11-14 23:13:20 +0100", "%F %T %z")) == 23`,
			`UnixSeconds(Time("2023-11-14 22:13:20 Z", "%F %T %z")) == 1700000000`,
			`UnixSeconds(Time("14 novembre 2023", "%d %B %Y", "", "fr")) == 1699920000`,
			`Format("%v", [Unix(1700000000)]) == "2023-11-14 22:13:20 +0000 UTC"`,
			`String(Unix(1700000000)) == String(start_time)`,
		} {
			matched, err := compiled(t, about(text)).Match(viewOf(t, sample(), 0))
			require.NoError(t, err, text)
			require.True(t, matched, "%s in %v", text, zone)
		}
	}
}

// The library puts the year of the clock for the year 0.
func TestYearZero(t *testing.T) {
	tests := []struct {
		format, value string
		zero          bool
	}{
		{"%Y-%m-%d", "2023-10-10", false}, {"%Y-%m-%d", "0000-10-10", true}, {"%Y-%m-%d", "0000-02-29", true},
		{"%m%Y", "100000", true}, {"%H%Y", "000000", true}, {"%H%Y", "002000", false}, {"%Y%H%M%S", "2000000000", false},
		{"%Y-%m-%dT%H:%M:%S.%fZ", "2023-10-10T00:00:00.000000Z", false}, {"%Y-%m-%dT%H:%M:%S.%fZ", "0000-10-10T00:00:00.000000Z", true},
		{"%F %z", "2023-10-10 +0000", false}, {"%F %z", "0000-10-10 +0000", true}, {"%y", "00", false},
	}
	for _, test := range tests {
		v := viewOf(t, sample(func(s ptrace.Span) { s.SetName(test.value) }), 0)
		matched, err := compiled(t, about(fmt.Sprintf("Time(name, %q) != nil", test.format))).Match(v)
		if test.zero {
			require.ErrorIs(t, err, errYearZero, test.value)
			continue
		}
		require.NoError(t, err, test.value)
		require.True(t, matched)
	}
}

// Maps that have been through a Go map are read in the order of their keys, those of the span in their own.
func TestOrderOfMaps(t *testing.T) {
	all := []string{
		`Keys(ParseJSON(attributes["json"])) == ["a", "b", "c", "d", "e", "f"]`,
		`Keys(ParseJSON(attributes["json"])["b"]) == ["y", "z"]`,
		`Values(ParseJSON(attributes["json"])["b"])[0] == 2`,
		`Keys(Values(ParseJSON(attributes["json"]))[1]) == ["y", "z"]`,
		`ToKeyValueString({"c": attributes["csv"], "a": 1, "b": 2, "d": name}) == "a=1 b=2 c=1,2,3 d=\"GET /pay\""`,
		`Keys({"c": 1, "a": 1, "b": 2, "d": 3}) == ["a", "b", "c", "d"]`,
		`ToKeyValueString(ParseKeyValue("d=1 c=2 a=3 b=4")) == "a=3 b=4 c=2 d=1"`,
		`Keys(ExtractPatterns(name, "(?P<z>\\w+) (?P<b>/)(?P<a>\\w+)")) == ["a", "b", "z"]`,
		`Keys(UserAgent("curl/7.81.0")) == ["os.name", "user_agent.name", "user_agent.original", "user_agent.version"]`,
		`Format("%v|%s", [ParseJSON(attributes["json"])["b"], attributes["user"]]) == "{\"y\":2,\"z\":1}|{\"id\":\"u7\",\"zip\":\"10115\"}"`,
		`Format("%v", [[attributes["user"], attributes["tags"]]]) == "[{\"id\":\"u7\",\"zip\":\"10115\"} [\"vip\",\"eu\"]]"`,
		`Format("%v", [UserAgent("curl/7.81.0")]) == Format("%v", [UserAgent("curl/7.81.0")])`,
		`String(ParseJSON(attributes["json"])["b"]) == "{\"y\":2,\"z\":1}"`,
		`Concat([UserAgent("curl/1.2")], "") == "{\"os.name\":\"Other\",\"user_agent.name\":\"curl\",\"user_agent.original\":\"curl/1.2\",\"user_agent.version\":\"1.2\"}"`,
		`Keys(attributes["user"]) == ["zip", "id"]`,
		`ToKeyValueString(Coalesce([attributes["user"]])) == "zip=10115 id=u7"`,
	}
	for _, text := range all {
		for range 3 { // a map that is written in the expression has its order from when that is compiled
			c := compiled(t, about(text))
			for range 10 {
				matched, err := c.Match(viewOf(t, sample(), 0))
				require.NoError(t, err, text)
				require.True(t, matched, text)
			}
		}
	}
}

func TestIntRefusesWhatIsNone(t *testing.T) {
	for cost, want := range map[float64]bool{
		-3.7: true, math.MinInt64: true, math.MaxInt64: false, 1e300: false, math.Inf(-1): false, math.NaN(): false, 1 << 62: true,
	} {
		v := viewOf(t, sample(func(s ptrace.Span) { s.Attributes().PutDouble("cost", cost) }), 0)
		for _, text := range []string{`Int(attributes["cost"]) != nil`, `Int(attributes["cost"] * 1) != nil`} {
			matched, err := compiled(t, about(text)).Match(v)
			require.Equal(t, want, matched)
			if !want {
				require.ErrorIs(t, err, errBeyondInt)
			}
		}
	}
}

func TestLogarithm(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		x := math.Float64frombits(rng.Uint64() &^ (1 << 63))
		if x < 0x1p-1022 {
			continue // math.Log is wrong about these where it is assembly
		}
		got, want := ln(x), math.Log(x)
		if math.IsNaN(want) {
			require.True(t, math.IsNaN(got))
			continue
		}
		if d := int64(math.Float64bits(got)) - int64(math.Float64bits(want)); d < -1 || d > 1 {
			t.Fatalf("ln(%v) is %v, not %v", x, got, want)
		}
	}
	require.Zero(t, ln(1))
	require.InDelta(t, -744.4400719213812, ln(math.SmallestNonzeroFloat64), 1e-12)
	_, err := compiled(t, about(`Log(0) == 1`)).Match(viewOf(t, sample(), 0))
	require.ErrorIs(t, err, errLog)
}

// If an argument gets another name or type in the library, the policy is refused rather than evaluated unamended.
func TestArgumentOfAnotherName(t *testing.T) {
	type k = *ottlspan.TransformContext
	c := &call[k]{args: &struct{ Goal pcommon.Map }{}}
	for _, amend := range []func(*call[k]) (ottl.ExprFunc[k], error){
		amendTime[k], amendMapReader[k], amendFormat[k], amendParseSeverity[k], amendGrok[k], amendInt[k], amendLog[k], amendXML[k], amendUserAgent[k],
	} {
		_, err := amend(c)
		require.ErrorContains(t, err, "cannot be used with this version")
	}
}
