package export

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// choosy is an OTLP/HTTP backend that answers what a test says to requests that the test picks, and accepts the rest.
type choosy struct {
	backend
	mu    sync.Mutex
	code  int
	picks func(body []byte, traces map[pcommon.TraceID]int) bool
	asked int
}

func (c *choosy) answer(code int, picks func([]byte, map[pcommon.TraceID]int) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.code, c.picks = code, picks
}

func everything([]byte, map[pcommon.TraceID]int) bool { return true }

func (c *choosy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	req := ptraceotlp.NewExportRequest()
	if err != nil || req.UnmarshalProto(body) != nil {
		return
	}
	traces := tracesIn(req)
	c.mu.Lock()
	c.asked++
	code, picked := c.code, c.picks != nil && c.picks(body, traces)
	c.mu.Unlock()
	if picked {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "missing tenant header")
		return
	}
	c.take(traces)
}

func (c *choosy) requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func serveChoosy(t *testing.T) (*choosy, string) {
	c := &choosy{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return c, server.URL
}

// A backend that refuses everything from the start is configured wrongly. Nothing is rejected, nothing is lost, other
// routes go on, it is said what to mend, and once it is mended all goes on.
func TestEverythingRefusedFromTheStartIsHeld(t *testing.T) {
	for _, code := range []int{400, 401, 403, 404, 413, 422} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			wrong, wrongURL := serveChoosy(t)
			right, rightURL := serveChoosy(t)
			wrong.answer(code, everything)
			l, log := newLedger(), &logBuffer{}
			exporters := httpTo(wrongURL, map[string]any{"max_batch_traces": 50})
			exporters["otlphttp/right"] = httpTo(rightURL, nil)["otlphttp/test"]
			d := start(t, exporters, l, func(o *Options) { o.Logger = log.logger() })
			for i := range 20 {
				d.Submit(items(t, 50*i, 50))
			}
			require.Eventually(t, func() bool { return len(right.got()) == 1000 && wrong.requests() > 40 }, 10*time.Second, 5*time.Millisecond)
			l.once(t, 0)
			require.Empty(t, l.rejections())
			s := statsOf(t, d, "otlphttp/test")
			require.EqualValues(t, 1000, s.QueueTraces)
			require.NotNil(t, s.Refusal)
			require.Contains(t, s.Refusal.Answer, "HTTP "+strconv.Itoa(code))
			require.False(t, s.Refusal.AcceptedBefore)
			require.Len(t, d.NotReady(), 1)
			for _, want := range []string{"exporter otlphttp/test", "HTTP " + strconv.Itoa(code), "missing tenant header", "check ", "on_refusal: reject"} {
				require.Contains(t, d.NotReady()[0], want)
			}
			require.Contains(t, log.String(), "configuration")

			wrong.answer(0, nil)
			l.waitAcks(t, 1000)
			l.once(t, 1000)
			require.Len(t, wrong.got(), 1000)
			require.Empty(t, l.rejections())
			require.Empty(t, d.NotReady())
			require.Nil(t, statsOf(t, d, "otlphttp/test").Refusal)
		})
	}
}

func TestEverythingRefusedOverGRPCIsHeld(t *testing.T) {
	for _, code := range []codes.Code{codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.NotFound} {
		t.Run(code.String(), func(t *testing.T) {
			var wrong atomic.Bool
			var asked atomic.Int64
			wrong.Store(true)
			b := &backend{answer: func(context.Context, map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
				asked.Add(1)
				if wrong.Load() {
					return ptraceotlp.NewExportResponse(), status.Error(code, "no such tenant")
				}
				return accept()
			}}
			l := newLedger()
			d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), map[string]any{"max_batch_traces": 50}), l, nil)
			for i := range 20 {
				d.Submit(items(t, 50*i, 50))
			}
			require.Eventually(t, func() bool { return asked.Load() > 40 && len(d.NotReady()) == 1 }, 10*time.Second, 5*time.Millisecond)
			require.Contains(t, d.NotReady()[0], "no such tenant")
			l.once(t, 0)
			wrong.Store(false)
			l.waitAcks(t, 1000)
			l.once(t, 1000)
			require.Empty(t, l.rejections())
		})
	}
}

// An operator who knows better says so.
func TestOnRefusalReject(t *testing.T) {
	for _, code := range []int{400, 401, 403, 404, 413} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			c, url := serveChoosy(t)
			c.answer(code, everything)
			l := newLedger()
			d := start(t, httpTo(url, map[string]any{"on_refusal": "reject"}), l, nil)
			d.Submit(items(t, 0, 100))
			l.waitAcks(t, 100)
			require.Len(t, l.rejections(), 100)
			require.Contains(t, l.rejections()[0].reason, "HTTP "+strconv.Itoa(code))
			require.Empty(t, d.NotReady())
		})
	}
	_, err := ParseConfig(map[string]any{"otlphttp": map[string]any{"endpoint": "http://b", "on_refusal": "rejekt"}})
	require.ErrorContains(t, err, `exporters::otlphttp::on_refusal: is "rejekt"`)
}

// From the start half of all traces are bad, and the first batches hold some of them: the good ones show that the backend works.
func TestGoodTracesAmongRefusedEndTheHold(t *testing.T) {
	c, url := serveChoosy(t)
	bad := func(_ []byte, traces map[pcommon.TraceID]int) bool {
		for n := range 200 {
			if (n < 30 || n%2 == 1) && has(traces, n) {
				return true
			}
		}
		return false
	}
	c.answer(400, bad)
	l := newLedger()
	d := start(t, httpTo(url, map[string]any{"max_batch_traces": 32, "max_in_flight": 2}), l, nil)
	d.Submit(items(t, 0, 200))
	l.waitAcks(t, 200)
	l.once(t, 200)
	require.Len(t, c.got(), 85)
	require.Len(t, l.rejections(), 115)
	require.Empty(t, d.NotReady())
}

// An expired token or a moved tenant after weeks: held, and not the end of readiness, because what comes in is safe in the log.
func TestEverythingForbiddenAfterItWorked(t *testing.T) {
	for _, code := range []int{401, 403, 404} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			c, url := serveChoosy(t)
			l := newLedger()
			d := start(t, httpTo(url, map[string]any{"max_batch_traces": 50}), l, nil)
			d.Submit(items(t, 0, 100))
			l.waitAcks(t, 100)
			c.answer(code, everything)
			for i := range 20 {
				d.Submit(items(t, 100+50*i, 50))
			}
			asked := c.requests()
			require.Eventually(t, func() bool { return c.requests() > asked+60 }, 10*time.Second, 5*time.Millisecond)
			require.Empty(t, l.rejections())
			require.EqualValues(t, 1000, statsOf(t, d, "otlphttp/test").QueueTraces)
			require.True(t, statsOf(t, d, "otlphttp/test").Refusal.AcceptedBefore)
			require.Empty(t, d.NotReady())
			c.answer(0, nil)
			l.waitAcks(t, 1100)
			l.once(t, 1100)
			require.Empty(t, l.rejections())
		})
	}
}

// 400 to everything after it worked is believed for a minute, not for ever.
func TestTrustInRefusalsRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wrong atomic.Bool
		l := newLedger()
		s := &script{answer: func(context.Context, *batch) outcome {
			if wrong.Load() {
				return outcome{verdict: refused, kind: kindInvalid, err: errors.New("plain HTTP request was sent to HTTPS port")}
			}
			return outcome{}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 10, 10))
		synctest.Wait()
		wrong.Store(true)
		elapse(30 * time.Second)
		d.Submit(small(7, 10, 10, 10))
		synctest.Wait()
		require.Len(t, l.rejections(), 10, "the backend has just accepted others")
		elapse(time.Minute)
		begun := len(s.times())
		d.Submit(small(7, 20, 1000, 10))
		elapse(10 * time.Minute)
		synctest.Wait()
		require.Len(t, l.rejections(), 10)
		require.EqualValues(t, 1000, statsOf(t, d, "a").QueueTraces)
		require.Less(t, len(s.times())-begun, 600, "rounds of five requests at growing intervals")
		wrong.Store(false)
		elapse(time.Minute)
		synctest.Wait()
		l.once(t, 1020)
		require.Len(t, l.rejections(), 10)
	})
}

// While traces are held, partitions are released: nothing of theirs stays behind.
func TestForgetWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{answer: func(context.Context, *batch) outcome {
			<-time.After(20 * time.Millisecond)
			return outcome{verdict: refused, kind: kindInvalid, err: errors.New("no")}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		for i := range 40 {
			d.Submit(small(7, 100*i, 33, 10))
			d.Submit(small(8, 100*i, 33, 10))
			elapse(17 * time.Millisecond)
			d.Forget(7)
		}
		elapse(time.Minute)
		require.EqualValues(t, 40*33, statsOf(t, d, "a").QueueTraces)
		s.mu.Lock()
		s.answer = fine
		s.mu.Unlock()
		elapse(time.Minute)
		synctest.Wait()
		require.Equal(t, 40*33, l.acked())
		require.Zero(t, d.Stats().QueueBytes)
		require.Zero(t, statsOf(t, d, "a").InFlight)
	})
}

// A web firewall answers 403 to what looks like an attack; a bug in the backend answers 500 or 503. The trace ends in the
// rejected topic, and its neighbours arrive.
func TestFirewall(t *testing.T) {
	for _, code := range []int{403, 404, 406, 500, 503} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			c, url := serveChoosy(t)
			c.answer(code, func(body []byte, _ map[pcommon.TraceID]int) bool { return bytes.Contains(body, []byte("' OR 1=1 --")) })
			l := newLedger()
			d := start(t, httpTo(url, map[string]any{"max_batch_traces": 50}), l, nil)
			list := items(t, 0, 50)
			req := ptraceotlp.NewExportRequest()
			require.NoError(t, req.UnmarshalProto(list[17].Payload))
			req.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes().PutStr("db.statement", "' OR 1=1 --")
			var err error
			list[17].Payload, err = req.MarshalProto()
			require.NoError(t, err)
			d.Submit(list)
			sent := 50
			require.Eventually(t, func() bool {
				d.Submit(items(t, sent, 5))
				sent += 5
				return len(l.rejections()) > 0
			}, 30*time.Second, 10*time.Millisecond)
			l.waitAcks(t, sent)
			l.once(t, sent)
			require.Len(t, c.got(), sent-1)
			require.Len(t, l.rejections(), 1)
			require.Equal(t, list[17].Payload, l.rejections()[0].payload)
			require.Contains(t, l.rejections()[0].reason, "right between traces that were accepted: HTTP "+strconv.Itoa(code))
		})
	}
}

// An accepted request whose spans were all refused is a refusal.
func TestPartialSuccessOfNothing(t *testing.T) {
	b := &backend{answer: func(_ context.Context, traces map[pcommon.TraceID]int) (ptraceotlp.ExportResponse, error) {
		resp := ptraceotlp.NewExportResponse()
		if has(traces, 3) && len(traces) == 1 {
			resp.PartialSuccess().SetRejectedSpans(3)
			resp.PartialSuccess().SetErrorMessage("too old")
		} else if has(traces, 3) {
			return resp, status.Error(codes.InvalidArgument, "look")
		}
		return resp, nil
	}}
	l := newLedger()
	d := start(t, grpcTo(serveGRPC(t, "127.0.0.1:0", b), map[string]any{"batch_timeout": "1s", "max_batch_traces": 8}), l, nil)
	d.Submit(items(t, 0, 8))
	l.waitAcks(t, 8)
	require.Len(t, l.rejections(), 1)
	require.Contains(t, l.rejections()[0].reason, "too old")
	require.EqualValues(t, 21, statsOf(t, d, "otlp_grpc").Spans)
}

// A few good traces behind many that are refused since the start are found soon.
func TestGoodTraceBehindManyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		s := &script{answer: func(_ context.Context, b *batch) outcome {
			for _, en := range b.entries {
				if en.Seq < 5000 {
					return outcome{verdict: refused, kind: kindInvalid, err: errors.New("no")}
				}
			}
			return outcome{}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 5000, 10))
		elapse(5 * time.Minute)
		require.Empty(t, l.rejections())
		d.Submit(small(7, 5000, 1, 10))
		elapse(30 * time.Second)
		synctest.Wait()
		l.once(t, 5001)
		require.Len(t, l.rejections(), 5000)
	})
}

// An answer from before the configuration was mended, which comes after the first acceptance, condemns nobody.
func TestRefusalThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		var calls atomic.Int64
		s := &script{answer: func(context.Context, *batch) outcome {
			if calls.Add(1) == 1 {
				<-time.After(3 * time.Second)
				return outcome{verdict: refused, kind: kindInvalid, err: errors.New("no tenant")}
			}
			return outcome{}
		}}
		d := scripted(t, l, map[string]any{"a": s}, kept("a"), nil)
		d.Submit(small(7, 0, 1, 10))
		elapse(time.Second)
		d.Submit(small(7, 1, 1, 10))
		elapse(time.Minute)
		synctest.Wait()
		l.once(t, 2)
		require.Empty(t, l.rejections())
	})
}
