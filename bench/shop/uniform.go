package shop

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// UniformConfig is the shape of a Uniform. Zero values mean what is said at the field.
type UniformConfig struct {
	Seed int64
	Base time.Time // wall time of virtual time zero; zero: a fixed day in 2026

	SpanBytes       int // size of every Span message; 0: 575, below about 500 there is no room for the attributes
	SpansPerTrace   int // 0: 20
	OpenTraces      int // traces that take turns; 0: 10,000
	SpansPerRequest int // 0: 500
	SpansPerSecond  int // of virtual time; 0: 100,000

	// Shares of the traces with an error span, longer than a second, and with user.tier "vip". All three 0: 1.3 % each,
	// of which policies for these and a 1 % probabilistic one keep about 5 %.
	ErrorRate, SlowRate, VIPRate float64
}

// A Uniform yields spans of one size with fourteen attributes, taking turns among a fixed number of open traces: the
// load for measuring the decision path, in which nothing but the open traces' number and the share kept matters. The root
// is the last span of its trace. Make one with NewUniform.
type Uniform struct {
	cfg      UniformConfig
	random   *rand.PCG
	base     uint64
	services []uniformService
	open     []uniformTrace
	turn     int
	round    int
	spans    int64
	traces   int64
}

type uniformTrace struct {
	seed                uint64
	start               int64
	done                int32
	failed, slow, isVIP bool
}

type uniformService struct {
	head      []byte // resource and scope fields
	scope     []byte
	templates [2][2][2]template // by root, failed, vip
}

// NewUniform returns the traffic of a UniformConfig. It panics if SpanBytes is too small for the attributes.
func NewUniform(cfg UniformConfig) *Uniform {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&cfg.SpanBytes, 575)
	def(&cfg.SpansPerTrace, 20)
	def(&cfg.OpenTraces, 10_000)
	def(&cfg.SpansPerRequest, 500)
	def(&cfg.SpansPerSecond, 100_000)
	if cfg.Base.IsZero() {
		cfg.Base = defaultBase
	}
	if cfg.ErrorRate == 0 && cfg.SlowRate == 0 && cfg.VIPRate == 0 {
		cfg.ErrorRate, cfg.SlowRate, cfg.VIPRate = 0.013, 0.013, 0.013
	}
	u := &Uniform{
		cfg:    cfg,
		random: rand.NewPCG(uint64(cfg.Seed), 0x756e_6966),
		base:   uint64(cfg.Base.UnixNano()),
		open:   make([]uniformTrace, cfg.OpenTraces),
	}
	for _, s := range services() {
		us := uniformService{head: resourceField(s, 0), scope: scopeField(s, scopeServer)}
		for i := range 8 {
			root, failed, vip := i>>2, i>>1&1, i&1
			us.templates[root][failed][vip] = uniformTemplate(s.name, root == 1, failed == 1, vip == 1, cfg.SpanBytes)
		}
		u.services = append(u.services, us)
	}
	for i := range u.open {
		u.begin(&u.open[i])
		// Traces begin and end all the time, not in waves: the first ones are at all stages.
		u.open[i].done = int32(i % cfg.SpansPerTrace)
	}
	return u
}

// uniformTemplate renders a span that is exactly size bytes with its IDs. The name takes up what padding cannot make.
func uniformTemplate(service string, root, failed, vip bool, size int) template {
	ids := idsSize
	if root {
		ids = rootSize
	}
	for extra := range 8 {
		var b []byte
		text := func(key, value string) { b = appendString(b, spanAttributes, key, value) }
		b = appendText(b, spanName, "GET /api/"+service+"/items?page="[:extra])
		b = appendVarint(b, spanKind, kindServer)
		b = appendFixed64(b, spanStart, timeHole)
		b = appendFixed64(b, spanEnd, timeHole)
		text("tenant", "acme")
		text("user.tier", map[bool]string{true: "vip", false: "std"}[vip])
		text("user.id", userHole)
		text("request.id", requestHole)
		text("http.request.method", "GET")
		text("http.route", "/api/"+service+"/items")
		text("url.path", "/api/"+service+"/items")
		b = appendInt(b, spanAttributes, "http.response.status_code", httpStatus(failed))
		text("server.address", service)
		b = appendInt(b, spanAttributes, "server.port", 8080)
		text("user_agent.original", "shop-app/8.2")
		b = appendInt(b, spanAttributes, "cart.items", 3)
		b = appendBool(b, spanAttributes, "user.returning", true)

		var status []byte
		if failed {
			status = appendVarint(status, 3, 2)
		}
		tail := appendBytes(nil, spanStatus, status)
		tail = protowire.AppendTag(tail, spanFlags, protowire.Fixed32Type)
		tail = protowire.AppendFixed32(tail, 0x101)
		b = appendPadding(b, size-ids-len(b)-len(tail))
		if ids+len(b)+len(tail) != size {
			continue
		}
		times := holes(b, string(protowire.AppendFixed64(nil, timeHole)))
		return template{body: b, tail: tail, start: times[0], end: times[1], event: -1,
			user: holes(b, userHole)[0], request: holes(b, requestHole)[0]}
	}
	panic(fmt.Sprintf("shop: SpanBytes %d is too small for fourteen attributes", size))
}

func (u *Uniform) begin(t *uniformTrace) {
	r := u.random.Uint64()
	*t = uniformTrace{seed: r, start: u.now()}
	// Three independent draws of 16 bits from one number, spread so that the seed stays usable for IDs.
	d := mix(r)
	t.failed = float64(d&0xFFFF)/(1<<16) < u.cfg.ErrorRate
	t.slow = float64(d>>16&0xFFFF)/(1<<16) < u.cfg.SlowRate
	t.isVIP = float64(d>>32&0xFFFF)/(1<<16) < u.cfg.VIPRate
	u.traces++
}

func (u *Uniform) now() int64 { return u.spans * int64(time.Second) / int64(u.cfg.SpansPerSecond) }

// Spans returns the number of spans emitted.
func (u *Uniform) Spans() int64 { return u.spans }

// Traces returns the number of traces begun.
func (u *Uniform) Traces() int64 { return u.traces }

// Next returns the next request in its own memory.
func (u *Uniform) Next() Request { return u.NextInto(nil) }

// NextInto is Next with the data appended to buf[:0].
func (u *Uniform) NextInto(buf []byte) Request {
	n := u.cfg.SpansPerRequest
	at := time.Duration(u.now())
	buf = slices.Grow(buf[:0], n*(u.cfg.SpanBytes+4)+len(u.services)*1024)
	for left := n; left > 0; {
		// A request holds up to four services' spans, in runs.
		run := min(left, (n+3)/4)
		left -= run
		buf = u.run(buf, &u.services[(u.round+left)%len(u.services)], run)
	}
	u.round++
	return Request{At: at, Data: buf, Spans: n}
}

func (u *Uniform) run(b []byte, s *uniformService, n int) []byte {
	scope := len(s.scope) + n*(1+protowire.SizeBytes(u.cfg.SpanBytes))
	b = append(b, 1<<3|2) // resource_spans
	b = protowire.AppendVarint(b, uint64(len(s.head)+1+protowire.SizeBytes(scope)))
	b = append(b, s.head...)
	b = append(b, 2<<3|2) // scope_spans
	b = protowire.AppendVarint(b, uint64(scope))
	b = append(b, s.scope...)
	for range n {
		b = u.span(b, s)
	}
	return b
}

func (u *Uniform) span(b []byte, s *uniformService) []byte {
	t := &u.open[u.turn]
	var root, failed, vip int
	if int(t.done) == u.cfg.SpansPerTrace-1 {
		root = 1
	}
	if t.failed && (root == 1 || int(t.done) == u.cfg.SpansPerTrace/2) {
		failed = 1
	}
	if t.isVIP {
		vip = 1
	}
	tm := &s.templates[root][failed][vip]
	b = append(b, 2<<3|2)
	b = protowire.AppendVarint(b, uint64(u.cfg.SpanBytes))
	b = appendTraceID(b, mix(t.seed), mix(t.seed+1))
	b = appendSpanID(b, spanID, mix(t.seed+2+uint64(t.done))|1)
	if root == 0 {
		b = appendSpanID(b, spanParentID, mix(t.seed+1+uint64(u.cfg.SpansPerTrace))|1)
	}
	at := len(b)
	b = append(b, tm.body...)
	body := b[at:]
	// A span takes up to 40 ms, a slow trace's root 1.5 s; the times within a trace do not depend on when it is sent.
	start := u.base + uint64(t.start) + uint64(t.done)*1_000_000
	took := 1_000_000 + t.seed>>8%39_000_000
	if root == 1 {
		start = u.base + uint64(t.start)
		if t.slow {
			took += 1_500_000_000
		}
	}
	binary.LittleEndian.PutUint64(body[tm.start:], start)
	binary.LittleEndian.PutUint64(body[tm.end:], start+took)
	putDigits(body[tm.user:tm.user+len(userHole)], uint32(t.seed)%100_000_000)
	appendHex(body[tm.request:tm.request], t.seed)
	b = append(b, tm.tail...)

	u.spans++
	t.done++
	if root == 1 {
		u.begin(t)
	}
	if u.turn++; u.turn == len(u.open) {
		u.turn = 0
	}
	return b
}

// mix is the finalizer of splitmix64: it makes IDs of counters.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
