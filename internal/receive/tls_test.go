package receive

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// authority signs certificates for 127.0.0.1 and writes them to files.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), pool: x509.NewCertPool()}
	a.key = newKey(t)
	a.cert = a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, a.key)
	a.pool.AddCert(a.cert)
	a.file = a.write(t, "ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func (a *authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(a.dir, name)
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return file
}

// issue returns the files of a new certificate and its key.
func (a *authority) issue(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key := newKey(t)
	cert := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key)
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return a.write(t, name+".pem", "CERTIFICATE", cert.Raw), a.write(t, name+".key", "EC PRIVATE KEY", der)
}

func TestTLSAndMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	serverCert, serverKey := ca.issue(t, "server")
	clientCert, clientKey := ca.issue(t, "client")
	identity, err := tls.LoadX509KeyPair(clientCert, clientKey)
	require.NoError(t, err)

	for _, mutual := range []bool{false, true} {
		log := &memoryLog{}
		r := startReceiver(t, log, func(c *Config, _ *Settings) {
			server := configtls.NewDefaultServerConfig()
			server.CertFile, server.KeyFile = serverCert, serverKey
			if mutual {
				server.ClientCAFile = ca.file
			}
			c.Protocols.GRPC.Get().TLS = configoptional.Some(server)
			c.Protocols.HTTP.Get().ServerConfig.TLS = configoptional.Some(server)
		})
		over := func(c *tls.Config) (grpcErr, httpErr error) {
			client := grpcClient(t, r, grpc.WithTransportCredentials(credentials.NewTLS(c.Clone())))
			_, grpcErr = client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(1)))
			tr := &http.Transport{TLSClientConfig: c.Clone(), ForceAttemptHTTP2: true}
			defer tr.CloseIdleConnections()
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
				"https://"+r.HTTPAddr().String()+"/v1/traces", bytes.NewReader(protoOf(t, shopTraces(1))))
			require.NoError(t, err)
			req.Header.Set(contentType, typeProto)
			resp, httpErr := (&http.Client{Transport: tr}).Do(req)
			if httpErr == nil {
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, 2, resp.ProtoMajor)
				require.NoError(t, resp.Body.Close())
			}
			return grpcErr, httpErr
		}
		grpcErr, httpErr := over(&tls.Config{RootCAs: ca.pool})
		if mutual {
			require.Equal(t, codes.Unavailable, status.Code(grpcErr), "a client without a certificate")
			require.Error(t, httpErr)
		} else {
			require.NoError(t, grpcErr)
			require.NoError(t, httpErr)
		}
		grpcErr, httpErr = over(&tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{identity}})
		require.NoError(t, grpcErr)
		require.NoError(t, httpErr)
		if mutual {
			require.Equal(t, 2, log.spans)
		}
	}
}
