package receive

import (
	"net"
	"net/http"
	"sync"
)

// Bytes of a connection without a request: its goroutines and the buffers that it reads and writes through.
const (
	httpConnectionBytes = 16 << 10
	grpcConnectionBytes = 48 << 10
)

// httpConnections counts the connections of the HTTP server. It is not a listener: net/http has to see the TLS connections
// themselves to speak HTTP/2.
type httpConnections struct {
	memory  *Memory
	refused func() // says that there was no room for one

	mu   sync.Mutex
	open map[net.Conn]bool
}

// changed is http.Server.ConnState.
func (h *httpConnections) changed(c net.Conn, state http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch state {
	case http.StateNew:
		if !h.memory.connect(httpConnectionBytes) {
			// The client learns of it by trying again, which it does.
			_ = c.Close()
			h.refused()
			return
		}
		h.open[c] = true
	case http.StateClosed, http.StateHijacked:
		if h.open[c] {
			delete(h.open, c)
			h.memory.disconnect(httpConnectionBytes)
		}
	}
}

// trackedListener knows its connections, and closes those at once that there is no room for: the client tries again. grpc.Server waits, even in Stop, up to two minutes for connections that were opened and
// then said nothing, as health checks and port scanners leave them; closing them ourselves ends that.
type trackedListener struct {
	net.Listener
	memory  *Memory
	refused func() // says that there was no room for one

	mu    sync.Mutex
	conns map[*trackedConn]struct{}
	ended bool
}

func track(l net.Listener, m *Memory, refused func()) *trackedListener {
	return &trackedListener{Listener: l, memory: m, refused: refused, conns: map[*trackedConn]struct{}{}}
}

// Accept implements net.Listener.
func (l *trackedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if !l.memory.connect(grpcConnectionBytes) {
			// The client learns of it by trying again, which it does.
			_ = c.Close()
			l.refused()
			continue
		}
		return l.keep(c), nil
	}
}

func (l *trackedListener) keep(c net.Conn) *trackedConn {
	tracked := &trackedConn{Conn: c, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		// What was in the queue of the listener when it was closed.
		_ = c.Close()
	}
	l.conns[tracked] = struct{}{}
	return tracked
}

// closeConns closes what has been accepted and not closed yet, and what will be.
func (l *trackedListener) closeConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for c := range l.conns {
		// Whoever reads from it learns of it.
		_ = c.Conn.Close()
	}
}

type trackedConn struct {
	net.Conn
	listener *trackedListener
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.listener.mu.Lock()
	_, open := c.listener.conns[c]
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	if open {
		c.listener.memory.disconnect(grpcConnectionBytes)
	}
	return c.Conn.Close()
}
