package receive

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"
)

// FuzzHTTPBody posts any body in any encoding. Whatever it is: the answer is one the OTLP specification knows and is
// well formed, what was published is valid OTLP with as many spans as it says, and no byte stays accounted for.
func FuzzHTTPBody(f *testing.F) {
	good, goodJSON := protoOf(f, mixedTraces()), jsonOf(f, mixedTraces())
	encodings := []string{"", "gzip", "zstd", "deflate", "snappy"}
	for i, name := range encodings {
		f.Add(false, uint8(i), compress(f, name, good))
		f.Add(true, uint8(i), compress(f, name, goodJSON))
	}
	f.Add(false, uint8(0), []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add(true, uint8(0), []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":{"arrayValue":{"values":[{}]}}}]}]}]}]}`))

	var (
		published int
		damaged   error
	)
	log := &memoryLog{publish: func(_ context.Context, frags []Fragment) error {
		for _, fragment := range frags {
			req := ptraceotlp.NewExportRequest()
			if err := req.UnmarshalProto(fragment.Data); err != nil {
				damaged = err
			} else if n := req.Traces().SpanCount(); n != fragment.Spans {
				damaged = fmt.Errorf("a fragment says %d spans and has %d", fragment.Spans, n)
			}
			published += fragment.Spans
		}
		return nil
	}}
	c := DefaultConfig()
	c.Protocols.HTTP.GetOrInsertDefault().ServerConfig.MaxRequestBodySize = 1 << 20
	r, err := New(c, Settings{Name: "otlp", Partitions: testPartitions, MaxFragment: 64 << 10, Publisher: log, Memory: NewMemory(256 << 20), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	server, err := r.httpServer(context.Background(), c.Protocols.HTTP.Get())
	require.NoError(f, err)

	f.Fuzz(func(t *testing.T, isJSON bool, compression uint8, body []byte) {
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
		mediaType := typeProto
		if isJSON {
			mediaType = typeJSON
		}
		req.Header.Set(contentType, mediaType)
		if name := encodings[int(compression)%len(encodings)]; name != "" {
			req.Header.Set("Content-Encoding", name)
		}
		before, stored := r.Stats().HTTP, published
		w := httptest.NewRecorder()
		server.Handler.ServeHTTP(w, req)
		after := r.Stats()

		require.NoError(t, damaged)
		require.Equal(t, mediaType, w.Header().Get(contentType))
		resp, failure := ptraceotlp.NewExportResponse(), &spb.Status{}
		switch w.Code {
		case http.StatusOK:
			if isJSON {
				require.NoError(t, resp.UnmarshalJSON(w.Body.Bytes()))
			} else {
				require.NoError(t, resp.UnmarshalProto(w.Body.Bytes()))
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			if isJSON {
				require.NoError(t, protojson.Unmarshal(w.Body.Bytes(), failure))
			} else {
				require.NoError(t, proto.Unmarshal(w.Body.Bytes(), failure))
			}
			require.NotEmpty(t, failure.Message)
		default:
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		require.Equal(t, before.Requests+1, after.HTTP.Requests)
		require.EqualValues(t, published-stored, after.HTTP.Spans-before.Spans)
		require.EqualValues(t, resp.PartialSuccess().RejectedSpans(),
			after.HTTP.InvalidSpans()+after.HTTP.OversizedSpans-before.InvalidSpans()-before.OversizedSpans)
		require.Zero(t, after.InflightBytes)
		log.mu.Lock()
		log.fragments = nil
		log.mu.Unlock()
	})
}
