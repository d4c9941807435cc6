package sampler

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"thresher/bench/shop"
	"thresher/internal/offheap"
	"thresher/internal/ottl"
	"thresher/policies"
)

const benchPolicies = `
- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
- {name: slow, type: latency, latency: {threshold_ms: 1000}}
- {name: vip, type: string_attribute, string_attribute: {key: user.tier, values: [vip]}}
- {name: one percent, type: probabilistic, probabilistic: {sampling_percentage: 1}}
`

// BenchmarkMachine reads records of 575-byte spans with 14 attributes, decides with four policies at 5 % kept, and
// acknowledges at once: the whole cost of the core for a span. The generation of records is not timed.
//
//	go test ./sampler -run '^$' -bench Machine -count 5
func BenchmarkMachine(b *testing.B) {
	for _, open := range []int{500, 10_000, 50_000} {
		for _, perTrace := range []int{20, 2} {
			b.Run(fmt.Sprintf("open=%d/spans=%d", open*20, perTrace), func(b *testing.B) {
				benchmarkMachine(b, open*20/perTrace, perTrace, mustPlan(b, benchPolicies))
			})
		}
	}
}

// BenchmarkPolicies does the same at 200,000 open spans with other lists, of which none keeps much more.
//
//	go test ./sampler -run '^$' -bench Policies -count 5
func BenchmarkPolicies(b *testing.B) {
	for _, list := range []struct{ name, text string }{
		{"4", benchPolicies},
		{"50", benchPolicies + manyPolicies()},
		{"limits", benchPolicies + sharedBenchPolicies},
		{"ottl=1", benchPolicies + ottlPolicies(1)},
		{"ottl=4", benchPolicies + ottlPolicies(4)},
	} {
		b.Run("policies="+list.name, func(b *testing.B) {
			var doc yaml.Node
			require.NoError(b, yaml.Unmarshal([]byte(list.text), &doc))
			plan, err := policies.Parse(doc.Content[0], policies.Options{Conditions: ottl.New()})
			require.NoError(b, err)
			benchmarkMachine(b, 10_000, 20, plan)
		})
	}
}

// manyPolicies are 30 on attributes, 10 with patterns, 5 on numbers and 5 of several: with benchPolicies 54.
func manyPolicies() string {
	var b strings.Builder
	keys := []string{"http.route", "url.path", "tenant", "user.id", "server.address", "user_agent.original"}
	for i := range 30 {
		fmt.Fprintf(&b, "- {name: text %d, type: string_attribute, string_attribute: {key: %s, values: [v%d, w%d]}}\n", i, keys[i%len(keys)], i, i)
	}
	for i := range 10 {
		fmt.Fprintf(&b, "- {name: pattern %d, type: string_attribute, string_attribute: {key: %s, values: ['^/v[0-9]+/x%d/'], enabled_regex_matching: true}}\n",
			i, keys[i%2], i)
	}
	for i := range 5 {
		fmt.Fprintf(&b, "- {name: number %d, type: numeric_attribute, numeric_attribute: {key: cart.items, min_value: %d, max_value: %d}}\n", i, 10+i, 12+i)
	}
	for i := range 4 {
		fmt.Fprintf(&b, "- {name: and %d, type: and, and: {and_sub_policy: [{type: latency, latency: {threshold_ms: %d}}, {type: string_attribute,"+
			" string_attribute: {key: tenant, values: [t%d]}}]}}\n", i, 100*i, i)
	}
	b.WriteString(`- {name: composite, type: composite, composite: {max_total_spans_per_second: 100, composite_sub_policy: [
    {name: late, type: latency, latency: {threshold_ms: 900}}, {name: big, type: span_count, span_count: {min_spans: 100}}]}}
`)
	return b.String()
}

const sharedBenchPolicies = `
- {name: limit, type: and, and: {and_sub_policy: [{type: latency, latency: {threshold_ms: 100}}, {type: rate_limiting, rate_limiting: {spans_per_second: 100}}]}}
- {name: kinds, type: diversity, diversity: {fingerprint: [service.name, http.route], period: 10m}}
- {name: spread, type: adaptive, adaptive: {keys: [service.name, http.route, http.response.status_code], traces_per_second: 5}}
- {name: slow for it, type: baseline_latency, baseline_latency: {keys: [service.name, http.route], quantile: 0.999}}
`

func ottlPolicies(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `- {name: ottl %d, type: ottl_condition, ottl_condition: {span: ['attributes["http.response.status_code"] == %d']}}`+"\n", i, 700+i)
	}
	return b.String()
}

func benchmarkMachine(b *testing.B, open, perTrace int, plan *policies.Plan) {
	gen := shop.NewUniform(shop.UniformConfig{Seed: 1, OpenTraces: open, SpansPerTrace: perTrace, SpansPerSecond: 100_000})
	// A trace takes open*perTrace spans of the stream to complete; the wait is chosen so that all stay open as long.
	life := int64(open) * int64(perTrace) * 1000 / 100_000
	slabs := &offheap.Slabs{} // as in production
	defer slabs.Close()
	m, err := New(Limits{Slabs: slabs, LateWindow: max(life, 1000) + 1000}, Settings{Plan: plan, DecisionWait: max(life, 1000) + 1000, RootWait: 100})
	require.NoError(b, err)
	offset := Offset(0)
	feed := func(reqs []shop.Request) {
		for _, r := range reqs {
			if err := m.Record(offset, r.At.Milliseconds(), r.Data); err != nil {
				b.Fatal(err)
			}
			offset++
			for _, d := range m.Effects().Deliveries {
				m.Ack(d.Seq)
			}
			m.Clear()
		}
	}
	const batch = 8 // as many as are in the caches when they have just been decompressed
	reqs := make([]shop.Request, batch)
	next := func() (spans int) {
		for i := range reqs {
			reqs[i] = gen.NextInto(reqs[i].Data[:0])
			spans += reqs[i].Spans
		}
		return spans
	}
	for n := 0; n < 3*open*perTrace; {
		n += next()
		feed(reqs)
	}
	st := m.Stats()
	var busy time.Duration
	var before, after runtime.MemStats
	var spans uint64
	// Processor time of this thread: other work on the machine does not count.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	for n := 0; n < b.N; {
		b.StopTimer()
		s := next()
		b.StartTimer()
		start := threadTime()
		feed(reqs)
		busy += threadTime() - start
		n += s
		spans += uint64(s)
	}
	b.StopTimer()
	runtime.ReadMemStats(&after)
	allocs := after.Mallocs - before.Mallocs // the generator makes none
	end := m.Stats()
	b.ReportMetric(float64(spans)/busy.Seconds()/1e6, "Mspans/s")
	b.ReportMetric(float64(busy.Nanoseconds())/float64(spans), "ns/span")
	b.ReportMetric(float64(allocs)/float64(spans), "allocs/span")
	b.ReportMetric(100*float64(end.Kept-st.Kept)/float64(end.Kept-st.Kept+end.Dropped-st.Dropped), "%kept")
	b.ReportMetric(float64(end.HeapBytes)/float64(max(1, end.InFlight))/575, "heap/wire")
	b.ReportMetric(float64(end.InFlight), "in-flight")
	b.ReportMetric(0, "ns/op")
}

// threadTime is the processor time that the calling thread has used.
func threadTime() time.Duration {
	var r syscall.Rusage
	const thread = 1 // RUSAGE_THREAD of Linux
	if err := syscall.Getrusage(thread, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
