package receive

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestStartSaysWhichAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	for _, protocol := range []string{"grpc", "http"} {
		c := DefaultConfig()
		grpc, http := c.Protocols.GRPC.GetOrInsertDefault(), c.Protocols.HTTP.GetOrInsertDefault()
		grpc.NetAddr.Endpoint, http.ServerConfig.NetAddr.Endpoint = "127.0.0.1:0", "127.0.0.1:0"
		if protocol == "grpc" {
			grpc.NetAddr.Endpoint = taken.Addr().String()
		} else {
			http.ServerConfig.NetAddr.Endpoint = taken.Addr().String()
		}
		r, err := New(c, Settings{Name: "otlp/edge", Partitions: 1, Publisher: &memoryLog{}, Memory: NewMemory(1 << 20), Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		err = r.Start(context.Background())
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.ErrorContains(t, err, "receivers.otlp/edge.protocols."+protocol+".endpoint: "+taken.Addr().String()+" is already in use")
		require.Nil(t, r.GRPCAddr())
		require.NoError(t, r.Shutdown(context.Background()))
	}
}

func TestStartFailsOnUnreadableCertificateBeforeListening(t *testing.T) {
	c, err := decode(t, `protocols: {grpc: {endpoint: "127.0.0.1:0", tls: {cert_file: /nowhere/cert.pem, key_file: /nowhere/key.pem}}}`)
	require.NoError(t, err)
	r, err := New(c, Settings{Name: "otlp", Partitions: 1, Publisher: &memoryLog{}, Memory: NewMemory(1 << 20), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	err = r.Start(context.Background())
	require.ErrorContains(t, err, "receivers.otlp.protocols.grpc: ")
	require.ErrorContains(t, err, "/nowhere/")
	require.NoError(t, r.Shutdown(context.Background()))
}

func TestNewRefusesMisuse(t *testing.T) {
	good := Settings{Name: "otlp", Partitions: 1, Publisher: &memoryLog{}, Memory: NewMemory(1 << 20), Logger: slog.New(slog.DiscardHandler)}
	_, err := New(DefaultConfig(), good)
	require.ErrorContains(t, err, "receiver otlp: protocols: name at least one")
	c, err := decode(t, "protocols: {http: {}}")
	require.NoError(t, err)
	bad := good
	bad.Partitions = 0
	_, err = New(c, bad)
	require.ErrorContains(t, err, "needs partitions")
}

func TestShutdownIsIdempotentAndStartIsNot(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	require.Error(t, r.Start(context.Background()))
	require.NoError(t, r.Shutdown(context.Background()))
	require.NoError(t, r.Shutdown(context.Background()))
	require.Error(t, r.Start(context.Background()))

	c, err := decode(t, "protocols: {http: {}}")
	require.NoError(t, err)
	unstarted, err := New(c, Settings{Name: "otlp", Partitions: 1, Publisher: &memoryLog{}, Memory: NewMemory(1 << 20), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, unstarted.Shutdown(context.Background()))
	require.Error(t, unstarted.Start(context.Background()))
}

// blocked is a log that acknowledges when it is told to.
type blocked struct {
	entered chan struct{}
	release chan struct{}
	deaf    bool // does not notice that it is no longer waited for
}

func newBlocked() *blocked {
	return &blocked{entered: make(chan struct{}, 100), release: make(chan struct{})}
}

func (b *blocked) Publish(ctx context.Context, _ []Fragment) error {
	b.entered <- struct{}{}
	done := ctx.Done()
	if b.deaf {
		done = nil
	}
	select {
	case <-b.release:
		return nil
	case <-done:
		return ctx.Err()
	}
}

// sendBoth sends one request over each protocol, and returns a channel for each answer.
func sendBoth(t *testing.T, r *Receiver) (<-chan error, <-chan error) {
	t.Helper()
	overGRPC, overHTTP := make(chan error, 1), make(chan error, 1)
	client, c := grpcClient(t, r), httpClient(t)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+r.HTTPAddr().String()+"/v1/traces",
		bytes.NewReader(protoOf(t, shopTraces(3))))
	require.NoError(t, err)
	req.Header.Set(contentType, typeProto)
	go func() {
		_, err := client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(3)))
		overGRPC <- err
	}()
	go func() {
		resp, err := c.Do(req)
		if err == nil {
			err = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		overHTTP <- err
	}()
	return overGRPC, overHTTP
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	log := newBlocked()
	r := startReceiver(t, log, nil)
	overGRPC, overHTTP := sendBoth(t, r)
	<-log.entered
	<-log.entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", r.HTTPAddr().String())
		if err == nil {
			return c.Close() != nil
		}
		return true
	}, 5*time.Second, time.Millisecond, "still accepting")
	select {
	case err := <-stopped:
		t.Fatalf("stopped with requests in flight: %v", err)
	default:
	}
	close(log.release)
	require.NoError(t, <-overGRPC)
	require.NoError(t, <-overHTTP)
	require.NoError(t, <-stopped)
}

func TestShutdownForcesAtItsDeadline(t *testing.T) {
	log := newBlocked()
	r := startReceiver(t, log, nil)
	overGRPC, overHTTP := sendBoth(t, r)
	<-log.entered
	<-log.entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := r.Shutdown(ctx)
	require.ErrorContains(t, err, "stopped before Kafka had acknowledged 2 requests")
	require.Less(t, time.Since(began), 4*time.Second)
	require.Error(t, <-overGRPC, "never success")
	require.Error(t, <-overHTTP, "never success")
}

func TestShutdownDoesNotWaitForADeafPublisher(t *testing.T) {
	log := newBlocked()
	log.deaf = true
	r := startReceiver(t, log, nil)
	overGRPC, overHTTP := sendBoth(t, r)
	<-log.entered
	<-log.entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorContains(t, r.Shutdown(ctx), "2 requests wait for Kafka and cannot be stopped")
	close(log.release)
	require.Error(t, <-overGRPC)
	require.Error(t, <-overHTTP)
	<-r.gate.idle
}

func TestShutdownDoesNotWaitForIdleConnections(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	for _, addr := range []net.Addr{r.GRPCAddr(), r.HTTPAddr()} {
		c, err := net.Dial("tcp", addr.String())
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
	}
	_, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(3)))
	require.NoError(t, err)
	require.Equal(t, 200, post(t, httpClient(t), r, nil, contentType, typeProto).status)
	began := time.Now()
	require.NoError(t, r.Shutdown(context.Background()))
	require.Less(t, time.Since(began), 4*time.Second)
}

func TestMemoryIsNotUsedAgainWhileAPublisherMayReadIt(t *testing.T) {
	// A publisher that gives up keeps reading what it was given, as a producer with requests on the network does.
	var kept [][]byte
	var want [][]byte
	log := &memoryLog{}
	log.publish = func(_ context.Context, frags []Fragment) error {
		for _, f := range frags {
			kept = append(kept, f.Data)
			want = append(want, bytes.Clone(f.Data))
		}
		return errors.New("gave up")
	}
	r := startReceiver(t, log, nil)
	c := httpClient(t)
	for i := range 20 {
		require.Equal(t, 503, post(t, c, r, protoOf(t, shopTraces(10+i)), contentType, typeProto).status)
	}
	log.publish = nil
	for i := range 20 {
		require.Equal(t, 200, post(t, c, r, protoOf(t, shopTraces(20+i)), contentType, typeProto).status)
	}
	require.Equal(t, want, kept)
}

func TestRequestsDuringShutdownAreToldToComeBack(t *testing.T) {
	log := newBlocked()
	r := startReceiver(t, log, nil)
	client := grpcClient(t, r)
	answer := make(chan error, 1)
	go func() {
		_, err := client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(3)))
		answer <- err
	}()
	<-log.entered
	r.gate.close() // the first thing that Shutdown does
	_, err := client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(3)))
	requireRetryInfo(t, err)
	require.Equal(t, shuttingDown, status.Convert(err).Message())
	got := post(t, httpClient(t), r, nil, contentType, typeProto)
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.EqualValues(t, codes.Unavailable, statusOf(t, got).Code)
	close(log.release)
	require.NoError(t, <-answer)
}
