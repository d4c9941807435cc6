package receive

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func compress(t testing.TB, name string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch name {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "deflate":
		w = zlib.NewWriter(&buf)
	case "zstd":
		var err error
		w, err = zstd.NewWriter(&buf)
		require.NoError(t, err)
	case "snappy":
		return snappy.Encode(nil, b)
	default:
		return b
	}
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestHTTPStoresSpansInEveryEncoding(t *testing.T) {
	td := shopTraces(1000)
	for _, mediaType := range []string{typeProto, typeJSON, "application/json; charset=utf-8"} {
		for _, compression := range []string{"", "gzip", "zstd", "deflate", "snappy"} {
			t.Run(mediaType+" "+compression, func(t *testing.T) {
				log := &memoryLog{}
				r := startReceiver(t, log, nil)
				body, empty := protoOf(t, td), ""
				if strings.HasPrefix(mediaType, typeJSON) {
					body, empty = jsonOf(t, td), "{}"
				}
				headers := []string{contentType, mediaType}
				if compression != "" {
					headers = append(headers, "Content-Encoding", compression)
				}
				got := post(t, httpClient(t), r, compress(t, compression, body), headers...)
				require.Equal(t, http.StatusOK, got.status, "%s", got.body)
				require.Equal(t, empty, string(got.body))
				require.True(t, strings.HasPrefix(mediaType, got.header.Get(contentType)))
				require.Equal(t, spanNames(1000), log.names(t))
				require.Equal(t, ProtocolStats{Requests: 1, Accepted: 1, Spans: 1000, Bytes: uint64(len(body))}, r.Stats().HTTP)
			})
		}
	}
}

func TestHTTPEmptyRequestSucceeds(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	c := httpClient(t)
	require.Equal(t, http.StatusOK, post(t, c, r, nil, contentType, typeProto).status)
	require.Equal(t, http.StatusOK, post(t, c, r, []byte("{}"), contentType, typeJSON).status)
	require.Equal(t, http.StatusOK, post(t, c, r, jsonOf(t, ptrace.NewTraces()), contentType, typeJSON).status)
	require.EqualValues(t, 3, r.Stats().HTTP.Accepted)
}

func TestHTTPPartialSuccess(t *testing.T) {
	for _, mediaType := range []string{typeProto, typeJSON} {
		log := &memoryLog{}
		r := startReceiver(t, log, nil)
		resp := ptraceotlp.NewExportResponse()
		if mediaType == typeJSON {
			got := post(t, httpClient(t), r, jsonOf(t, mixedTraces()), contentType, mediaType)
			require.Equal(t, http.StatusOK, got.status)
			require.NoError(t, resp.UnmarshalJSON(got.body))
		} else {
			got := post(t, httpClient(t), r, protoOf(t, mixedTraces()), contentType, mediaType)
			require.Equal(t, http.StatusOK, got.status)
			require.NoError(t, resp.UnmarshalProto(got.body))
		}
		require.EqualValues(t, 3, resp.PartialSuccess().RejectedSpans())
		require.Contains(t, resp.PartialSuccess().ErrorMessage(), "2 spans without a trace ID")
		require.Equal(t, spanNames(10), log.names(t))
	}
}

// statusOf reads the google.rpc.Status of an answer in the encoding that it names.
func statusOf(t *testing.T, a httpAnswer) *spb.Status {
	t.Helper()
	var s spb.Status
	if a.header.Get(contentType) == typeJSON {
		require.NoError(t, protojson.Unmarshal(a.body, &s), "%s", a.body)
	} else {
		require.Equal(t, typeProto, a.header.Get(contentType))
		require.NoError(t, proto.Unmarshal(a.body, &s))
	}
	return &s
}

func TestHTTPBadInput(t *testing.T) {
	good, goodJSON := protoOf(t, shopTraces(10)), jsonOf(t, shopTraces(10))
	for _, tc := range []struct {
		name    string
		headers []string
		body    []byte
		status  int
		code    codes.Code
		want    string
	}{
		{"truncated", []string{contentType, typeProto}, good[:len(good)-3], 400, codes.InvalidArgument, "ends in the middle of a field"},
		{"hostile length", []string{contentType, typeProto}, []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x07}, 400, codes.InvalidArgument, "ends in the middle"},
		{"JSON as protobuf", []string{contentType, typeProto}, goodJSON, 400, codes.InvalidArgument, "not an OTLP trace request"},
		{"protobuf as JSON", []string{contentType, typeJSON}, good, 400, codes.InvalidArgument, "in JSON"},
		{"truncated JSON", []string{contentType, typeJSON}, goodJSON[:len(goodJSON)-3], 400, codes.InvalidArgument, "in JSON"},
		{"empty JSON body", []string{contentType, typeJSON}, nil, 400, codes.InvalidArgument, "in JSON"},
		{"bad hex ID", []string{contentType, typeJSON}, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}`), 400, codes.InvalidArgument, "in JSON"},
		{"not gzip", []string{contentType, typeProto, "Content-Encoding", "gzip"}, good, 400, codes.InvalidArgument, "the body cannot be read"},
		{"gzip cut off", []string{contentType, typeProto, "Content-Encoding", "gzip"}, compress(t, "gzip", good)[:100], 400, codes.InvalidArgument, "the body cannot be read"},
		{"zstd cut off", []string{contentType, typeJSON, "Content-Encoding", "zstd"}, compress(t, "zstd", goodJSON)[:100], 400, codes.InvalidArgument, "the body cannot be read"},
		{"unknown compression", []string{contentType, typeProto, "Content-Encoding", "br"}, good, 415, codes.Unimplemented, "unsupported Content-Encoding: br"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := startReceiver(t, &memoryLog{}, nil)
			got := post(t, httpClient(t), r, tc.body, tc.headers...)
			require.Equal(t, tc.status, got.status, "%s", got.body)
			require.Equal(t, tc.headers[1], got.header.Get(contentType))
			require.Empty(t, got.header.Get("Retry-After"))
			s := statusOf(t, got)
			require.EqualValues(t, tc.code, s.Code)
			require.Contains(t, s.Message, tc.want)
			require.Empty(t, s.Details)
			stats := r.Stats().HTTP
			require.EqualValues(t, 1, stats.Requests)
			require.EqualValues(t, 1, stats.Malformed+stats.Unsupported)
		})
	}
}

func TestHTTPWrongPathMethodAndMediaType(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	c, base := httpClient(t), "http://"+r.HTTPAddr().String()

	got := do(t, c, http.MethodGet, base+"/v1/traces", nil)
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, http.MethodPost, got.header.Get("Allow"))

	for _, mediaType := range []string{"", "text/plain", "application/protobuf", ";;"} {
		got = post(t, c, r, []byte("x"), contentType, mediaType)
		require.Equal(t, http.StatusUnsupportedMediaType, got.status)
		require.Contains(t, string(got.body), "Content-Type must be application/x-protobuf or application/json")
	}

	got = do(t, c, http.MethodPost, base+"/v1/metrics", nil, contentType, typeProto)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Contains(t, statusOf(t, got).Message, "OTEL_METRICS_EXPORTER=none")
	got = do(t, c, http.MethodPost, base+"/v1/logs", nil, contentType, typeJSON)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Contains(t, statusOf(t, got).Message, "OTEL_LOGS_EXPORTER=none")
	got = do(t, c, http.MethodPost, base+"/", nil, contentType, typeJSON)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Contains(t, statusOf(t, got).Message, "post traces to /v1/traces")
	require.EqualValues(t, 8, r.Stats().HTTP.Unsupported)
	require.EqualValues(t, 8, r.Stats().HTTP.Requests)
}

func TestHTTPCustomPath(t *testing.T) {
	log := &memoryLog{}
	r := startReceiver(t, log, func(c *Config, _ *Settings) {
		require.NoError(t, c.Protocols.HTTP.Get().TracesURLPath.UnmarshalText([]byte("in/{x}/spans/")))
	})
	c, base := httpClient(t), "http://"+r.HTTPAddr().String()
	require.Equal(t, 404, do(t, c, http.MethodPost, base+"/v1/traces", nil, contentType, typeProto).status)
	require.Equal(t, 200, do(t, c, http.MethodPost, base+"/in/%7Bx%7D/spans", protoOf(t, shopTraces(3)), contentType, typeProto).status)
	require.Equal(t, spanNames(3), log.names(t))
}

func TestHTTPBodyAboveTheLimit(t *testing.T) {
	big := protoOf(t, shopTraces(1000))
	for _, compression := range []string{"", "gzip", "zstd", "deflate", "snappy", "chunked"} {
		t.Run("compression "+compression, func(t *testing.T) {
			r := startReceiver(t, &memoryLog{}, func(c *Config, _ *Settings) {
				c.Protocols.HTTP.Get().ServerConfig.MaxRequestBodySize = 300_000
			})
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+r.HTTPAddr().String()+"/v1/traces",
				bytes.NewReader(compress(t, compression, big)))
			require.NoError(t, err)
			req.Header.Set(contentType, typeProto)
			switch compression {
			case "":
			case "chunked":
				req.ContentLength = -1
			default:
				req.Header.Set("Content-Encoding", compression)
			}
			resp, err := httpClient(t).Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, "%s", body)
			require.Contains(t, string(body), "raise receivers.otlp.protocols.http.max_request_body_size")
			require.EqualValues(t, 1, r.Stats().HTTP.TooLarge)
		})
	}
}

func TestHTTPPublisherFailureIsRetryable(t *testing.T) {
	for _, mediaType := range []string{typeProto, typeJSON} {
		r := startReceiver(t, &memoryLog{publish: func(context.Context, []Fragment) error { return errors.New("broker-7 refused") }}, nil)
		body := protoOf(t, shopTraces(10))
		if mediaType == typeJSON {
			body = jsonOf(t, shopTraces(10))
		}
		got := post(t, httpClient(t), r, body, contentType, mediaType)
		require.Equal(t, http.StatusServiceUnavailable, got.status)
		require.Equal(t, "1", got.header.Get("Retry-After"))
		s := statusOf(t, got)
		require.EqualValues(t, codes.Unavailable, s.Code)
		require.Equal(t, notStored, s.Message)
		require.Len(t, s.Details, 1)
		require.EqualValues(t, 1, r.Stats().HTTP.Unpublished)
	}
}

func TestHTTPPermanentPublisherFailureIsNotRetryable(t *testing.T) {
	r := startReceiver(t, &memoryLog{publish: func(context.Context, []Fragment) error { return ErrPermanent }}, nil)
	got := post(t, httpClient(t), r, protoOf(t, shopTraces(10)), contentType, typeProto)
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Empty(t, got.header.Get("Retry-After"))
	require.EqualValues(t, 1, r.Stats().HTTP.Rejected)
}

func TestHTTPClientThatGoesAwayEndsThePublishing(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	r := startReceiver(t, &memoryLog{publish: func(ctx context.Context, _ []Fragment) error {
		close(entered)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.HTTPAddr().String()+"/v1/traces",
		bytes.NewReader(protoOf(t, shopTraces(10))))
	require.NoError(t, err)
	req.Header.Set(contentType, typeProto)
	go func() { <-entered; cancel() }()
	resp, err := httpClient(t).Do(req)
	if err == nil {
		require.NoError(t, resp.Body.Close())
	}
	require.ErrorIs(t, err, context.Canceled)
	<-ended
	require.Eventually(t, func() bool { return r.Stats().HTTP.Abandoned == 1 }, 5*time.Second, time.Millisecond)
}

func TestHTTPCORSPreflight(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, func(c *Config, _ *Settings) {
		c.Protocols.HTTP.Get().ServerConfig.CORS = configoptional.Some(confighttp.CORSConfig{
			AllowedOrigins: []string{"https://*.example.com"}, AllowedHeaders: []string{"X-Token"}, MaxAge: 600,
		})
	})
	c, url := httpClient(t), "http://"+r.HTTPAddr().String()+"/v1/traces"
	preflight := func(origin string) httpAnswer {
		return do(t, c, http.MethodOptions, url, nil, "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-token")
	}
	got := preflight("https://shop.example.com")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Equal(t, "https://shop.example.com", got.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "POST", got.header.Get("Access-Control-Allow-Methods"))
	require.Equal(t, "600", got.header.Get("Access-Control-Max-Age"))
	require.Empty(t, preflight("https://evil.test").header.Get("Access-Control-Allow-Origin"))

	got = post(t, c, r, jsonOf(t, shopTraces(1)), contentType, typeJSON, "Origin", "https://shop.example.com")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "https://shop.example.com", got.header.Get("Access-Control-Allow-Origin"))
}

func TestHTTPJSONStatusIsReadableByOtherParsers(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	got := post(t, httpClient(t), r, []byte("{"), contentType, typeJSON)
	var s struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	require.NoError(t, json.Unmarshal(got.body, &s))
	require.EqualValues(t, codes.InvalidArgument, s.Code)
	require.Contains(t, s.Message, "in JSON")
}
