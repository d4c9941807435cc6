package export

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Errors are classified here and nowhere else. The question is always the same: is it the traces, or anything else?
//
//   - The traces: they would be refused tomorrow as well, and would hold up everything behind them. The guilty one is
//     found and given to the rejected topic, if the backend is known to accept others (hold.go).
//   - Anything else, wrong credentials and wrong addresses included: somebody will repair it, and until then the traces
//     are safe in the log. Giving up would be losing them. So: again, for ever, saying so; or until it is plain that
//     one trace is the cause although the answer does not say so (blame.go).
//
// In doubt, again: a wrong "again" costs lag that an operator sees, a wrong "refused" costs data that nobody misses until
// it is needed. The Collector decides the other way round, because it has no log to fall back on.

// classifyGRPC judges the error of an Export call.
func classifyGRPC(err error) outcome {
	if err == nil {
		return outcome{}
	}
	st := status.Convert(err)
	out := outcome{verdict: again, err: errors.New(st.Code().String() + ": " + brief(st.Message()))}
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			out.after = info.GetRetryDelay().AsDuration()
		}
	}
	switch st.Code() {
	case codes.InvalidArgument:
		// What the OTLP specification has servers answer to data that they cannot process.
		out.verdict, out.kind = refused, kindInvalid
	case codes.ResourceExhausted:
		// Two meanings in one code. gRPC libraries use it when a message is above the receiver's limit: waiting does not
		// help, smaller requests do. Backends use it for quotas.
		if sizeComplaint(st.Message()) {
			out.verdict, out.kind = tooLarge, kindTooLarge
		} else {
			out.kind = kindThrottled
		}
	case codes.Unauthenticated:
		out.kind = kindUnauthenticated
	case codes.PermissionDenied:
		out.kind = kindForbidden
	case codes.NotFound:
		out.kind = kindNotFound // an unknown tenant or project
	case codes.Unimplemented:
		out.kind = kindUnimplemented
		if strings.Contains(st.Message(), "Decompressor is not installed") {
			out.err = errors.New(out.err.Error() + " (the backend does not know this compression; try compression: gzip or none)")
		}
	case codes.Internal, codes.Unknown, codes.DataLoss:
		// The specification says not to retry these. But they say that the backend failed, not that the data is bad, and
		// a proxy that loses its upstream answers Unknown or Internal. See blame.go for what ends it.
		out.kind = kindInternal
	case codes.DeadlineExceeded, codes.Canceled:
		out.kind = kindTimeout
	case codes.Unavailable:
		out.kind = kindUnreachable
		if out.after > 0 {
			out.kind = kindThrottled
		}
		if strings.Contains(st.Message(), "looked like an HTTP/1.1 header") {
			out.kind = kindMisdirected
			out.err = errors.New(out.err.Error() + " (the port speaks HTTP/1 and not gRPC: use an otlp_http exporter, or the backend's port for OTLP over gRPC, " +
				"which is 4317 most often)")
		}
	default:
		out.kind = kindOther
	}
	return out
}

// sizeComplaint recognises what the gRPC libraries of Go, Java, C++ and Rust say of a message above the limit.
func sizeComplaint(message string) bool {
	m := strings.ToLower(message)
	for _, phrase := range []string{"larger than max", "exceeds maximum size", "message too large", "message length too large",
		"message exceeds", "request entity too large", "request too large"} {
		if strings.Contains(m, phrase) {
			return true
		}
	}
	return false
}

// classifyHTTP judges a response that is not a success. The message is the backend's.
func classifyHTTP(code int, header http.Header, message string, now time.Time) outcome {
	text := "HTTP " + strconv.Itoa(code) + " " + http.StatusText(code)
	if message != "" {
		text += ": " + brief(message)
	}
	out := outcome{verdict: again, err: errors.New(text), after: retryAfter(header.Get("Retry-After"), now)}
	switch code {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		out.verdict, out.kind = refused, kindInvalid
	case http.StatusRequestEntityTooLarge:
		out.verdict, out.kind = tooLarge, kindTooLarge
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		out.kind = kindUnauthenticated
	case http.StatusForbidden, http.StatusPaymentRequired:
		out.kind = kindForbidden
	case http.StatusNotFound, http.StatusGone:
		out.kind = kindNotFound
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusNotImplemented,
		http.StatusMisdirectedRequest, http.StatusUpgradeRequired:
		// The media type and the compression are ours to configure; the traces have no part in it.
		out.kind = kindMisdirected
	case http.StatusTooManyRequests:
		out.kind = kindThrottled
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		out.kind = kindTimeout
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		out.kind = kindUnreachable
		if out.after > 0 {
			out.kind = kindThrottled
		}
	case http.StatusInternalServerError:
		out.kind = kindInternal
	default:
		switch {
		case code >= 300 && code < 400:
			out.kind = kindMisdirected // a login page, most often: following it with a GET would look like a success
		case code >= 500:
			out.kind = kindInternal
		default:
			out.kind = kindOther
		}
	}
	return out
}

// retryAfter reads seconds or an HTTP date.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// classifyNetwork judges an HTTP request that got no response.
func classifyNetwork(err error) outcome {
	text := strings.ReplaceAll(err.Error(), ": %!w(<nil>)", "") // net/http wraps an error that is not there
	out := outcome{verdict: again, kind: kindUnreachable, err: errors.New(brief(text))}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		out.kind = kindTimeout
	}
	return out
}

// classifyKafka judges the error of one record.
func classifyKafka(err error) outcome {
	out := outcome{verdict: again, kind: kindOther, err: errors.New(brief(err.Error()))}
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		out.verdict, out.kind = tooLarge, kindTooLarge
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.CorruptMessage):
		// A broker-side validation (a schema, a compacted topic) refuses this very record.
		out.verdict, out.kind = refused, kindInvalid
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism):
		out.kind = kindUnauthenticated
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		out.kind = kindForbidden
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InvalidTopicException):
		out.kind = kindNotFound
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, context.DeadlineExceeded):
		out.kind = kindTimeout
	case errors.Is(err, kgo.ErrRecordRetries):
		out.kind = kindUnreachable
	}
	return out
}

// classifyFile judges a failed write.
func classifyFile(err error) outcome {
	out := outcome{verdict: again, kind: kindIO, err: err}
	if errors.Is(err, os.ErrPermission) {
		out.kind = kindForbidden
	}
	return out
}

// brief bounds what a backend may put into our log.
func brief(text string) string {
	const most = 500
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
