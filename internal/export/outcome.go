package export

import (
	"time"
)

// outcome is the answer to one request, in the words of the delivery rather than of a protocol.
type outcome struct {
	verdict verdict
	kind    errorKind     // what went wrong; none if accepted
	err     error         // for people: the backend's own words
	after   time.Duration // how long the backend asked to wait, 0 if it did not say

	// done marks the traces that were accepted although the request as a whole was not (Kafka answers for each record).
	done []bool

	// certain says that the data itself was looked at, here: no backend's word is needed for it.
	certain bool

	partialSpans   int64 // spans refused within an accepted request
	partialMessage string
}

// verdict is what to do with the traces of a request.
type verdict uint8

const (
	accepted verdict = iota
	again            // not their fault: try again, for ever
	refused          // a trace among them is not acceptable, now and later
	tooLarge         // the request is too large; fewer traces may do
	held             // refused by a backend of which nobody knows whether it takes anything: see hold.go
)

// errorKind groups errors for counters and advice.
type errorKind uint8

const (
	kindNone errorKind = iota
	kindUnreachable
	kindTimeout
	kindThrottled
	kindUnauthenticated
	kindForbidden
	kindNotFound
	kindUnimplemented
	kindMisdirected
	kindInternal
	kindInvalid
	kindTooLarge
	kindPartial
	kindIO
	kindOther
	numKinds
)

var kindLabels = [numKinds]string{
	kindNone:            "none",
	kindUnreachable:     "unreachable",
	kindTimeout:         "timeout",
	kindThrottled:       "throttled",
	kindUnauthenticated: "unauthenticated",
	kindForbidden:       "forbidden",
	kindNotFound:        "not_found",
	kindUnimplemented:   "unimplemented",
	kindMisdirected:     "misdirected",
	kindInternal:        "internal",
	kindInvalid:         "invalid",
	kindTooLarge:        "too_large",
	kindPartial:         "partial",
	kindIO:              "io",
	kindOther:           "other",
}

func (k errorKind) String() string { return kindLabels[k] }

// ErrorKinds lists the labels that ExporterStats.Errors can have.
func ErrorKinds() []string { return append([]string(nil), kindLabels[1:]...) }

// configuration reports whether the failure looks like a mistake in somebody's configuration: it will not go away by
// waiting, but it says nothing about the traces either.
func (k errorKind) configuration() bool {
	switch k {
	case kindUnauthenticated, kindForbidden, kindNotFound, kindUnimplemented, kindMisdirected:
		return true
	}
	return false
}

// permanent reports whether a person who knows the backend may take the answer for its last word on the traces.
func (k errorKind) permanent() bool {
	return k == kindInvalid || k == kindTooLarge || k == kindPartial || k.configuration()
}

// advice tells the operator what to look at.
func (k errorKind) advice() string {
	switch k {
	case kindUnreachable:
		return "is the backend running, and the endpoint and TLS setting right?"
	case kindTimeout:
		return "the backend is slow or hangs; timeout sets how long a request may take"
	case kindThrottled:
		return "the backend asks to slow down"
	case kindUnauthenticated:
		return "check the credentials: headers, auth, tls, sasl"
	case kindForbidden:
		return "check the tenant and what the credentials may do: they are known but may not write traces"
	case kindNotFound:
		return "check the path, topic or tenant: the backend does not know it"
	case kindUnimplemented:
		return "check the endpoint and the port: something else than an OTLP trace service listens there"
	case kindMisdirected:
		return "check the URL: the endpoint answers, but not as an OTLP trace service"
	case kindInternal:
		return "the backend has trouble of its own; look at its log"
	case kindInvalid, kindPartial:
		return "check the endpoint, headers, tenant and encoding that the backend expects"
	case kindTooLarge:
		return "check the size limits of the backend and of the proxies before it"
	case kindIO:
		return "check the disk and the permissions"
	}
	return ""
}
