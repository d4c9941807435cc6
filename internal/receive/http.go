package receive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"thresher/internal/otlpjson"
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
		e.refuseSignal(w, req, enc, otherSignals[0])
	case e.config.LogsURLPath:
		e.refuseSignal(w, req, enc, otherSignals[1])
	default:
		e.refuse(w, enc, http.StatusNotFound, "nothing is served here; post traces to "+string(e.config.TracesURLPath))
	}
}

func (e *traceEndpoint) refuseSignal(w http.ResponseWriter, req *http.Request, enc encoding, s otherSignal) {
	e.r.logOtherSignal(s.name, req.RemoteAddr)
	e.refuse(w, enc, http.StatusNotFound, s.refusal())
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
	o := e.serve(w, req, enc)
	e.r.httpCounts.count(&o)
	writeOutcome(w, enc, &o)
}

func (e *traceEndpoint) serve(w http.ResponseWriter, req *http.Request, enc encoding) outcome {
	r := e.r
	if !r.gate.enter() {
		return outcome{verdict: overloaded, message: shuttingDown}
	}
	defer r.gate.leave()
	if e.maxBody > 0 && req.ContentLength > e.maxBody {
		return e.tooLarge()
	}
	q, err := r.requests.get()
	if err != nil {
		return noRoom(err)
	}
	defer r.requests.put(q)
	if o, ok := e.read(q, w, req); !ok {
		return o
	}
	done, err := r.work(req.Context())
	if err != nil {
		return e.unread(req.Context(), err)
	}
	// The last word is that of the publisher, without the processor.
	if err := r.decode(q, req.Header.Get("Content-Encoding"), enc, e.maxBody); err != nil {
		done()
		if _, ok := errors.AsType[unreadableError](err); !ok && enc == encodingJSON && !errors.Is(err, errTooLong) && !isNoRoom(err) {
			return outcome{verdict: malformed, message: "not an OTLP trace request in JSON: " + err.Error()}
		}
		return e.unread(req.Context(), err)
	}
	o, ok := r.split(q)
	done()
	if !ok {
		return o
	}
	return r.publish(req.Context(), q, &r.httpCounts)
}

// read fills the body of q, as much at a time as has arrived and as there is room for: a length that a client
// merely claims costs nothing.
func (e *traceEndpoint) read(q *request, w http.ResponseWriter, req *http.Request) (outcome, bool) {
	a := &arrival{account: &e.r.account, stop: func() {
		// It ends the Read below. All connections of net/http have deadlines; one that had none would be read on.
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}}
	e.r.account.memory.begin(a)
	var err error
	q.body, err = q.readAll(q.body[:0], &arriving{req.Body, q, &a.held})
	if stopped := e.r.account.memory.end(a); stopped && err != nil {
		return outcome{verdict: overloaded, message: tooSlow}, false
	}
	if err != nil {
		return e.unread(req.Context(), err), false
	}
	return outcome{}, true
}

// arriving notes what is held of a body.
type arriving struct {
	io.Reader
	q    *request
	held *atomic.Int64
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	a.held.Store(a.q.held)
	return a.Reader.Read(p)
}

// unread says why a body could not be read to its end.
func (e *traceEndpoint) unread(ctx context.Context, err error) outcome {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || errors.Is(err, errTooLong) {
		return e.tooLarge()
	}
	if isNoRoom(err) {
		return noRoom(err)
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

// undecodable answers what confighttp refuses before traceEndpoint sees the request: encodings. It has only one status for that.
func (e *traceEndpoint) undecodable(w http.ResponseWriter, req *http.Request, message string, httpStatus int) {
	enc := requestEncoding(req)
	if httpStatus == http.StatusBadRequest {
		httpStatus = http.StatusUnsupportedMediaType
	}
	e.refuse(w, enc, httpStatus, message)
}

// transcode replaces the body of q, which is this in JSON, by protobuf.
func (r *Receiver) transcode(q *request, from io.Reader) error {
	result, err := otlpjson.Append(q.decoded[:0], from, q)
	q.decoded = result.Bytes
	if err != nil {
		return err
	}
	q.replaceBody(r.requests.keep)
	if result.Spans == 0 && len(result.Unknown) > 0 {
		q.note = fmt.Sprintf("the request has no spans, and nothing of it was stored; unknown: %s. A trace request in JSON is "+
			`{"resourceSpans":[{"resource":{"attributes":[...]},"scopeSpans":[{"scope":{...},"spans":[{"traceId":"...","spanId":"...",...}]}]}]}`,
			strings.Join(result.Unknown, ", "))
		r.rejects.log(func(suppressed int64) {
			r.log.Warn("An OTLP request in JSON had no spans but fields that are not known; the client has been told", "unknown", result.Unknown,
				"requests_like_it_since_last_log", suppressed)
		})
	}
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
