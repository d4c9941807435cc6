package receive

import "sync"

// gate counts the requests being served, and turns new ones away once it is closed.
type gate struct {
	mu     sync.Mutex
	active int
	closed bool
	idle   chan struct{} // closed when the gate is closed and the last request has left
}

func newGate() *gate { return &gate{idle: make(chan struct{})} }

// enter admits a request, which has to leave. It reports false when the gate is closed.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.active++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active--
	if g.closed && g.active == 0 {
		close(g.idle)
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	if g.active == 0 {
		close(g.idle)
	}
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.active
}
