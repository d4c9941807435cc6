package receive

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"thresher/internal/wire"
)

func TestHTTPDeeplyNestedJSONIsRefusedEarly(t *testing.T) {
	const levels = 700_000
	r := startReceiver(t, &memoryLog{}, nil)
	body := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000001","attributes":[{"key":"a","value":` +
		strings.Repeat(`{"arrayValue":{"values":[`, levels) + strings.Repeat(`]}}`, levels) + `}]}]}]}]}`
	got := post(t, httpClient(t), r, []byte(body), contentType, typeJSON)
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, statusOf(t, got).Message, "nested deeper than")
}

// Whatever the scanner of protobuf takes may come as JSON too.
func TestHTTPNestedJSONIsTakenToTheDepthOfProtobuf(t *testing.T) {
	nest := func(depth int) []byte {
		td := shopTraces(1)
		v := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().PutEmpty("deep")
		for range depth {
			v = v.SetEmptyMap().PutEmpty("k")
		}
		v.SetInt(1)
		return jsonOf(t, td)
	}
	r := startReceiver(t, &memoryLog{}, nil)
	c := httpClient(t)
	require.Equal(t, http.StatusOK, post(t, c, r, nest(wire.MaxDepth-2), contentType, typeJSON).status)
	require.Equal(t, http.StatusBadRequest, post(t, c, r, nest(wire.MaxDepth+2), contentType, typeJSON).status)
	require.Equal(t, http.StatusBadRequest, post(t, c, r, nest(2*wire.MaxDepth), contentType, typeJSON).status)
}
