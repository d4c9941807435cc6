package export

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// certificates are what a server shows, replaced while it runs.
type certificates struct {
	mu      sync.Mutex
	current tls.Certificate
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return &tls.Config{Certificates: []tls.Certificate{c.current}, NextProtos: []string{"h2", "http/1.1"}}, nil
	}}
}

func (c *certificates) replace(cert tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = cert
}

// The authority of a backend is replaced while traces are sent, as a platform does it: its file is written anew, for a
// moment only in part, and the server shows a certificate of the new one.
func TestReplacedAuthority(t *testing.T) {
	serve := map[string]func(t *testing.T, b *backend, c *certificates) (exporters map[string]any, settings string, hangUp func()){
		"HTTP": func(t *testing.T, b *backend, c *certificates) (map[string]any, string, func()) {
			server := httptest.NewUnstartedServer(otlpHandler(t, func(_ http.ResponseWriter, _ *http.Request, traces map[pcommon.TraceID]int) { b.take(traces) }))
			server.TLS = c.config()
			server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
			server.StartTLS()
			t.Cleanup(server.Close)
			return httpTo(server.URL, nil), "otlphttp/test", server.CloseClientConnections
		},
		"gRPC": func(t *testing.T, b *backend, c *certificates) (map[string]any, string, func()) {
			address := serveGRPC(t, "127.0.0.1:0", b, grpc.Creds(credentials.NewTLS(c.config())), grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 100 * time.Millisecond}))
			return grpcTo(address, nil), "otlp_grpc", func() {}
		},
	}
	for name, serving := range serve {
		t.Run(name, func(t *testing.T) {
			first, firstPEM := selfSigned(t)
			second, secondPEM := selfSigned(t)
			c := &certificates{current: first}
			b := &backend{}
			exporters, id, hangUp := serving(t, b, c)
			ca := writeFile(t, "ca.pem", firstPEM)
			exporters[id].(map[string]any)["tls"] = map[string]any{"ca_file": ca, "reload_interval": "20ms"}
			l, log := newLedger(), &logBuffer{}
			d := start(t, exporters, l, func(o *Options) { o.Logger = log.logger() })
			d.Submit(items(t, 0, 10))
			l.waitAcks(t, 10)

			c.replace(second)
			require.NoError(t, os.WriteFile(ca, secondPEM[:len(secondPEM)/2], 0o600))
			hangUp()
			sent := 10
			require.Eventually(t, func() bool {
				d.Submit(items(t, sent, 1))
				sent++
				return statsOf(t, d, id).Errors["unreachable"] > 0 && strings.Contains(log.String(), "cannot be read again")
			}, 20*time.Second, 20*time.Millisecond)
			require.NoError(t, os.WriteFile(ca, secondPEM, 0o600))
			l.waitAcks(t, sent)
			l.once(t, sent)
			require.Len(t, b.got(), sent)
			require.Contains(t, log.String(), "certificate files have changed")
			hangUp()
		})
	}
}

// gated is a sender whose requests end when a test says so, and that tells when it is closed.
type gated struct {
	entered, gate, closed chan struct{}
}

func (s *gated) send(context.Context, *batch) outcome {
	s.entered <- struct{}{}
	<-s.gate
	return outcome{}
}

func (s *gated) close() error { close(s.closed); return nil }

// A sender that was replaced is closed when its last request has ended, not under it.
func TestReplacedSenderFinishesItsRequests(t *testing.T) {
	file := writeFile(t, "ca.pem", []byte("one"))
	var made []*gated
	files := configtls.ClientConfig{Config: configtls.Config{CAFile: file, ReloadInterval: time.Nanosecond}}
	r, err := openReloading(&files, slog.New(slog.DiscardHandler), func() (sender, error) {
		s := &gated{make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
		made = append(made, s)
		return s, nil
	})
	require.NoError(t, err)
	ended := make(chan outcome)
	send := func() { ended <- r.send(t.Context(), nil) }
	go send()
	<-made[0].entered
	require.NoError(t, os.WriteFile(file, []byte("two"), 0o600))
	go send()
	require.Eventually(t, func() bool { r := r.(*reloading); r.mu.Lock(); defer r.mu.Unlock(); return len(made) == 2 }, 5*time.Second, time.Millisecond)
	<-made[1].entered
	select {
	case <-made[0].closed:
		t.Fatal("closed under its request")
	default:
	}
	close(made[0].gate)
	<-ended
	<-made[0].closed
	close(made[1].gate)
	<-ended
	require.NoError(t, r.close())
	<-made[1].closed
}

func TestMissingCertificateFileIsSaid(t *testing.T) {
	for _, exporters := range []map[string]any{
		grpcTo("127.0.0.1:1", map[string]any{"tls": map[string]any{"ca_file": "/no/such.pem"}}),
		httpTo("https://127.0.0.1:1", map[string]any{"tls": map[string]any{"ca_file": "/no/such.pem"}}),
	} {
		cfg, err := ParseConfig(exporters)
		require.NoError(t, err)
		r, err := ParseRoutes(nil, cfg)
		require.NoError(t, err)
		d, err := New(cfg, r, Options{})
		require.NoError(t, err)
		require.ErrorContains(t, d.Start(t.Context()), "/no/such.pem")
	}
}
