//go:build e2e

package e2e

import (
	"net"
	"testing"
	"time"
)

// eventually asks until there is no error any more.
func eventually(t testing.TB, within time.Duration, what string, ask func() error) {
	t.Helper()
	if err := poll(within, ask); err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
}

// poll is eventually for goroutines other than the test's. It returns the last error.
func poll(within time.Duration, ask func() error) error {
	deadline := time.Now().Add(within)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

// waitUntil returns at the given time.
func waitUntil(at time.Time) {
	if d := time.Until(at); d > 0 {
		<-time.After(d)
	}
}

// freePort returns an address on loopback that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
