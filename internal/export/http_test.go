package export

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
)

// serveHTTP is an OTLP/HTTP backend. answer gets every request that can be decoded; it takes the traces by calling accept.
func serveHTTP(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, traces map[pcommon.TraceID]int)) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(otlpHandler(t, answer))
	t.Cleanup(server.Close)
	return server
}

func otlpHandler(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, traces map[pcommon.TraceID]int)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		var err error
		switch r.Header.Get("Content-Encoding") {
		case "gzip":
			body, err = gzip.NewReader(r.Body)
		case "zstd":
			body, err = zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
		}
		if err != nil {
			t.Errorf("body: %v", err)
			return
		}
		data, err := io.ReadAll(body)
		if err != nil {
			return // the client hung up
		}
		req := ptraceotlp.NewExportRequest()
		if r.Header.Get("Content-Type") == "application/json" {
			err = req.UnmarshalJSON(data)
		} else {
			err = req.UnmarshalProto(data)
		}
		if err != nil {
			t.Errorf("%s: %v", r.Header.Get("Content-Type"), err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(w, r, tracesIn(req))
	})
}

func httpTo(url string, more map[string]any) map[string]any {
	settings := map[string]any{"endpoint": url, "compression": "none", "batch_timeout": "1ms", "retry_on_failure": fast()}
	for k, v := range more {
		settings[k] = v
	}
	return map[string]any{"otlphttp/test": settings}
}

func TestHTTPDelivers(t *testing.T) {
	for _, encoding := range []string{"proto", "json"} {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			t.Run(encoding+" "+compression, func(t *testing.T) {
				b := &backend{}
				server := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request, traces map[pcommon.TraceID]int) {
					if r.URL.Path != "/base/v1/traces" || r.Method != http.MethodPost || r.Header.Get("X-Key") != "secret" {
						t.Errorf("%s %s %v", r.Method, r.URL.Path, r.Header)
					}
					if got := r.Header.Get("Content-Encoding"); compression != "none" && got != compression {
						t.Errorf("content encoding %q", got)
					}
					b.take(traces)
				})
				l := newLedger()
				d := start(t, httpTo(server.URL+"/base/", map[string]any{"encoding": encoding, "compression": compression,
					"headers": map[string]any{"X-Key": "secret"}}), l, nil)
				d.Submit(items(t, 0, 200))
				l.waitAcks(t, 200)
				l.once(t, 200)
				require.Len(t, b.got(), 200)
				require.EqualValues(t, 600, statsOf(t, d, "otlphttp/test").Spans)
				server.CloseClientConnections()
			})
		}
	}
}

func TestHTTPPartialSuccess(t *testing.T) {
	for _, media := range []string{"application/x-protobuf", "application/json; charset=utf-8"} {
		t.Run(media, func(t *testing.T) {
			server := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request, _ map[pcommon.TraceID]int) {
				resp := ptraceotlp.NewExportResponse()
				resp.PartialSuccess().SetRejectedSpans(1)
				resp.PartialSuccess().SetErrorMessage("quota")
				w.Header().Set("Content-Type", media)
				data, err := resp.MarshalProto()
				if strings.Contains(media, "json") {
					data, err = resp.MarshalJSON()
				}
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(data)
			})
			l, log := newLedger(), &logBuffer{}
			d := start(t, httpTo(server.URL, nil), l, func(o *Options) { o.Logger = log.logger() })
			d.Submit(items(t, 0, 1))
			l.waitAcks(t, 1)
			require.NoError(t, d.Shutdown(context.Background()))
			require.EqualValues(t, 1, statsOf(t, d, "otlphttp/test").PartialSpans)
			require.Contains(t, log.String(), "quota")
			server.CloseClientConnections()
		})
	}
}

func TestHTTPRefusals(t *testing.T) {
	for code, size := range map[int]bool{400: false, 422: false, 413: true} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			b := &backend{}
			server := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request, traces map[pcommon.TraceID]int) {
				if has(traces, 5) || has(traces, 11) || size && len(traces) > 4 {
					data, err := proto.Marshal(&spb.Status{Code: 3, Message: "bad attribute"})
					if err != nil {
						t.Error(err)
					}
					w.Header().Set("Content-Type", "application/x-protobuf")
					w.WriteHeader(code)
					_, _ = w.Write(data)
					return
				}
				b.take(traces)
			})
			l := newLedger()
			d := start(t, httpTo(server.URL, map[string]any{"batch_timeout": "1s", "max_batch_traces": 32}), l, nil)
			d.Submit(items(t, 0, 32))
			l.waitAcks(t, 32)
			l.once(t, 32)
			require.Len(t, b.got(), 30)
			require.Len(t, l.rejections(), 2)
			require.Contains(t, l.rejections()[0].reason, "bad attribute")
			server.CloseClientConnections()
		})
	}
}

func TestHTTPRetriesUntilAccepted(t *testing.T) {
	answers := map[string]func(w http.ResponseWriter, r *http.Request){
		"unauthorized":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"not found":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"too many requests": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"bad gateway":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"server error":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"login redirect":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"web page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "<html>please log in</html>")
		},
		"hang up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			b := &backend{}
			var calls atomic.Int32
			mux := http.NewServeMux()
			mux.HandleFunc("/login", func(http.ResponseWriter, *http.Request) { t.Error("followed to the login page") })
			mux.Handle("/v1/traces", otlpHandler(t, func(w http.ResponseWriter, r *http.Request, traces map[pcommon.TraceID]int) {
				if calls.Add(1) <= 2 {
					answer(w, r)
					return
				}
				b.take(traces)
			}))
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)
			l := newLedger()
			d := start(t, httpTo(server.URL, nil), l, nil)
			d.Submit(items(t, 0, 1))
			l.waitAcks(t, 1)
			require.Len(t, b.got(), 1)
			require.EqualValues(t, 2, statsOf(t, d, "otlphttp/test").Retries)
			require.Empty(t, l.rejections())
			server.CloseClientConnections()
		})
	}
}

func TestHTTPFollowsARedirectThatKeepsThePost(t *testing.T) {
	b := &backend{}
	mux := http.NewServeMux()
	mux.Handle("/v1/traces", http.RedirectHandler("/new", http.StatusPermanentRedirect))
	mux.Handle("/new", otlpHandler(t, func(_ http.ResponseWriter, _ *http.Request, traces map[pcommon.TraceID]int) { b.take(traces) }))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	l := newLedger()
	d := start(t, httpTo(server.URL, map[string]any{"compression": "gzip"}), l, nil)
	d.Submit(items(t, 0, 3))
	l.waitAcks(t, 3)
	require.Len(t, b.got(), 3)
	server.CloseClientConnections()
}

func TestHTTPTimeout(t *testing.T) {
	b := &backend{}
	var calls atomic.Int32
	gone := make(chan struct{})
	server := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request, traces map[pcommon.TraceID]int) {
		if calls.Add(1) == 1 {
			<-r.Context().Done()
			close(gone)
			return
		}
		b.take(traces)
	})
	l := newLedger()
	d := start(t, httpTo(server.URL, map[string]any{"timeout": "100ms"}), l, nil)
	d.Submit(items(t, 0, 1))
	l.waitAcks(t, 1)
	<-gone
	require.EqualValues(t, 1, statsOf(t, d, "otlphttp/test").Errors["timeout"])
	server.CloseClientConnections()
}

func TestHTTPOverTLS(t *testing.T) {
	b := &backend{}
	server := httptest.NewTLSServer(otlpHandler(t, func(_ http.ResponseWriter, _ *http.Request, traces map[pcommon.TraceID]int) { b.take(traces) }))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	l := newLedger()
	d := start(t, httpTo(server.URL, map[string]any{"tls": map[string]any{"ca_file": ca}}), l, nil)
	d.Submit(items(t, 0, 3))
	l.waitAcks(t, 3)
	require.Len(t, b.got(), 3)
	server.CloseClientConnections()
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0,
		"Thu, 01 Jan 2026 12:00:30 GMT": 30 * time.Second,
		"Thu, 01 Jan 2026 11:00:00 GMT": 0,
	} {
		require.Equal(t, want, retryAfter(value, now), value)
	}
}

// A wrong port is the classic mistake; the message says which exporter or which port it should have been.
func TestWrongProtocol(t *testing.T) {
	address := serveGRPC(t, "127.0.0.1:0", &backend{})
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	for name, c := range map[string]struct {
		exporters map[string]any
		id        string
		want      string
	}{
		"HTTP to gRPC": {httpTo("http://"+address, nil), "otlphttp/test", "speaks gRPC and not HTTP/1: use an otlp_grpc exporter with endpoint: " + address},
		"gRPC to HTTP": {grpcTo(web.Listener.Addr().String(), nil), "otlp_grpc", "speaks HTTP/1 and not gRPC: use an otlp_http exporter"},
	} {
		t.Run(name, func(t *testing.T) {
			l, log := newLedger(), &logBuffer{}
			d := start(t, c.exporters, l, func(o *Options) { o.Logger = log.logger() })
			d.Submit(items(t, 0, 3))
			require.Eventually(t, func() bool { return statsOf(t, d, c.id).Errors["misdirected"] > 3 }, 10*time.Second, 5*time.Millisecond)
			require.NoError(t, d.Shutdown(context.Background()))
			require.Contains(t, log.String(), c.want)
			require.NotContains(t, log.String(), "%!w")
			require.Len(t, d.NotReady(), 1)
			require.Empty(t, l.rejections())
		})
	}
}

func TestNetworkErrorsAreReadable(t *testing.T) {
	out := classifyNetwork(fmt.Errorf("Post %q: net/http: HTTP/1.x transport connection broken: %w", "http://b", error(nil)))
	require.Equal(t, `Post "http://b": net/http: HTTP/1.x transport connection broken`, out.err.Error())
}
