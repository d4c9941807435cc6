package ottl

import (
	"testing"

	"github.com/stretchr/testify/require"

	"thresher/policies"
)

func TestCompileErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{``, "is empty"},
		{`attributes["a" == 1`, "near `[\"a\" == 1`: expected a comparison (== != < <= > >=) and a value"},
		{`name`, "expected a comparison (== != < <= > >=) and a value at the end"},
		{`IsRootSpan() and Len(name) >`, "expected a path or a value at the end"},
		{`attributes["x"] = "y"`, "equality is written =="},
		{`name == 'x'`, "texts are written in double quotes"},
		{`nosuch == 1`, `a span has no nosuch; an attribute is attributes["nosuch"]`},
		{`start_tim > Now()`, `a span has no start_tim; did you mean "start_time"?`},
		{`attributes.foo == 1`, `an attribute is written attributes["http.route"], with its whole key in the brackets`},
		{`badcontext.attributes["x"] == "y"`, "a path cannot begin with badcontext; known are span, spanevent, resource, scope"},
		{`resorce.attributes["x"] == "y"`, `a path cannot begin with resorce; did you mean "resource"?`},
		{`otelcol.client.addr == "x"`, "which the log does not keep"},
		{`spanevent.name == "x"`, "move it to spanevent"},
		{`status.nosuch == 1`, "a span has no nosuch"},
		{`kind == SPAN_KIND_FOO`, "enum symbol, SPAN_KIND_FOO, not found"},
		{`IsMatsh(name, "x")`, `there is no function IsMatsh; did you mean "IsMatch"?`},
		{`Zzzzzzzzz(name)`, "there is no function Zzzzzzzzz"},
		{`IsRoot()`, `there is no function IsRoot; did you mean "IsRootSpan"?`},
		{`IsRootSpan`, "a function is called with brackets: IsRootSpan()"},
		{`duration > 5`, "a span has no duration; end_time_unix_nano - start_time_unix_nano is it in nanoseconds, so more than 5 ms is " +
			"end_time_unix_nano - start_time_unix_nano > 5000000; for the duration of the whole trace write a policy of type latency"},
		{`span.latency > 5`, "a policy of type latency"},
		{`error == true`, "a span has no error; write status.code == STATUS_CODE_ERROR"},
		{`service.name == "x"`, `an attribute is attributes["service.name"], of the resource resource.attributes["service.name"]`},
		{`IsMatch(name)`, "incorrect number of arguments. Expected: 2 Received: 1"},
		{`IsMatch(name, "(")`, "missing closing )"},
		{`set(name, "x")`, "change the span, which a condition cannot"},
		{`append(attributes["a"], "x") == nil`, "change the span, which a condition cannot"},
		{`delete_index(attributes["tags"], 0) == nil`, "change the span, which a condition cannot"},
		{`name == set(name, "x")`, "change the span, which a condition cannot"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			c, errs := New().Compile(about(`true`, test.text))
			require.Nil(t, c)
			require.Len(t, errs, 1)
			require.Equal(t, 1, errs[0].Index)
			require.False(t, errs[0].Event)
			require.Contains(t, errs[0].Msg, test.want)
			require.Contains(t, errs[0].Msg, shown(test.text)+": ")
			require.NotContains(t, errs[0].Msg, "unable to parse")
		})
	}
}

func TestCompileNamesEveryMistake(t *testing.T) {
	_, errs := New().Compile(policies.Expressions{
		Span:      []string{`nosuch == 1`, `name == "x"`, `UUID() == ""`},
		SpanEvent: []string{`name == "x"`, `IsRootSpan()`, `kind == SPAN_KIND_SERVER`, `spn.name == "x"`},
	})
	var at []policies.ExpressionError
	for _, e := range errs {
		at = append(at, policies.ExpressionError{Event: e.Event, Index: e.Index})
	}
	require.Equal(t, []policies.ExpressionError{{Index: 0}, {Index: 2}, {Event: true, Index: 1}, {Event: true, Index: 2}, {Event: true, Index: 3}}, at)
	require.Contains(t, errs[2].Msg, "IsRootSpan is not for events, only for spans; move the expression to span, or write span."+noRoot)
	require.Contains(t, errs[3].Msg, "a span event has no kind")
	require.Contains(t, errs[4].Msg, `did you mean "span"?`)
}

// What messages say to write is right.
func TestWhatMessagesSayToWrite(t *testing.T) {
	_, errs := New().Compile(policies.Expressions{
		Span: []string{
			"end_time_unix_nano - start_time_unix_nano > 5000000", "IsRootSpan()", noRoot, "status.code == STATUS_CODE_ERROR",
			`resource.attributes["service.name"] == "x"`,
		},
		SpanEvent: []string{"span." + noRoot},
	})
	require.Empty(t, errs)
}

func TestErrorsRepeatLittle(t *testing.T) {
	long := "name == "
	for range 1000 {
		long += "\n \"é\""
	}
	_, errs := New().Compile(about(long))
	require.Len(t, errs, 1)
	require.Less(t, len(errs[0].Msg), 300)
	require.NotContains(t, errs[0].Msg, "\n")
}
