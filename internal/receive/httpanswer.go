package receive

import (
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// writeOutcome answers an export request in the encoding it came in: an ExportTraceServiceResponse, or the
// google.rpc.Status that the OTLP specification asks for.
func writeOutcome(w http.ResponseWriter, enc encoding, o *outcome) {
	if o.verdict != accepted {
		writeStatus(w, enc, o.verdict.httpStatus(), o)
		return
	}
	var body []byte
	if enc == encodingJSON {
		body = []byte("{}")
	}
	if o.partial() {
		var err error
		resp := o.partialSuccess()
		if enc == encodingJSON {
			body, err = resp.MarshalJSON()
		} else {
			body, err = resp.MarshalProto()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	write(w, enc, http.StatusOK, body)
}

// writeStatus answers a request that failed.
func writeStatus(w http.ResponseWriter, enc encoding, httpStatus int, o *outcome) {
	if o.verdict.retryable() {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryDelay/time.Second)))
	}
	var (
		body []byte
		err  error
	)
	switch enc {
	case encodingProto:
		body, err = proto.Marshal(o.status().Proto())
	case encodingJSON:
		body, err = protojson.Marshal(o.status().Proto())
	default:
		http.Error(w, o.message, httpStatus)
		return
	}
	if err != nil {
		http.Error(w, o.message, httpStatus)
		return
	}
	write(w, enc, httpStatus, body)
}

func write(w http.ResponseWriter, enc encoding, httpStatus int, body []byte) {
	contentType := typeProto
	if enc == encodingJSON {
		contentType = typeJSON
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(httpStatus)
	// A client that does not read its answer will send again; there is nothing to do about it here.
	_, _ = w.Write(body)
}
