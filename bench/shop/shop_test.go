package shop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// decode reads a request with the library that defines the format and calls f for every span.
func decode(t testing.TB, r Request, f func(resource pcommon.Map, scope ptrace.ScopeSpans, s ptrace.Span)) {
	t.Helper()
	req := ptraceotlp.NewExportRequest()
	require.NoError(t, req.UnmarshalProto(r.Data))
	require.Equal(t, r.Spans, req.Traces().SpanCount())
	for _, rs := range req.Traces().ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			require.NotZero(t, ss.Spans().Len(), "a scope without spans")
			for _, s := range ss.Spans().All() {
				f(rs.Resource().Attributes(), ss, s)
			}
		}
	}
}

func digest(next func() Request, n int) string {
	h := sha256.New()
	for range n {
		r := next()
		fmt.Fprintf(h, "%d %d ", r.At, r.Spans)
		_, _ = h.Write(r.Data)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// TestGolden keeps recorded figures comparable: change these only together with a note that the workload is another one.
func TestGolden(t *testing.T) {
	assert.Equal(t, "72675acd9440bf04", digest(New(Default(1)).Next, 1500))
	assert.Equal(t, "13b07c15428e95cf", digest(New(Default(2)).Next, 300))
	assert.Equal(t, "1311e2596197cfe4", digest(NewUniform(UniformConfig{Seed: 1}).Next, 50))
}

func TestNextIntoIsNext(t *testing.T) {
	a, b := New(Default(3)), New(Default(3))
	var buf []byte
	for range 200 {
		want, got := a.Next(), b.NextInto(buf)
		require.Equal(t, want, got)
		buf = got.Data
	}
	require.Equal(t, a.Truth(), b.Truth())
}

type seen struct {
	start, end time.Duration // of the span, virtual
	at         time.Duration // of its export
	parent     pcommon.SpanID
	service    string
}

func TestTrafficIsWhatTruthTells(t *testing.T) {
	cfg := Default(7)
	cfg.TracesPerSecond = 100
	cfg.LateBy = 15 * time.Second
	s := New(cfg)
	traces := map[pcommon.TraceID]map[pcommon.SpanID]seen{}
	health := map[pcommon.TraceID]bool{}
	var got Truth
	var late int64
	last := time.Duration(0)
	spanBytes, plain := 0, 0
	services := map[string]bool{}
	var states, links, events, attributes, requestsOf, resources int
	tiers := map[string]int{}
	sizer := ptrace.ProtoMarshaler{}
	for {
		if s.at > int64(60*time.Second) {
			s.Stop()
		}
		r := s.Next()
		require.GreaterOrEqual(t, r.At, last, "requests come in order of virtual time")
		last = r.At
		if r.Spans == 0 {
			require.Nil(t, r.Data)
			break
		}
		got.Requests++
		got.Bytes += int64(len(r.Data))
		got.Spans += int64(r.Spans)
		here := map[string]bool{}
		decode(t, r, func(resource pcommon.Map, scope ptrace.ScopeSpans, sp ptrace.Span) {
			name, _ := resource.Get("service.name")
			services[name.Str()] = true
			here[name.Str()] = true
			spans := traces[sp.TraceID()]
			if spans == nil {
				spans = map[pcommon.SpanID]seen{}
				traces[sp.TraceID()] = spans
			}
			require.False(t, sp.TraceID().IsEmpty())
			require.False(t, sp.SpanID().IsEmpty())
			require.Greater(t, sp.EndTimestamp(), sp.StartTimestamp())
			v := seen{
				start:   sp.StartTimestamp().AsTime().Sub(defaultBase),
				end:     sp.EndTimestamp().AsTime().Sub(defaultBase),
				at:      r.At,
				parent:  sp.ParentSpanID(),
				service: name.Str(),
			}
			require.Less(t, v.end, r.At, "exported before its end")
			if old, ok := spans[sp.SpanID()]; ok {
				got.Duplicates++
				old.at, v.at = 0, 0
				require.Equal(t, old, v, "a duplicate is the same span")
				return
			}
			spans[sp.SpanID()] = v
			if v.at-v.end >= cfg.LateBy {
				late++
			}
			if route, ok := sp.Attributes().Get("http.route"); ok && route.Str() == "/healthz" {
				health[sp.TraceID()] = true
			}
			if sp.Status().Code() == ptrace.StatusCodeError {
				require.Equal(t, 1, sp.Events().Len())
				require.Equal(t, "exception", sp.Events().At(0).Name())
				require.Equal(t, sp.EndTimestamp(), sp.Events().At(0).Timestamp())
			} else {
				spanBytes += sizer.SpanSize(sp)
				plain++
			}
			if sp.TraceState().AsRaw() != "" {
				require.Regexp(t, `^ot=rv:[0-9a-f]{14},shop=eu1$`, sp.TraceState().AsRaw())
				states++
			}
			for _, l := range sp.Links().All() {
				require.Equal(t, sp.TraceID(), l.TraceID())
				links++
			}
			events += sp.Events().Len()
			attributes += sp.Attributes().Len()
			tier, _ := sp.Attributes().Get("user.tier")
			tiers[tier.Str()]++
			user, _ := sp.Attributes().Get("user.id")
			require.Regexp(t, `^[0-9]{8}$`, user.Str())
			require.NotEmpty(t, scope.Scope().Name())
		})
		requestsOf++
		resources += len(here)
	}
	truth := s.Truth()
	require.Equal(t, truth.Requests, got.Requests)
	require.Equal(t, truth.Bytes, got.Bytes)
	require.Equal(t, truth.Spans, got.Spans)
	require.Equal(t, truth.Duplicates, got.Duplicates)
	require.Equal(t, truth.Late, late)
	require.Equal(t, truth.Traces, int64(len(traces)))
	require.Equal(t, truth.HealthTraces, int64(len(health)))

	n := float64(truth.Traces)
	require.InDelta(t, 6000, n, 300)
	requests := n - float64(truth.HealthTraces)
	require.InDelta(t, 0.2, float64(truth.HealthTraces)/n, 0.03)
	require.InDelta(t, 0.015, float64(truth.ErrorTraces)/requests, 0.006)
	require.InDelta(t, 0.01, float64(truth.SlowTraces)/requests, 0.005)
	require.InDelta(t, 0.01, float64(truth.RetryTraces)/requests, 0.005)
	require.InDelta(t, 0.015, float64(truth.LateTraces)/requests, 0.008)
	require.InDelta(t, 0.006, float64(truth.LargeTraces)/requests, 0.005)
	require.InDelta(t, 0.01, float64(truth.Duplicates)/float64(truth.Spans), 0.008)
	distinct := float64(truth.Spans - truth.Duplicates)
	require.InEpsilon(t, MeanSpans, distinct/n, 0.1)
	require.InDelta(t, 0.15, float64(states)/distinct, 0.05)
	require.InDelta(t, 14, float64(attributes)/distinct, 0.5)
	require.InEpsilon(t, 575, float64(spanBytes)/float64(plain), 0.04)
	require.InDelta(t, 1.0/64, float64(tiers["vip"])/distinct, 0.01)
	require.Len(t, services, serviceCount)
	require.NotZero(t, links)
	require.NotZero(t, events)
	require.Greater(t, resources, requestsOf, "agents send several resources in a request")

	// Every trace is a whole tree of one root, and comes in several requests in which children are before parents and
	// after them.
	var over100, spread, before, after int
	for _, spans := range traces {
		roots := 0
		first := map[time.Duration]bool{}
		for _, v := range spans {
			first[v.at] = true
			if v.parent.IsEmpty() {
				roots++
				continue
			}
			p, ok := spans[v.parent]
			require.True(t, ok, "the parent is in the trace")
			require.GreaterOrEqual(t, v.start, p.start)
			if p.at > v.at {
				before++
			} else if p.at < v.at {
				after++
			}
		}
		require.Equal(t, 1, roots)
		if len(spans) > 100 {
			over100++
		}
		if len(first) > 2 {
			spread++
		}
	}
	require.InDelta(t, truth.LargeTraces, over100, 2)
	require.Greater(t, float64(spread)/n, 0.5)
	require.NotZero(t, before)
	require.Greater(t, float64(after)/float64(before), 0.1)
}

// TestErrorsAndSlowness checks what the rates promise to policies, with nothing else going on.
func TestErrorsAndSlowness(t *testing.T) {
	for _, c := range []struct {
		name         string
		cfg          Config
		failed, slow bool
	}{
		{"healthy", Config{Seed: 5}, false, false},
		{"failing", Config{Seed: 5, ErrorRate: 1}, true, false},
		{"slow", Config{Seed: 5, SlowRate: 1}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(c.cfg)
			type span = struct{ start, end pcommon.Timestamp }
			failed := map[pcommon.TraceID]bool{}
			whole := map[pcommon.TraceID]span{}
			for {
				if s.at > int64(10*time.Second) {
					s.Stop()
				}
				r := s.Next()
				if r.Spans == 0 {
					break
				}
				decode(t, r, func(_ pcommon.Map, _ ptrace.ScopeSpans, sp ptrace.Span) {
					id := sp.TraceID()
					failed[id] = failed[id] || sp.Status().Code() == ptrace.StatusCodeError
					w, ok := whole[id]
					if !ok {
						w.start = sp.StartTimestamp()
					}
					whole[id] = span{min(w.start, sp.StartTimestamp()), max(w.end, sp.EndTimestamp())}
				})
			}
			require.Len(t, failed, int(s.Truth().Traces))
			for id := range failed {
				require.Equal(t, c.failed, failed[id])
				require.Equal(t, c.slow, whole[id].end-whole[id].start > pcommon.Timestamp(1200*time.Millisecond))
			}
		})
	}
}

func TestUniform(t *testing.T) {
	u := NewUniform(UniformConfig{Seed: 4, SpansPerTrace: 5, OpenTraces: 700, SpansPerRequest: 100})
	sizer := ptrace.ProtoMarshaler{}
	traces := map[pcommon.TraceID]map[pcommon.SpanID]bool{}
	roots := map[pcommon.TraceID]pcommon.SpanID{}
	parents := map[pcommon.TraceID]pcommon.SpanID{}
	failed, vip, slow := map[pcommon.TraceID]bool{}, map[pcommon.TraceID]bool{}, map[pcommon.TraceID]bool{}
	open, most := 0, 0
	for range 2000 {
		decode(t, u.Next(), func(_ pcommon.Map, _ ptrace.ScopeSpans, sp ptrace.Span) {
			size := 575
			if sp.ParentSpanID().IsEmpty() {
				size += 2 // the library writes an empty parent ID where SDKs write none
			}
			require.Equal(t, size, sizer.SpanSize(sp))
			require.Equal(t, 14, sp.Attributes().Len())
			id := sp.TraceID()
			if traces[id] == nil {
				traces[id] = map[pcommon.SpanID]bool{}
				open++
				most = max(most, open)
			}
			require.False(t, traces[id][sp.SpanID()])
			traces[id][sp.SpanID()] = true
			if sp.ParentSpanID().IsEmpty() {
				roots[id] = sp.SpanID()
				open--
			} else {
				parents[id] = sp.ParentSpanID()
			}
			if tier, _ := sp.Attributes().Get("user.tier"); tier.Str() == "vip" {
				vip[id] = true
			}
			if sp.Status().Code() == ptrace.StatusCodeError {
				failed[id] = true
			}
			if sp.EndTimestamp()-sp.StartTimestamp() > 1_000_000_000 {
				slow[id] = true
			}
		})
	}
	require.EqualValues(t, 200_000, u.Spans())
	require.InDelta(t, 700*4/5, most, 2, "those between their first and last span")
	require.InDelta(t, 40_000, len(roots), 700)
	for id, root := range roots {
		require.LessOrEqual(t, len(traces[id]), 5)
		if p, ok := parents[id]; ok {
			require.Equal(t, root, p)
		}
	}
	n := float64(len(traces))
	require.InDelta(t, 0.013, float64(len(failed))/n, 0.003)
	require.InDelta(t, 0.013, float64(len(slow))/n, 0.003)
	require.InDelta(t, 0.013, float64(len(vip))/n, 0.003)
}

func benchmark(b *testing.B, next func([]byte) Request) {
	b.ReportAllocs()
	var buf []byte
	spans, bytes := 0, 0
	for b.Loop() {
		r := next(buf)
		buf = r.Data
		spans += r.Spans
		bytes += len(r.Data)
	}
	b.ReportMetric(float64(spans)/b.Elapsed().Seconds(), "spans/s")
	b.ReportMetric(float64(bytes)/float64(spans), "B/span")
	b.ReportMetric(float64(spans)/float64(b.N), "spans/op")
}

func BenchmarkShop(b *testing.B) {
	cfg := Default(1)
	cfg.TracesPerSecond = 5000
	benchmark(b, New(cfg).NextInto)
}

func BenchmarkUniform(b *testing.B) {
	benchmark(b, NewUniform(UniformConfig{OpenTraces: 100_000}).NextInto)
}
