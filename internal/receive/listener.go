package receive

import (
	"net"
	"sync"
)

// trackedListener knows its connections. grpc.Server waits, even in Stop, up to two minutes for connections that were opened and
// then said nothing, as health checks and port scanners leave them; closing them ourselves ends that.
type trackedListener struct {
	net.Listener

	mu    sync.Mutex
	conns map[*trackedConn]struct{}
	ended bool
}

func track(l net.Listener) *trackedListener {
	return &trackedListener{Listener: l, conns: map[*trackedConn]struct{}{}}
}

// Accept implements net.Listener.
func (l *trackedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: c, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		// What was in the queue of the listener when it was closed.
		_ = c.Close()
	}
	l.conns[tracked] = struct{}{}
	return tracked, nil
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
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
