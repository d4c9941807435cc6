package shop

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// A template is a rendered Span message without what differs from span to span: the IDs in front and the links
// are appended, the holes are overwritten in a copy.
type template struct {
	body []byte // name to events
	tail []byte // status and flags

	// Offsets of holes in body; event is -1 where there is no event.
	start, end, user, request, event int
}

// size of the Span message apart from IDs, trace state and links.
func (t *template) size() int { return len(t.body) + len(t.tail) }

const (
	userHole    = "00000000"         // digits
	requestHole = "fedcba9876543210" // hexadecimal
	timeHole    = 0x5EED5EED5EED5EED

	idsSize    = 18 + 10 + 10 // trace, span and parent ID fields
	rootSize   = 18 + 10
	variants   = 16 // who asks: see variant
	vipVariant = variants - 1
)

// A variant is the user behind a trace as far as attributes tell.
type variant struct {
	tenant, tier string
	items        int64
	total        float64
	returning    bool
}

func variantOf(v int) variant {
	tier := "free"
	switch {
	case v == vipVariant:
		tier = "vip"
	case v >= 13:
		tier = "gold"
	case v >= 9:
		tier = "silver"
	}
	return variant{
		tenant:    []string{"acme", "globex", "initech", "umbrella", "hooli"}[v%5],
		tier:      tier,
		items:     int64(1 + v*5%13),
		total:     9.5 + 17.25*float64(v),
		returning: v%3 != 0,
	}
}

// variantShare maps 64 equally likely numbers to variants: one in 64 users is a vip, six are gold, 16 silver.
func variantShare(r uint64) uint8 {
	switch n := uint8(r & 63); {
	case n == 0:
		return vipVariant
	case n < 7:
		return 13 + n%2
	case n < 23:
		return 9 + n%4
	default:
		return n % 9
	}
}

// fields of OTLP messages
const (
	spanTraceID    = 1
	spanID         = 2
	spanTraceState = 3
	spanParentID   = 4
	spanName       = 5
	spanKind       = 6
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
	spanEvents     = 11
	spanLinks      = 13
	spanStatus     = 15
	spanFlags      = 16
)

const (
	kindInternal = 1 + iota
	kindServer
	kindClient
	kindProducer
	kindConsumer
)

func (o *op) spanKind() uint64 {
	switch o.kind {
	case httpServer, rpcServer, probe:
		return kindServer
	case httpClient, rpcClient, database, cache:
		return kindClient
	case producer:
		return kindProducer
	case consumer:
		return kindConsumer
	default:
		return kindInternal
	}
}

func newTemplate(o *op, services []service, v int, failed bool, spanBytes int) template {
	var b []byte
	b = appendText(b, spanName, o.name)
	b = appendVarint(b, spanKind, o.spanKind())
	b = appendFixed64(b, spanStart, timeHole)
	b = appendFixed64(b, spanEnd, timeHole)
	b = appendAttributes(b, o, services, variantOf(v), failed)

	flags := uint32(0x101) // sampled; it is known whether the parent is remote
	if o.kind == httpServer || o.kind == rpcServer || o.kind == consumer {
		flags |= 0x200
	}
	var tail []byte
	switch {
	case failed:
		status := appendText(nil, 2, failureOf(o).message)
		status = appendVarint(status, 3, 2)
		tail = appendBytes(tail, spanStatus, status)
	case o.kind == internal || o.kind == consumer:
		tail = appendBytes(tail, spanStatus, appendVarint(nil, 3, 1)) // own code that says OK
	default:
		tail = appendBytes(tail, spanStatus, nil) // the SDKs write an empty status
	}
	tail = protowire.AppendTag(tail, spanFlags, protowire.Fixed32Type)
	tail = protowire.AppendFixed32(tail, flags)

	// Operations differ in size. The middle of the range is below 1, as some cannot be as small as they should.
	want := spanBytes * (75 + (len(o.name)*13+len(o.detail)*7)%41) / 100
	b = appendPadding(b, want-len(b)-len(tail)-idsSize)
	if failed {
		b = appendException(b, o)
	}

	t := template{body: b, tail: tail, event: -1}
	times := holes(b, string(protowire.AppendFixed64(nil, timeHole)))
	t.start, t.end = times[0], times[1]
	if failed {
		t.event = times[2]
	}
	t.user = holes(b, userHole)[0]
	t.request = holes(b, requestHole)[0]
	return t
}

func holes(b []byte, pattern string) []int {
	var at []int
	for s, from := string(b), 0; ; {
		i := strings.Index(s[from:], pattern)
		if i < 0 {
			return at
		}
		at = append(at, from+i)
		from += i + len(pattern)
	}
}

// appendPadding appends one attribute of n bytes, or of one or two less where a length prefix grows at n, or nothing if no
// attribute is that small.
func appendPadding(b []byte, n int) []byte {
	const text = "experiment=checkout-blue;campaign=autumn;ab=14,3,8;referrer=newsletter;locale=en-IE;currency=EUR; "
	for l := n; l > 0; l-- {
		if attr := appendString(nil, spanAttributes, "app.context", strings.Repeat(text, l/len(text)+1)[:l]); len(attr) <= n {
			return append(b, attr...)
		}
	}
	return b
}

type failure struct{ kind, message string }

func failureOf(o *op) failure {
	switch o.kind {
	case database:
		return failure{"DeadlockDetected", "deadlock detected while waiting for ShareLock on transaction"}
	case cache:
		return failure{"ConnectionResetError", "connection reset by peer"}
	case httpClient, rpcClient:
		return failure{"UpstreamUnavailable", "upstream answered 503: no healthy host"}
	case producer:
		return failure{"BrokerTimeout", "no acknowledgement within 2 s"}
	default:
		return failure{"InternalError", "the request could not be completed"}
	}
}

func appendException(b []byte, o *op) []byte {
	f := failureOf(o)
	var e []byte
	e = appendFixed64(e, 1, timeHole)
	e = appendText(e, 2, "exception")
	e = appendString(e, 3, "exception.type", f.kind)
	e = appendString(e, 3, "exception.message", f.message)
	e = appendString(e, 3, "exception.stacktrace", fmt.Sprintf("%s: %s\n  at %s (service.go:214)\n  at serve (router.go:88)", f.kind, f.message, o.name))
	return appendBytes(b, spanEvents, e)
}
