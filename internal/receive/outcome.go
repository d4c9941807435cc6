package receive

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// retryDelay is what refused clients are asked to wait. Well-behaved ones back off further by themselves; the
// shortest of the SDKs' export timeouts is ten seconds, so a long delay would cost them their spans.
const retryDelay = time.Second

// verdict is the kind of answer a request gets.
type verdict uint8

const (
	accepted    verdict = iota
	malformed           // the client's fault, for good
	tooLarge            // likewise
	rejected            // likewise
	unsupported         // likewise
	overloaded          // retryable
	unpublished         // retryable
	abandoned           // nobody is waiting for the answer
	verdictCount
)

// outcome is the answer to a request in the terms of neither protocol.
type outcome struct {
	verdict verdict
	message string  // for people; empty for success
	lost    rejects // spans that partial success names
	note    string  // of success: what a person should look at though nothing was rejected
}

// partial reports whether a success has something to say.
func (o *outcome) partial() bool { return o.lost.total() > 0 || o.note != "" }

func (o *outcome) partialSuccess() ptraceotlp.ExportResponse {
	resp := ptraceotlp.NewExportResponse()
	resp.PartialSuccess().SetRejectedSpans(int64(o.lost.total()))
	message := o.note
	if o.lost.total() > 0 {
		message = o.lost.message()
	}
	resp.PartialSuccess().SetErrorMessage(strings.ToValidUTF8(message, "?"))
	return resp
}

func (v verdict) retryable() bool { return v == overloaded || v == unpublished || v == abandoned }

// code is the gRPC status of the verdict, after the OTLP specification: UNAVAILABLE with RetryInfo is what every client
// retries, RESOURCE_EXHAUSTED without one is what none does.
func (v verdict) code() codes.Code {
	switch v {
	case accepted:
		return codes.OK
	case tooLarge:
		return codes.ResourceExhausted
	case unsupported:
		return codes.Unimplemented
	case overloaded, unpublished:
		return codes.Unavailable
	case abandoned:
		return codes.Canceled
	default:
		return codes.InvalidArgument
	}
}

// httpStatus is the HTTP status of the verdict. Answers about paths, methods and media types have their own.
func (v verdict) httpStatus() int {
	switch v {
	case accepted:
		return http.StatusOK
	case tooLarge:
		return http.StatusRequestEntityTooLarge
	case unsupported:
		return http.StatusNotFound
	case overloaded, unpublished, abandoned:
		return http.StatusServiceUnavailable
	default:
		return http.StatusBadRequest
	}
}

// status is the google.rpc.Status that both protocols carry.
func (o *outcome) status() *status.Status {
	// Errors of decoders quote the input, and protobuf strings are UTF-8.
	s := status.New(o.verdict.code(), strings.ToValidUTF8(o.message, "?"))
	if !o.verdict.retryable() {
		return s
	}
	// Fails only for OK.
	detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)})
	if err != nil {
		return s
	}
	return detailed
}

// rejects counts the spans of a request that were not stored, by reason.
type rejects struct {
	damaged, noTraceID, noSpanID, oversized int
	first                                   error // why the first of them was
}

func (r rejects) total() int { return r.damaged + r.noTraceID + r.noSpanID + r.oversized }

// message is that of a partial success.
func (r rejects) message() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{r.damaged, "that cannot be decoded"},
		{r.noTraceID, "without a trace ID (absent or all zero)"},
		{r.noSpanID, "without a span ID (absent or all zero)"},
		{r.oversized, "larger than a record of the log may be"},
	} {
		switch {
		case p.n == 1:
			parts = append(parts, "1 span "+p.what)
		case p.n > 1:
			parts = append(parts, fmt.Sprintf("%d spans %s", p.n, p.what))
		}
	}
	text := "rejected " + strings.Join(parts, ", ")
	if r.damaged+r.oversized > 0 && r.first != nil {
		text += "; the first: " + r.first.Error()
	}
	return text
}
