package ottl

import (
	"context"
	"sync"
	"testing"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/contexts/ottlspan"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/ottl/ottlfuncs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"thresher/policies"
)

// The cases of the Collector's ottl_test, and others.
func TestMatch(t *testing.T) {
	tests := []struct {
		name        string
		expressions policies.Expressions
		want        bool
	}{
		{"attribute", about(`attributes["http.route"] == "/pay"`), true},
		{"attribute is another", about(`attributes["http.route"] != "/pay"`), false},
		{"inverse", about(`attributes["http.route"] != "/buy"`), true},
		{"absent attribute", about(`attributes["nothing"] == nil`), true},
		{"event attribute", aboutEvents(`attributes["exception.type"] == "Timeout"`), true},
		{"event attribute is not the span's", aboutEvents(`attributes["http.route"] == "/pay"`), false},
		{"event name", aboutEvents(`name != "incorrect event name"`), true},
		{"second event", aboutEvents(`name == "exception"`), true},
		{"no event", aboutEvents(`name == "incorrect event name"`), false},
		{"neither list", policies.Expressions{Span: []string{`name == "x"`}, SpanEvent: []string{`name == "x"`}}, false},
		{"only the events", policies.Expressions{Span: []string{`name == "x"`}, SpanEvent: []string{`name == "retry"`}}, true},
		{"only the span", policies.Expressions{Span: []string{`kind == SPAN_KIND_SERVER`}, SpanEvent: []string{`name == "x"`}}, true},
		{"any of a list", about(`name == "x"`, `span.attributes["cached"] == false`), true},
		{"no expression", policies.Expressions{}, false},

		{"span. of a span", about(`span.attributes["http.route"] == "/pay"`), true},
		{"spanevent. of an event", aboutEvents(`spanevent.attributes["attempt"] == 1`), true},
		{"spanevent. name", aboutEvents(`spanevent.name != "incorrect event name"`), true},
		{"span. of an event", aboutEvents(`span.name == "GET /pay" and name == "retry"`), true},
		{"resource. of a span", about(`resource.attributes["service.name"] == "checkout"`), true},
		{"resource. of an event", aboutEvents(`resource.attributes["service.name"] == "checkout"`), true},
		{"scope.", about(`scope.name == "my-scope"`), true},
		{"scope. of an event", aboutEvents(`scope.attributes["stable"] == true`), true},
		{"instrumentation_scope.", about(`instrumentation_scope.version == "1.2.3"`), true},
		{"schema", about(`resource.schema_url == "https://opentelemetry.io/schemas/1.26.0"`), true},

		{"and, or, not", about(`(name == "x" or kind == SPAN_KIND_SERVER) and not (status.code == STATUS_CODE_OK)`), true},
		{"numbers", about(`attributes["http.response.status_code"] >= 500 and attributes["cost"] * 2 == 5`), true},
		{"duration", about(`end_time - start_time > Duration("2s")`), true},
		{"duration in nanoseconds", about(`end_time_unix_nano - start_time_unix_nano == 2500000000`), true},
		{"regular expression", about(`IsMatch(name, "^GET /p")`), true},
		{"list", about(`ContainsValue(attributes["tags"], "vip")`), true},
		{"map", about(`attributes["user"]["id"] == "u7"`), true},
		{"IDs", about(`trace_id == TraceID(0x0102030405060708090a0b0c0d0e0f10) and span_id.string == "0102030405060708"`), true},
		{"trace state", about(`trace_state["vendor"] == "1"`), true},
		{"not a root", about(`IsRootSpan()`), false},
		{"functions", about(`ToUpperCase(Substring(name, 0, 3)) == "GET" and Len(attributes["tags"]) == 2`), true},
		{"grok", about(`ExtractGrokPatterns(name, "%{WORD:verb} %{URIPATH:path}", true)["verb"] == "GET"`), true},
		{"index of the event", aboutEvents(`event_index == 1 and name == "exception"`), true},
		{"index of another event", aboutEvents(`event_index == 0 and name == "exception"`), false},
		{"events as a whole", about(`Len(events) == 2 and Len(links) == 1`), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			matched, err := compiled(t, test.expressions).Match(viewOf(t, sample(), 0))
			require.NoError(t, err)
			require.Equal(t, test.want, matched)
		})
	}
}

func TestRootSpan(t *testing.T) {
	c := compiled(t, about(`IsRootSpan()`))
	for parent, want := range map[[8]byte]bool{{}: true, {1}: false} {
		v := viewOf(t, sample(func(s ptrace.Span) { s.SetParentSpanID(parent) }), 0)
		matched, err := c.Match(v)
		require.NoError(t, err)
		require.Equal(t, want, matched)
	}
}

func TestErrorsOfExpressions(t *testing.T) {
	const bad, worse, yes, no = `ToLowerCase(attributes["none"]) == "x"`, `Int(name) == 1`, `name == "GET /pay"`, `name == ""`
	type list = []string
	tests := []struct {
		name        string
		span, event list
		stop        bool
		want        bool
		err         string
	}{
		{"true before the error", list{yes, bad}, nil, true, true, ""},
		{"error before true, stop", list{bad, yes}, nil, true, false, bad},
		{"error before true, go on", list{bad, yes}, nil, false, true, bad},
		{"the first error counts", list{no, bad, worse}, nil, false, false, bad},
		{"error, then an event, go on", list{bad}, list{`name == "retry"`}, false, true, bad},
		{"error, then an event, stop", list{bad}, list{`name == "retry"`}, true, false, bad},
		{"error of the first event, go on", list{no}, list{`attributes["attempt"] + 1 > 5`, `name == "exception"`}, false, true, "attempt"},
		{"error of an event, stop", list{no}, list{`ToLowerCase(attributes["exception.type"]) == "timeout"`}, true, false, "exception.type"},
		{"error of an event, go on", list{no}, list{`ToLowerCase(attributes["exception.type"]) == "timeout"`}, false, true, "exception.type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := compiled(t, policies.Expressions{Span: test.span, SpanEvent: test.event, StopOnError: test.stop})
			matched, err := c.Match(viewOf(t, sample(), 0))
			require.Equal(t, test.want, matched)
			if test.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), "TransformContext")
		})
	}
}

func TestErrorText(t *testing.T) {
	_, err := compiled(t, about(`ToLowerCase(attributes["none"]) == "x"`)).Match(viewOf(t, sample(), 0))
	require.EqualError(t, err, "the span expression `ToLowerCase(attributes[\"none\"]) == \"x\"` has no answer: expected string but got nil")
}

func TestForeignView(t *testing.T) {
	_, err := compiled(t, about(`true`)).Match(foreign{})
	require.ErrorIs(t, err, errForeignView)
}

type foreign struct{}

func (foreign) Set(_, _, _ []byte, _ int64) {}

// alike are expressions for which the library as it is needs no changes.
func alike() []string {
	return []string{
		`name == "GET /pay"`, `attributes["cost"] > 2.4`, `IsMatch(attributes["http.route"], "^/p")`, `status.message == "no funds"`,
		`Keys(attributes)[0] == "http.route"`, `Values(attributes["user"])[0] == "10115"`,
		`ToKeyValueString(attributes["user"]) == "zip=10115 id=u7"`, `Format("%s-%d", [name, 5]) == "GET /pay-5"`,
		`Format("%v", [attributes["tags"]]) != ""`, `Concat([name, attributes["user"]], "|") == "GET /pay|{\"id\":\"u7\",\"zip\":\"10115\"}"`,
		`SHA256(name) != nil`, `Log(attributes["cost"]) > 0.9`, `Int(attributes["cost"]) == 2`, `Hour(start_time) == 22`,
		`Time("2023-11-14T22:13:20Z", "%Y-%m-%dT%H:%M:%SZ") == start_time`, `UnixMilli(start_time) == 1700000000000`,
		`URL("https://a.b/c?d=e")["url.domain"] == "a.b"`, `UserAgent("curl/7.81.0")["user_agent.name"] == "curl"`,
		`ParseJSON(attributes["json"])["b"]["y"] == 2`, `Sort(attributes["tags"])[0] == "eu"`, `Split(attributes["csv"], ",")[1] == "2"`,
		`GetXML("<a><b>1</b></a>", "/a/b") == "<b>1</b>"`, `ParseKeyValue("a=1 b=2")["b"] == "2"`, `Hex(attributes["raw"]) == "010203"`,
		`ParseSeverity(attributes["http.response.status_code"], {"warn": [{"range": "4xx"}], "error": [{"range": "5xx"}]}) == "error"`,
	}
}

// What is compiled here and the library as it is agree, and agree through headers decoded apart and a span decoded whole.
func TestAgreesWithTheLibrary(t *testing.T) {
	functions := ottlfuncs.StandardConverters[*ottlspan.TransformContext]()
	parser, err := ottlspan.NewParser(functions, component.TelemetrySettings{Logger: zap.NewNop()})
	require.NoError(t, err)
	traces := sample()
	rs := traces.ResourceSpans().At(0)
	ss := rs.ScopeSpans().At(0)
	x := ottlspan.NewTransformContext(rs, ss, ss.Spans().At(0))
	defer x.Close()
	v := viewOf(t, traces, 0)
	for _, text := range alike() {
		theirs, err := parser.ParseCondition(text)
		require.NoError(t, err, text)
		want, err := theirs.Eval(context.Background(), x)
		require.NoError(t, err, text)
		require.True(t, want, text)
		got, err := compiled(t, about(text)).Match(v)
		require.NoError(t, err, text)
		require.True(t, got, text)
	}
}

// One condition serves all partitions.
func TestConcurrentUse(t *testing.T) {
	all := compiled(t, about(`not (`+conjunction(alike())+`)`))
	p := cut(t, sample())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			v := New().NewView()
			for range 20 {
				v.Set(p.resource, p.scope, p.span, 0)
				if matched, err := all.Match(v); matched || err != nil {
					t.Error(matched, err)
				}
			}
		})
	}
	wait.Wait()
}

func conjunction(list []string) string {
	out := ""
	for i, text := range list {
		if i > 0 {
			out += " and "
		}
		out += "(" + text + ")"
	}
	return out
}
