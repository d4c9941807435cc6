package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/zap"
)

const (
	mediaProto = "application/x-protobuf"
	mediaJSON  = "application/json"

	// longestAnswer is how much of a response is read. OTLP answers are a few hundred bytes.
	longestAnswer = 64 << 10
)

// httpSender posts the stored bytes as they are, or as OTLP JSON.
type httpSender struct {
	client *http.Client
	url    string
	json   bool

	mu    sync.Mutex
	asked time.Time // what the server speaks
	grpc  bool
}

func openHTTP(ctx context.Context, cfg *HTTPConfig, opts Options) (*httpSender, error) {
	if cfg.Client.Auth.HasValue() && opts.Extensions == nil {
		return nil, errors.New("auth names an authenticator extension and there are none; put credentials into headers or tls")
	}
	settings := cfg.Client
	if keep := settings.Keepalive.Get(); keep != nil && keep.MaxIdleConnsPerHost == 0 {
		keep.MaxIdleConnsPerHost = cfg.Batching.MaxInFlight // net/http keeps two, and would connect anew all the time
	}
	client, err := settings.ToClient(ctx, opts.Extensions, component.TelemetrySettings{Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = followOnlyPosts
	target := cfg.TracesEndpoint
	if target == "" {
		target = strings.TrimRight(cfg.Client.Endpoint, "/") + tracesPath
	}
	return &httpSender{client: client, url: target, json: cfg.Encoding == "json"}, nil
}

// speaksGRPC finds out whether a connection broke because the server speaks HTTP/2 from the first byte. What net/http says of
// that depends on who was faster, and helps nobody. HTTP/2 servers introduce themselves without being asked, so it takes a
// connection and a look, once in a while. Over TLS the protocol is negotiated and this cannot happen.
func (s *httpSender) speaksGRPC(ctx context.Context, target *url.URL, cause error, now time.Time) bool {
	op, ok := errors.AsType[*net.OpError](cause)
	if target.Scheme != "http" || ok && op.Op == "dial" || ctx.Err() != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked.IsZero() && now.Sub(s.asked) < noticeInterval {
		return s.grpc
	}
	s.asked, s.grpc = now, false
	port := target.Port()
	if port == "" {
		port = "80"
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(target.Hostname(), port))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // nothing was written
	if conn.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	frame := make([]byte, 9)
	_, err = io.ReadFull(conn, frame)
	const settings = 4
	s.grpc = err == nil && frame[3] == settings && bytes.Equal(frame[5:], []byte{0, 0, 0, 0})
	return s.grpc
}

// followOnlyPosts follows redirects that repeat the POST (307, 308) on the same host. After the others net/http would GET
// a page, whose 200 would pass for an acceptance; and headers with credentials must not go to other hosts.
func followOnlyPosts(req *http.Request, via []*http.Request) error {
	if req.Method != http.MethodPost || req.URL.Host != via[0].URL.Host || len(via) > 3 {
		return http.ErrUseLastResponse
	}
	return nil
}

func (s *httpSender) send(ctx context.Context, b *batch) outcome {
	media, pieces := mediaProto, b.payloads()
	if s.json {
		encoded, err := toJSON(pieces)
		if err != nil {
			return outcome{verdict: refused, kind: kindInvalid, err: err, certain: true}
		}
		media, pieces = mediaJSON, [][]byte{encoded}
	}
	body := func() (io.ReadCloser, error) {
		buffers := net.Buffers(append([][]byte(nil), pieces...)) // reading consumes them
		return io.NopCloser(&buffers), nil
	}
	first, err := body()
	if err != nil {
		return classifyNetwork(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, first)
	if err != nil {
		return outcome{verdict: again, kind: kindMisdirected, err: err}
	}
	req.GetBody = body
	for _, p := range pieces {
		req.ContentLength += int64(len(p))
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("User-Agent", userAgent)
	resp, err := s.client.Do(req)
	if err != nil {
		out := classifyNetwork(err)
		if s.speaksGRPC(ctx, req.URL, err, time.Now()) {
			out.kind = kindMisdirected
			out.err = fmt.Errorf("%s speaks gRPC and not HTTP/1: use an otlp_grpc exporter with endpoint: %s, or the backend's port for OTLP over HTTP, "+
				"which is 4318 most often", req.URL.Host, req.URL.Host)
		}
		return out
	}
	defer func() { _ = resp.Body.Close() }() // it is read as far as it matters
	return readAnswer(resp, time.Now())
}

func readAnswer(resp *http.Response, now time.Time) outcome {
	text, readErr := io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		message := ""
		switch media {
		case mediaProto:
			message = statusMessage(text)
		case "text/html": // a proxy's error page says nothing in a log
		default:
			message = string(text)
		}
		return classifyHTTP(resp.StatusCode, resp.Header, message, now)
	}
	if media == "text/html" {
		// Login pages and web user interfaces answer 200 to anything.
		return outcome{verdict: again, kind: kindMisdirected, err: fmt.Errorf("%s answered with a web page", resp.Request.URL.Redacted())}
	}
	var answer exportAnswer
	if readErr == nil {
		answer = parseHTTPAnswer(media, text)
	}
	return answer.outcome()
}

// parseHTTPAnswer reads what it can. The status was a success, so the traces have arrived: an answer that cannot be read
// must not send them again.
func parseHTTPAnswer(media string, text []byte) (answer exportAnswer) {
	switch media {
	case mediaProto:
		if err := answer.parse(text); err != nil {
			answer.message = err.Error()
		}
	case mediaJSON:
		resp := ptraceotlp.NewExportResponse()
		if len(text) == 0 {
			return answer
		}
		if err := resp.UnmarshalJSON(text); err != nil {
			answer.message = fmt.Errorf("%w: %w", errAnswer, err).Error()
			return answer
		}
		answer.rejectedSpans = resp.PartialSuccess().RejectedSpans()
		answer.message = resp.PartialSuccess().ErrorMessage()
	}
	return answer
}

func toJSON(pieces [][]byte) ([]byte, error) {
	var whole []byte
	for _, p := range pieces {
		whole = append(whole, p...)
	}
	req := ptraceotlp.NewExportRequest()
	if err := req.UnmarshalProto(whole); err != nil {
		return nil, fmt.Errorf("cannot be written as JSON: %w", err)
	}
	return req.MarshalJSON()
}

func (s *httpSender) close() error {
	s.client.CloseIdleConnections()
	return nil
}
