package otlpjson

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// inSpan puts the fields of a span into a request.
func inSpan(fields string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[{` + fields + `}]}]}]}`
}

// inValue makes a request with one attribute.
func inValue(value string) string { return inSpan(`"attributes":[{"key":"k","value":` + value + `}]`) }

const ids = `"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"`

// everything has a value in each field that a trace request has.
func everything() ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl("https://opentelemetry.io/schemas/1.26.0")
	rs.Resource().Attributes().PutStr("service.name", "s\"h\\o\u00e9p\n")
	rs.Resource().SetDroppedAttributesCount(3)
	ss := rs.ScopeSpans().AppendEmpty()
	ss.SetSchemaUrl("of the scope")
	ss.Scope().SetName("scope")
	ss.Scope().SetVersion("1.2")
	ss.Scope().Attributes().PutBool("b", true)
	ss.Scope().SetDroppedAttributesCount(math.MaxUint32)
	for i := range 3 {
		s := ss.Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1, 2, 3, byte(i)})
		s.SetSpanID(pcommon.SpanID{4, byte(i)})
		s.SetParentSpanID(pcommon.SpanID{5})
		s.TraceState().FromRaw("a=b")
		s.SetName(strings.Repeat("name", 50))
		s.SetKind(ptrace.SpanKindServer)
		s.SetFlags(0x301)
		s.SetStartTimestamp(math.MaxUint64)
		s.SetEndTimestamp(1)
		s.SetDroppedAttributesCount(1)
		s.SetDroppedEventsCount(2)
		s.SetDroppedLinksCount(3)
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Status().SetMessage("no")
		values(s.Attributes())
		e := s.Events().AppendEmpty()
		e.SetName("exception")
		e.SetTimestamp(7)
		e.SetDroppedAttributesCount(8)
		values(e.Attributes())
		l := s.Links().AppendEmpty()
		l.SetTraceID(pcommon.TraceID{9})
		l.SetSpanID(pcommon.SpanID{10})
		l.TraceState().FromRaw("c=d")
		l.SetFlags(11)
		l.SetDroppedAttributesCount(12)
		values(l.Attributes())
	}
	td.ResourceSpans().AppendEmpty()
	return td
}

func values(m pcommon.Map) {
	m.PutStr("string", "value")
	m.PutStr("empty string", "")
	m.PutInt("int", math.MinInt64)
	m.PutInt("zero", 0)
	m.PutDouble("double", -0.1)
	m.PutDouble("zero double", 0)
	m.PutBool("false", false)
	m.PutEmpty("empty")
	m.PutEmptyBytes("bytes").FromRaw([]byte{0xff, 0xfe, 0, 1, 2})
	m.PutEmptyBytes("no bytes")
	m.PutEmptySlice("empty list")
	list := m.PutEmptySlice("list")
	list.AppendEmpty().SetInt(1)
	list.AppendEmpty()
	list.AppendEmpty().SetEmptyMap().PutStr("deep", strings.Repeat("x", 300))
	m.PutEmptyMap("empty map")
	m.PutEmptyMap("map").PutEmptyMap("map").PutEmptySlice("list").AppendEmpty().SetBool(true)
}

// unbounded is memory without end.
type unbounded struct{}

func (unbounded) Grow(b []byte, n int) ([]byte, error) { return slices.Grow(b, n), nil }
func (unbounded) Take(int) error                       { return nil }

func appendBytes(dst, body []byte) (Result, error) {
	return Append(dst, bytes.NewBuffer(body), unbounded{})
}

func decoded(t require.TestingT, b []byte) ptrace.Traces {
	r := ptraceotlp.NewExportRequest()
	require.NoError(t, r.UnmarshalProto(b))
	return r.Traces()
}

// shown makes NaN equal to itself.
func shown(t require.TestingT, td ptrace.Traces) string {
	b, err := (&ptrace.JSONMarshaler{}).MarshalTraces(td)
	require.NoError(t, err)
	return string(b)
}

func TestEveryFieldIsTaken(t *testing.T) {
	td := everything()
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalJSON()
	require.NoError(t, err)
	given := bytes.Clone(body)
	got, err := appendBytes([]byte("before"), body)
	require.NoError(t, err)
	require.Equal(t, string(given), string(body))
	require.Equal(t, "before", string(got.Bytes[:6]))
	require.Equal(t, td, decoded(t, got.Bytes[6:]))
	require.Equal(t, 3, got.Spans)
	require.Empty(t, got.Unknown)

	// The same in the spelling of the schema, and with white space.
	var snake bytes.Buffer
	require.NoError(t, json.Indent(&snake, snakeCase(body), "", "  "))
	got, err = appendBytes(nil, snake.Bytes())
	require.NoError(t, err)
	require.Equal(t, td, decoded(t, got.Bytes))
	require.Empty(t, got.Unknown)
}

// snakeCase turns names of fields, which these bodies have nowhere else, from camelCase.
func snakeCase(body []byte) []byte {
	var out []byte
	inName := false
	for i, c := range body {
		switch {
		case c == '"':
			end := bytes.IndexByte(body[i+1:], '"')
			inName = end >= 0 && i+end+2 < len(body) && body[i+end+2] == ':'
		case inName && c >= 'A' && c <= 'Z':
			out = append(out, '_')
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return out
}

// What pdata makes of each is what this package makes of it.
var sameAsPdata = []string{
	`{}`, `null`, ` { } `, `{"resourceSpans":null}`, `{"resourceSpans":[]}`, `{"resourceSpans":[null,{},null]}`,
	`{"resourceSpans":[{"scopeSpans":[null,{"spans":[null,{}]}],"resource":null}]}`,
	inSpan(ids), inSpan(`"traceId":"","spanId":""`), inSpan(`"TRACEID":1,"unknown":{"a":[{"spans":[{}]}]},"name":"n"`),
	inSpan(`"name":null,"status":null,"attributes":null,"events":null`),
	inSpan(`"name":"a","name":""`), inSpan(`"name":"a","name":null`), inSpan(`"kind":2,"kind":0`), inSpan(`"status":{"code":2},"status":{"message":"m"}`),
	inSpan(`"attributes":[{"key":"a"}],"attributes":[{"key":"b"}]`), inSpan(`"traceId":"5b8efff798038103d269b633813fc60c","traceId":""`),
	inSpan(`"kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"}`), inSpan(`"kind":99`), inSpan(`"kind":-1`),
	inSpan(`"kind":"server"`), inSpan(`"kind":"2"`), inSpan(`"kind":2.0`), inSpan(`"kind":null`), inSpan(`"kind":true`), inSpan(`"kind":""`),
	inSpan(`"startTimeUnixNano":18446744073709551615`), inSpan(`"startTimeUnixNano":"18446744073709551615"`), inSpan(`"startTimeUnixNano":18446744073709551616`),
	inSpan(`"startTimeUnixNano":-1`), inSpan(`"startTimeUnixNano":1e3`), inSpan(`"startTimeUnixNano":"1e3"`), inSpan(`"startTimeUnixNano":""`), inSpan(`"startTimeUnixNano":null`),
	inSpan(`"startTimeUnixNano":" 1"`), inSpan(`"startTimeUnixNano":"+1"`), inSpan(`"startTimeUnixNano":{}`),
	inSpan(`"droppedAttributesCount":4294967296`), inSpan(`"flags":"257"`),
	inSpan(`"traceId":null`), inSpan(`"traceId":"01"`), inSpan(`"traceId":"zz8efff798038103d269b633813fc60c"`), inSpan(`"traceId":7`), inSpan(`"spanId":"5b8efff798038103d269b633813fc60c"`),
	inSpan(`"traceId":"5B8EFFF798038103D269B633813FC60C"`),
	inSpan(`"attributes":{}`), inSpan(`"attributes":[1]`), inSpan(`"name":1`), inSpan(`"status":[]`), `[]`, `1`, `"x"`, ``, ` `, `{`, `{"resourceSpans":[}`, `{"resourceSpans":{"a":1}}`,
	inValue(`{"intValue":"-9223372036854775808"}`), inValue(`{"intValue":9223372036854775808}`), inValue(`{"intValue":-0}`), inValue(`{"intValue":1.5}`), inValue(`{"intValue":0}`),
	inValue(`{"doubleValue":"NaN"}`), inValue(`{"doubleValue":"-Infinity"}`), inValue(`{"doubleValue":"x"}`), inValue(`{"doubleValue":1e999}`), inValue(`{"doubleValue":12345678901234567890}`),
	inValue(`{"doubleValue":null}`), inValue(`{"boolValue":"true"}`), inValue(`{"boolValue":null}`), inValue(`{"boolValue":1}`), inValue(`{"boolValue":false}`),
	inValue(`{"stringValue":null}`), inValue(`{"stringValue":"\u00e9\n\"\\\/\ud83d\ude00"}`), inValue(`{"bytesValue":"AQI="}`), inValue(`{"bytesValue":""}`),
	inValue(`{"bytesValue":"AQI"}`), inValue(`{"bytesValue":"_w=="}`), inValue(`{"bytesValue":null}`), inValue(`{"arrayValue":null}`), inValue(`{"kvlistValue":{"values":null}}`),
	inValue(`{"arrayValue":{"values":[null,{},{"intValue":1}]}}`), inValue(`{"intValue":1,"stringValue":"last"}`), inValue(`{"intValue":1,"stringValue":""}`), inValue(`null`), inValue(`{}`), inValue(`1`),
	`{"resourceSpans":[{"resource":{"entityRefs":[{"schemaUrl":"u","type":"t","idKeys":["a",null,"b"],"descriptionKeys":["c"]}]}}]}`,
	`{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","start_time_unix_nano":"5"}]}]}]}`,
}

func TestSameAsPdata(t *testing.T) {
	for _, body := range sameAsPdata {
		same(t, []byte(body))
	}
}

// same compares with pdata. pdata is laxer than JSON, and does not know escapes in IDs and base64.
func same(t *testing.T, body []byte) {
	t.Helper()
	want := ptraceotlp.NewExportRequest()
	wantErr := want.UnmarshalJSON(body)
	got, err := appendBytes(nil, body)
	// Read in small parts it is the same.
	parts, partsErr := Append(nil, iotest.OneByteReader(bytes.NewReader(body)), unbounded{})
	require.Equal(t, err == nil, partsErr == nil, "%q: %v, in parts %v", body, err, partsErr)
	require.Equal(t, got.Bytes, parts.Bytes)
	if len(got.Bytes) > 3*len(body)+16 {
		t.Errorf("%q: %d bytes of JSON became %d", body, len(body), len(got.Bytes))
	}
	if !json.Valid(body) {
		require.Error(t, err, "%q", body)
		return
	}
	if wantErr != nil {
		if !bytes.Contains(body, []byte(`\`)) {
			require.Error(t, err, "%q: pdata says %v", body, wantErr)
		}
		return
	}
	if tooDeep(body) {
		require.ErrorContains(t, err, "nested deeper")
		return
	}
	require.NoError(t, err, "%q", body)
	b, marshalErr := want.MarshalProto()
	require.NoError(t, marshalErr)
	require.Equal(t, shown(t, decoded(t, b)), shown(t, decoded(t, got.Bytes)), "%q", body)
	require.Equal(t, want.Traces().SpanCount(), got.Spans)
}

func tooDeep(body []byte) bool {
	depth, most := 0, 0
	inString := false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '{' || c == '['):
			depth++
			most = max(most, depth)
		case !inString && (c == '}' || c == ']'):
			depth--
		}
	}
	return most > MaxDepth
}

func TestWherePdataIsNoJSONParser(t *testing.T) {
	for _, body := range []string{
		inSpan(ids) + ` x`, inSpan(ids) + `{}`, `{"resourceSpans":[,{}]}`, "{\"a\":\"\x01\"}", `{"resourceSpans":[{}],}`,
	} {
		_, err := appendBytes(nil, []byte(body))
		require.Error(t, err, "%q", body)
	}
	for body, want := range map[string]string{
		inValue(`{"stringValue":"a\ud800b"}`):             "a\ufffdb",
		inValue("{\"stringValue\":\"a\xff\xfeb\"}"):       "a\ufffd\ufffdb",
		inValue("{\"stringValue\":\"\\u0041\xff\"}"):      "A\ufffd",
		inValue(`{"":{"":1},"stringValue":"behind it"}`):  "behind it",
		inValue(`{"s\u0074ring\u0056alue":"in escapes"}`): "in escapes",
	} {
		got, err := appendBytes(nil, []byte(body))
		require.NoError(t, err, body)
		v, _ := decoded(t, got.Bytes).ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().Get("k")
		require.Equal(t, want, v.Str(), body)
	}
	got, err := appendBytes(nil, []byte(inValue(`{"bytesValue":"\/\/8="}`)))
	require.NoError(t, err)
	v, _ := decoded(t, got.Bytes).ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().Get("k")
	require.Equal(t, []byte{0xff, 0xff}, v.Bytes().AsRaw())
}

func TestErrorsSayWhereAndWhatToWrite(t *testing.T) {
	for body, want := range map[string]string{
		``:                       "ends before it has begun",
		`[]`:                     "there is [ where an object belongs",
		inSpan(`"traceId":"01"`): `/resourceSpans/0/scopeSpans/0/spans/0/traceId: "01" is no trace ID: write 32 hexadecimal digits, and leading zeros too`,
		inSpan(`"traceId":"W47/95gDgQPSabYzgT/GDA=="`):          "this looks like base64, which OTLP does not use for IDs",
		inSpan(`"spanId":"` + strings.Repeat("f", 1<<20) + `"`): `... is no span ID: write 16`,
		inSpan(`"kind":"server"`):                               "is not a name of a span kind, such as SPAN_KIND_SERVER",
		inSpan(`"startTimeUnixNano":1.5`):                       "/startTimeUnixNano: 1.5 as a number: invalid syntax",
		inValue(`{"boolValue":"true"}`):                         "/value/boolValue: there is string where true or false belongs",
		inSpan(ids) + "x":                                       "there is something else",
		inSpan(`"name":"`):                                      "unexpected EOF",
		strings.Repeat(`{"a":[`, 10_000):                        "nested deeper than 416 levels",
		inSpan(`"kind":` + strings.Repeat("9", 1<<20)):          "is not a number",
	} {
		_, err := appendBytes(nil, []byte(body))
		require.ErrorContains(t, err, want, "%.100q", body)
		require.Less(t, len(err.Error()), 600)
	}
}

func TestUnknownNames(t *testing.T) {
	got, err := appendBytes(nil, []byte(`{"ResourceSpans":[{}],"a":{"b":1},"resourceSpans":[{"c":1}],"d":2}`))
	require.NoError(t, err)
	require.Equal(t, []string{"/ResourceSpans", "/a", "/resourceSpans/0/c"}, got.Unknown)
	require.Zero(t, got.Spans)
}
