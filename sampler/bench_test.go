package sampler

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"thresher/bench/shop"
	"thresher/internal/offheap"
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
				benchmarkMachine(b, open*20/perTrace, perTrace)
			})
		}
	}
}

func benchmarkMachine(b *testing.B, open, perTrace int) {
	gen := shop.NewUniform(shop.UniformConfig{Seed: 1, OpenTraces: open, SpansPerTrace: perTrace, SpansPerSecond: 100_000})
	// A trace takes open*perTrace spans of the stream to complete; the wait is chosen so that all stay open as long.
	life := int64(open) * int64(perTrace) * 1000 / 100_000
	slabs := &offheap.Slabs{} // as in production
	defer slabs.Close()
	m, err := New(Limits{Slabs: slabs, LateWindow: max(life, 1000) + 1000}, Settings{Plan: mustPlan(b, benchPolicies), DecisionWait: max(life, 1000) + 1000, RootWait: 100})
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
