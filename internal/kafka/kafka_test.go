package kafka

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = 15 * time.Second

// lines collects what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) count(s string) int { return strings.Count(l.String(), s) }

func logger() (*slog.Logger, *lines) {
	l := &lines{}
	return slog.New(slog.NewTextHandler(l, nil)), l
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func startBroker(t *testing.T, o EmbeddedOptions, extra ...kfake.Opt) *Embedded {
	t.Helper()
	e, err := startEmbedded(o, extra...)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

func testConfig(addr string, partitions int) Config {
	cfg := DefaultConfig()
	cfg.Brokers = []string{addr}
	cfg.Spans.Partitions = partitions
	cfg.Reader.MaxWait = 100 * time.Millisecond
	return cfg
}

// connect gives a client whose topics are there.
func connect(t *testing.T, cfg Config) (*Client, *lines) {
	t.Helper()
	require.NoError(t, cfg.Validate())
	log, said := logger()
	c, err := New(cfg, log)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.NoError(t, c.Ensure(testContext(t)))
	return c, said
}

func setup(t *testing.T, partitions int, change func(*Config)) (*Embedded, *Client, *lines) {
	t.Helper()
	e := startBroker(t, EmbeddedOptions{Partitions: partitions})
	cfg := testConfig(e.Addr(), partitions)
	if change != nil {
		change(&cfg)
	}
	c, said := connect(t, cfg)
	return e, c, said
}

func startReader(t *testing.T, c *Client) *Reader {
	t.Helper()
	r, err := c.NewReader()
	require.NoError(t, err)
	run(t, r)
	return r
}

func run(t *testing.T, r *Reader) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

func startProducer(t *testing.T, c *Client) *Producer {
	t.Helper()
	p, err := c.NewProducer()
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// produce writes values, each a record, and waits for them.
func produce(t *testing.T, p *Producer, partition int32, values ...string) {
	t.Helper()
	errs := make(chan error, len(values))
	for _, v := range values {
		p.Produce(testContext(t), partition, []byte(v), func(err error) { errs <- err })
	}
	for range values {
		require.NoError(t, <-errs)
	}
}

func numbered(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, "v"+strconv.Itoa(i))
	}
	return out
}

// next waits for the next event.
func next(t *testing.T, f *Feed) Event {
	t.Helper()
	deadline := time.After(soon)
	for {
		if e, ok := f.Take(); ok {
			return e
		}
		select {
		case <-f.Ready():
		case <-deadline:
			t.Fatalf("partition %d: no event within %v", f.Partition(), soon)
		}
	}
}

// nextBatch waits for the next batch and checks that nothing else is in front of it.
func nextBatch(t *testing.T, f *Feed) *Batch {
	t.Helper()
	e := next(t, f)
	require.NotNil(t, e.Batch, "%+v", e)
	return e.Batch
}

// collect takes n records and checks that they and Next are in order.
func collect(t *testing.T, f *Feed, n int) (values []string, at int64) {
	t.Helper()
	last := int64(-1)
	for len(values) < n {
		b := nextBatch(t, f)
		for _, r := range b.Records {
			require.Greater(t, r.Offset, last)
			last = r.Offset
			values = append(values, string(r.Value))
		}
		require.Greater(t, b.Next, at)
		at = b.Next
	}
	return values, at
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	return port
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
