package receive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// small gives a receiver little memory.
func small(bytes int64) func(*Config, *Settings) {
	return func(_ *Config, s *Settings) { s.Memory = NewMemory(bytes) }
}

func TestFullMemoryIsRetryableOverBothProtocols(t *testing.T) {
	td := shopTraces(20)
	body := protoOf(t, td)
	for name, change := range map[string]func(*Config, *Settings){
		"of the node":        small(1 << 20),
		"max_inflight_bytes": func(c *Config, _ *Settings) { c.MaxInflightBytes = 512 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			log := newBlocked()
			r := startReceiver(t, log, change)
			client := grpcClient(t, r)
			answers := make(chan error)
			sent := 0
			var refused error
			for refused == nil {
				go func() {
					_, err := client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
					answers <- err
				}()
				select {
				case <-log.entered:
					sent++
					require.LessOrEqual(t, r.Stats().InflightBytes, r.Stats().MaxInflightBytes)
				case refused = <-answers:
				}
			}
			require.Greater(t, sent, 8)
			requireRetryInfo(t, refused)
			require.ErrorContains(t, refused, busy)
			got := post(t, httpClient(t), r, body, contentType, typeProto)
			require.Equal(t, http.StatusServiceUnavailable, got.status)
			require.Equal(t, "1", got.header.Get("Retry-After"))
			require.Equal(t, busy, statusOf(t, got).Message)
			require.EqualValues(t, 1, r.Stats().GRPC.Overloaded)
			require.EqualValues(t, 1, r.Stats().HTTP.Overloaded)

			close(log.release)
			for range sent {
				require.NoError(t, <-answers)
			}
			require.Equal(t, http.StatusOK, post(t, httpClient(t), r, body, contentType, typeProto).status)
		})
	}
}

func TestRequestThatNeverFitsIsRefusedForGood(t *testing.T) {
	td := shopTraces(1000) // half a megabyte
	r := startReceiver(t, &memoryLog{}, func(c *Config, _ *Settings) { c.MaxInflightBytes = 600 << 10 })
	for mediaType, body := range map[string][]byte{typeProto: protoOf(t, td), typeJSON: jsonOf(t, td)} {
		got := post(t, httpClient(t), r, body, contentType, mediaType)
		require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
		require.Empty(t, got.header.Get("Retry-After"))
		require.Contains(t, statusOf(t, got).Message, "send smaller batches, or raise node.memory_limit")
	}
	_, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	require.Empty(t, status.Convert(err).Details())
	require.EqualValues(t, 2, r.Stats().HTTP.TooLarge)
	require.EqualValues(t, 1, r.Stats().GRPC.TooLarge)
}

// A message that could not be read while others are is refused for good, not sent away to come back for ever.
func TestLargestGRPCMessageFollowsTheMemory(t *testing.T) {
	var said syncBuffer
	r := startReceiver(t, &memoryLog{}, func(c *Config, s *Settings) {
		s.Memory, s.Logger = NewMemory(8<<20), slog.New(slog.NewTextHandler(&said, nil))
		c.Protocols.GRPC.Get().MaxRecvMsgSizeMiB = 4
	})
	require.Contains(t, said.String(), "node.memory_limit leaves no room for them")
	require.Contains(t, said.String(), "largest=1MiB")
	err := sendRaw(t, r, make([]byte, 2<<20))
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
	require.NoError(t, sendRaw(t, r, protoOf(t, shopTraces(1000))))
}

// Large requests leave room for small ones, in the memory of the node and in that of a receiver.
func TestLargeRequestsLeaveRoomForSmallOnes(t *testing.T) {
	for _, limit := range []int64{1 << 40, 1 << 20} {
		a := &account{memory: NewMemory(4 << 20)}
		a.limit = min(limit, a.memory.requests.limit)
		const step = 1000
		for held := int64(0); ; held += step {
			if err := a.take(step, held); err != nil {
				require.ErrorIs(t, err, errNeverFits)
				break
			}
		}
		large := a.used.Load()
		require.InDelta(t, float64(a.limit)*3/4, float64(large), step)
		require.ErrorIs(t, a.take(step, 100<<10), errFull, "another large one")
		small := int64(0)
		for ; a.take(step, 0) == nil; small += step {
		}
		require.InDelta(t, float64(a.limit)/4, float64(small), 2*step)
		require.ErrorIs(t, a.take(step, 0), errFull)
		a.release(large + small)
		require.Zero(t, a.used.Load())
		require.Zero(t, a.memory.Used())
	}
}

// slowPost sends a part of a body and returns what the server says to that, for whoever waits for it.
func slowPost(t *testing.T, r *Receiver, part int) <-chan string {
	t.Helper()
	conn, err := net.Dial("tcp", r.HTTPAddr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", typeProto, 10<<20)
	require.NoError(t, err)
	_, err = conn.Write(make([]byte, part))
	require.NoError(t, err)
	answer := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(conn) // until the server closes the connection
		answer <- string(all)
	}()
	return answer
}

// Somebody who holds all memory with a body that does not end is sent away when others need it, and only then.
func TestSlowBodiesGiveWay(t *testing.T) {
	log := &memoryLog{}
	r := startReceiver(t, log, small(4<<20))
	slow := slowPost(t, r, 400<<10) // the oldest is sent away first
	require.Eventually(t, func() bool { return r.Stats().InflightBytes > 400<<10 }, 5*time.Second, time.Millisecond)
	slowPost(t, r, 400<<10)
	require.Eventually(t, func() bool { return r.Stats().InflightBytes > 800<<10 }, 5*time.Second, time.Millisecond)
	client := httpClient(t)
	body := protoOf(t, shopTraces(400))
	refused := 0
	require.Eventually(t, func() bool {
		got := post(t, client, r, body, contentType, typeProto)
		if got.status == http.StatusServiceUnavailable {
			refused++
		}
		return got.status == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
	require.Positive(t, refused, "there was room all the time")
	answer := <-slow
	require.Contains(t, answer, "503 Service Unavailable")
	require.Contains(t, answer, "Retry-After: 1")
	require.Contains(t, answer, tooSlow)
	require.Equal(t, spanNames(400), log.names(t))
}

func TestSlowBodyIsNotDisturbedWhileThereIsRoom(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, small(16<<20))
	slow := slowPost(t, r, 600<<10)
	require.Eventually(t, func() bool { return r.Stats().InflightBytes > 600<<10 }, 5*time.Second, time.Millisecond)
	client := httpClient(t)
	began := time.Now()
	require.Eventually(t, func() bool {
		require.Equal(t, http.StatusOK, post(t, client, r, protoOf(t, shopTraces(10)), contentType, typeProto).status)
		return time.Since(began) > patience+500*time.Millisecond
	}, 10*time.Second, 10*time.Millisecond)
	select {
	case answer := <-slow:
		t.Fatal(answer)
	default:
	}
}

// unfinishedCodec makes a gRPC client send the first bytes of a message only.
type unfinishedCodec struct{ size int }

func (unfinishedCodec) Name() string { return "proto" }

func (c unfinishedCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(make([]byte, c.size))}, nil
}

func (unfinishedCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

// stalledConn writes no more after some bytes.
type stalledConn struct {
	net.Conn
	left int
}

func (c *stalledConn) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		return len(b), nil // as if it was on its way
	}
	return c.Conn.Write(b)
}

// What gRPC holds of messages that do not arrive stays within its part of the memory, whose calls are ended are told to come
// back, and others get through.
func TestUnfinishedGRPCMessagesAreBounded(t *testing.T) {
	log := &memoryLog{}
	r := startReceiver(t, log, small(16<<20))
	const calls = 64
	answers := make(chan error, calls)
	for range calls {
		conn := grpcConn(t, r, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			return &stalledConn{c, 200 << 10}, err
		}))
		go func() {
			answers <- conn.Invoke(context.Background(), "/"+traceService+"/"+exportMethod, struct{}{}, nil,
				grpc.ForceCodecV2(unfinishedCodec{1 << 20}), grpc.MaxCallSendMsgSize(1<<30))
		}()
	}
	// 64 calls of 200 kB do not fit into 4 MiB.
	for range calls / 2 {
		err := <-answers
		requireRetryInfo(t, err)
		require.ErrorContains(t, err, tooSlow)
	}
	require.Less(t, r.account.memory.frames.used.Load(), int64(6<<20))
	client := grpcClient(t, r)
	require.Eventually(t, func() bool {
		_, err := client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(100)))
		return err == nil
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, spanNames(100), log.names(t))
}

// The bodies that made a node of 89 MB one of 2.9 GB: each of these took 55 to 90 times its size.
func TestEmptyElementsCostWhatTheyAre(t *testing.T) {
	for name, c := range map[string]struct{ head, tail string }{
		"resources":  {`{"resourceSpans":[`, `{}]}`},
		"scopes":     {`{"resourceSpans":[{"scopeSpans":[`, `{}]}]}`},
		"spans":      {`{"resourceSpans":[{"scopeSpans":[{"spans":[`, `{}]}]}]}`},
		"attributes": {`{"resourceSpans":[{"resource":{"attributes":[`, `{}]}}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(c.head + strings.Repeat(`{},`, (4<<20)/3) + c.tail)
			r := startReceiver(t, &memoryLog{}, nil)
			client, packed := httpClient(t), compress(t, "gzip", body)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			got := post(t, client, r, packed, contentType, typeJSON, "Content-Encoding", "gzip")
			runtime.ReadMemStats(&after)
			require.Equal(t, http.StatusOK, got.status, "%s", got.body)
			// Buffers grow by half: all that they ever were is three times what they are.
			require.Less(t, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(body)), 10.0)
		})
	}
}

func TestConnectionsBeyondTheMemoryAreClosed(t *testing.T) {
	var said syncBuffer
	r := startReceiver(t, &memoryLog{}, func(_ *Config, s *Settings) {
		s.Memory, s.Logger = NewMemory(1<<20), slog.New(slog.NewTextHandler(&said, nil))
	})
	for _, c := range []struct {
		addr net.Addr
		each int
	}{{r.HTTPAddr(), httpConnectionBytes}, {r.GRPCAddr(), grpcConnectionBytes}} {
		var open []net.Conn
		for range 2 * (256 << 10) / c.each {
			conn, err := net.Dial("tcp", c.addr.String())
			require.NoError(t, err)
			open = append(open, conn)
		}
		_ = open[len(open)-1].SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := io.Copy(io.Discard, open[len(open)-1])
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.LessOrEqual(t, r.account.memory.connections.used.Load(), int64(256<<10))
		for _, conn := range open {
			_ = conn.Close()
		}
		require.Eventually(t, func() bool { return r.account.memory.connections.used.Load() == 0 }, 5*time.Second, time.Millisecond)
	}
	require.Contains(t, said.String(), "no memory for more connections")
	require.Equal(t, 200, post(t, httpClient(t), r, protoOf(t, shopTraces(3)), contentType, typeProto).status)
}

func TestPushOutTakesTheOldest(t *testing.T) {
	m := NewMemory(100 << 10)
	a := &account{memory: m}
	var stopped []int
	var all []*arrival
	for i := range 4 {
		one := &arrival{account: a, stop: func() { stopped = append(stopped, i) }}
		one.held.Store(20 << 10)
		m.begin(one)
		all = append(all, one)
	}
	require.False(t, m.pushOut(nil, 1), "all have just begun")
	for _, old := range all[:3] {
		old.since = old.since.Add(-patience)
	}
	require.False(t, m.pushOut(&account{}, 1), "of another receiver")
	require.True(t, m.pushOut(a, 30<<10))
	require.Equal(t, []int{0, 1}, stopped)
	require.True(t, m.end(all[0]))
	require.True(t, m.pushOut(nil, 1<<30))
	require.Equal(t, []int{0, 1, 2}, stopped)
	require.False(t, m.end(all[3]))
	require.False(t, m.pushOut(nil, 1))
}

// What a request takes beyond what it was counted for would not be bounded by anything.
func TestRequestsAreCountedForWhatTheyTake(t *testing.T) {
	shop := shopTraces(2000)
	tiny := func() []byte { // spans of nothing but IDs
		td := shopTraces(20_000)
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				name, id, span := "", s.TraceID(), s.SpanID()
				s.Attributes().Clear()
				s.SetName(name)
				s.SetTraceID(id)
				s.SetSpanID(span)
			}
		}
		return protoOf(t, td)
	}()
	for name, c := range map[string]struct {
		enc         encoding
		compression string
		body        []byte
	}{
		"protobuf":        {encodingProto, "", protoOf(t, shop)},
		"protobuf, gzip":  {encodingProto, "gzip", protoOf(t, shop)},
		"JSON":            {encodingJSON, "", jsonOf(t, shop)},
		"JSON, zstd":      {encodingJSON, "zstd", jsonOf(t, shop)},
		"JSON, snappy":    {encodingJSON, "snappy", jsonOf(t, shop)},
		"tiny spans":      {encodingProto, "", tiny},
		"hollow protobuf": {encodingProto, "gzip", bytes.Repeat([]byte{0x0a, 2, 0x12, 0}, 1<<18)},
	} {
		t.Run(name, func(t *testing.T) {
			r := startReceiver(t, &memoryLog{}, nil)
			q, err := r.requests.get()
			require.NoError(t, err)
			sent := compress(t, c.compression, c.body)
			if c.compression == "zstd" { // decoders keep their windows; there are atOnce
				for range atOnce {
					from, err := open("zstd", bytes.NewReader(sent))
					require.NoError(t, err)
					_, err = io.Copy(io.Discard, from)
					require.NoError(t, err)
					require.NoError(t, from.Close())
				}
			}
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			q.body, err = q.readAll(q.body, bytes.NewReader(sent))
			require.NoError(t, err)
			require.NoError(t, r.decode(q, c.compression, c.enc, 100<<20))
			_, ok := r.split(q)
			require.True(t, ok)
			most := q.held
			runtime.GC()
			runtime.ReadMemStats(&after)
			grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			require.Less(t, grown, most+256<<10, "more is held than was counted")
			r.requests.put(q)
			runtime.KeepAlive(sent)
		})
	}
}
