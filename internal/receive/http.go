package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// traceEndpoint serves OTLP over HTTP. It comes after confighttp's own handlers: CORS, body limit, decompression.
type traceEndpoint struct {
	r       *Receiver
	config  *HTTPConfig
	maxBody int64
}

// ServeHTTP answers everything, also what is not for this server: an agent's log is where people look first.
func (e *traceEndpoint) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	enc := requestEncoding(req)
	switch URLPath(req.URL.Path) {
	case e.config.TracesURLPath:
		e.traces(w, req, enc)
	case e.config.MetricsURLPath:
		e.refuse(w, enc, http.StatusNotFound, tracesOnly("metrics", "OTEL_METRICS_EXPORTER=none"))
	case e.config.LogsURLPath:
		e.refuse(w, enc, http.StatusNotFound, tracesOnly("logs", "OTEL_LOGS_EXPORTER=none"))
	default:
		e.refuse(w, enc, http.StatusNotFound, "nothing is served here; post traces to "+string(e.config.TracesURLPath))
	}
}

// refuse answers a request for something that this server does not do.
func (e *traceEndpoint) refuse(w http.ResponseWriter, enc encoding, httpStatus int, message string) {
	o := outcome{verdict: unsupported, message: message}
	e.r.httpCounts.count(&o)
	writeStatus(w, enc, httpStatus, &o)
}

func (e *traceEndpoint) traces(w http.ResponseWriter, req *http.Request, enc encoding) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		e.refuse(w, enc, http.StatusMethodNotAllowed, "traces are sent with POST")
		return
	}
	if enc == encodingUnknown {
		e.refuse(w, enc, http.StatusUnsupportedMediaType,
			fmt.Sprintf("Content-Type must be %s or %s, not %q", typeProto, typeJSON, req.Header.Get("Content-Type")))
		return
	}
	o := e.serve(req, enc)
	e.r.httpCounts.count(&o)
	writeOutcome(w, enc, &o)
}

func (e *traceEndpoint) serve(req *http.Request, enc encoding) outcome {
	r := e.r
	if !r.gate.enter() {
		return outcome{verdict: overloaded, message: shuttingDown}
	}
	defer r.gate.leave()
	if r.budget.full() {
		return outcome{verdict: overloaded, message: busy}
	}
	if e.maxBody > 0 && req.ContentLength > e.maxBody {
		return e.tooLarge()
	}
	q := r.requests.get()
	defer r.requests.put(q)
	if o, ok := e.read(q, req); !ok {
		return o
	}
	if enc == encodingJSON {
		if err := transcode(q); err != nil {
			return outcome{verdict: malformed, message: "not an OTLP trace request in JSON: " + err.Error()}
		}
	}
	return r.take(req.Context(), q, &r.httpCounts)
}

// read fills the body of q, as much at a time as has arrived and as there is room for: a length that a client
// merely claims costs nothing.
func (e *traceEndpoint) read(q *request, req *http.Request) (outcome, bool) {
	q.body = q.body[:0]
	if n := req.ContentLength; n > 0 {
		q.body = slices.Grow(q.body, int(min(n, 64<<10))+1)
	}
	for {
		if len(q.body) == cap(q.body) {
			q.body = slices.Grow(q.body, max(len(q.body), 16<<10))
		}
		n, err := req.Body.Read(q.body[len(q.body):cap(q.body)])
		if n > 0 && !e.r.requests.reserve(q, n) {
			return outcome{verdict: overloaded, message: busy}, false
		}
		q.body = q.body[:len(q.body)+n]
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return outcome{}, true
		}
		if err != nil {
			return e.unread(req.Context(), err), false
		}
	}
}

// unread says why a body could not be read to its end.
func (e *traceEndpoint) unread(ctx context.Context, err error) outcome {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return e.tooLarge()
	}
	if ctx.Err() != nil {
		return outcome{verdict: abandoned, message: "the client went away before the request was complete"}
	}
	return outcome{verdict: malformed, message: "the body cannot be read: " + err.Error()}
}

func (e *traceEndpoint) tooLarge() outcome {
	return outcome{verdict: tooLarge, message: "the uncompressed body is larger than " + ByteSize(e.maxBody).String() +
		"; send smaller batches, or raise " + e.r.setting("protocols.http.max_request_body_size")}
}

// undecodable answers what confighttp's decompression refuses, before traceEndpoint sees the request. confighttp has
// only one status for all of it.
func (e *traceEndpoint) undecodable(w http.ResponseWriter, req *http.Request, message string, httpStatus int) {
	enc := requestEncoding(req)
	o := outcome{verdict: malformed, message: "the body cannot be read: " + message}
	switch {
	case httpStatus != http.StatusBadRequest:
		e.refuse(w, enc, httpStatus, message)
		return
	case strings.HasPrefix(message, "unsupported Content-Encoding"):
		e.refuse(w, enc, http.StatusUnsupportedMediaType, message)
		return
	case strings.Contains(message, "body too large"), strings.Contains(message, "exceeds max request body size"):
		o = e.tooLarge()
	}
	e.r.httpCounts.count(&o)
	writeOutcome(w, enc, &o)
}

// transcode replaces the JSON body of q by protobuf.
func transcode(q *request) error {
	if tooDeep(q.body, maxJSONDepth) {
		return fmt.Errorf("arrays and objects are nested deeper than %d levels", maxJSONDepth)
	}
	decoded := ptraceotlp.NewExportRequest()
	if err := decoded.UnmarshalJSON(q.body); err != nil {
		return err
	}
	b, err := decoded.MarshalProto()
	if err != nil {
		return err
	}
	q.body = b
	return nil
}

// encoding is how a request, and so its answer, is written.
type encoding uint8

const (
	encodingUnknown encoding = iota // answered in plain text
	encodingProto
	encodingJSON
)

const (
	typeProto = "application/x-protobuf"
	typeJSON  = "application/json"
)

func requestEncoding(req *http.Request) encoding {
	contentType := req.Header.Get("Content-Type")
	if contentType == typeProto {
		return encodingProto
	}
	// Parameters such as charset do not matter.
	mediaType, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return encodingUnknown
	case mediaType == typeProto:
		return encodingProto
	case mediaType == typeJSON:
		return encodingJSON
	}
	return encodingUnknown
}
