package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spanlike makes data that compresses about as well as spans do, 575 bytes a span.
func spanlike(spans int) []byte {
	src := rand.New(rand.NewPCG(1, uint64(spans)))
	var b []byte
	for range spans {
		for i := range 23 {
			b = fmt.Appendf(b, "attribute.key.%02d=%07x,", i, src.Uint32()%5000)
		}
	}
	return b
}

// benchClient uses the brokers of THRESHER_BENCH_BROKERS, or else the embedded one.
func benchClient(b *testing.B, partitions int) *Client {
	cfg := DefaultConfig()
	cfg.Spans.Partitions = partitions
	if brokers := os.Getenv("THRESHER_BENCH_BROKERS"); brokers != "" {
		cfg.Brokers = strings.Split(brokers, ",")
		suffix := fmt.Sprintf(".bench.%x", rand.Uint64())
		cfg.Spans.Topic += suffix
		cfg.Checkpoints.Topic += suffix
		cfg.Rejected.Topic += suffix
	} else {
		e, err := StartEmbedded(EmbeddedOptions{Partitions: partitions, RetentionBytes: 8 << 30})
		require.NoError(b, err)
		b.Cleanup(e.Close)
		cfg.Brokers = []string{e.Addr()}
	}
	log, _ := logger()
	c, err := New(cfg, log)
	require.NoError(b, err)
	b.Cleanup(c.Close)
	require.NoError(b, c.Ensure(context.Background()))
	return c
}

func publishAll(b *testing.B, c *Client, requests, clients int) (bytes int64) {
	p, err := c.NewProducer()
	require.NoError(b, err)
	defer p.Close()
	a := NewAccumulator(p)
	data := spanlike(4)
	n := c.cfg.Spans.Partitions
	work := make(chan int)
	done := make(chan error, clients)
	for range clients {
		go func() {
			var failed error
			for range work {
				frags := make([]Fragment, n)
				for i := range frags {
					frags[i] = Fragment{int32(i), data, 4}
				}
				if err := a.Publish(context.Background(), frags); err != nil {
					failed = err
				}
			}
			done <- failed
		}()
	}
	for i := range requests {
		work <- i
	}
	close(work)
	for range clients {
		require.NoError(b, <-done)
	}
	require.NoError(b, a.Close(context.Background()))
	return int64(requests) * int64(n) * int64(len(data))
}

// BenchmarkPublish: 64 clients at once, each request 256 spans over 64 partitions.
func BenchmarkPublish(b *testing.B) {
	c := benchClient(b, 64)
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu(b)
	bytes := publishAll(b, c, b.N, 64)
	b.ReportMetric(float64(256*b.N)/(cpu(b)-used), "spans/cpu-s")
	b.SetBytes(bytes / int64(b.N))
	b.ReportMetric(float64(256*b.N)/b.Elapsed().Seconds(), "spans/s")
	b.ReportMetric(float64(c.Stats().ProducedBytes)/float64(c.Stats().ProducedRecords), "bytes/record")
}

// cpu is the processor time that this process has used; the machine may be busy with other things.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// BenchmarkRead: everything that Publish wrote, 64 partitions, each taken by a goroutine of its own.
func BenchmarkRead(b *testing.B) {
	c := benchClient(b, 64)
	bytes := publishAll(b, c, b.N, 64)
	r, err := c.NewReader()
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu(b)
	go func() { done <- r.Run(ctx) }()
	var left atomic.Int64
	left.Store(bytes)
	all := make(chan struct{})
	for i := range int32(64) {
		f, err := r.Assign(i, 0)
		require.NoError(b, err)
		go func() {
			for {
				select {
				case <-f.Ready():
				case <-all:
					return
				}
				for e, ok := f.Take(); ok; e, ok = f.Take() {
					for _, rec := range e.Batch.Records {
						if left.Add(-int64(len(rec.Value))) == 0 {
							close(all)
						}
					}
				}
			}
		}()
	}
	<-all
	b.StopTimer()
	b.ReportMetric(float64(256*b.N)/(cpu(b)-used), "spans/cpu-s")
	b.SetBytes(bytes / int64(b.N))
	b.ReportMetric(float64(256*b.N)/b.Elapsed().Seconds(), "spans/s")
	b.ReportMetric(float64(c.Stats().Pauses), "pauses")
	cancel()
	require.ErrorIs(b, <-done, context.Canceled)
}
