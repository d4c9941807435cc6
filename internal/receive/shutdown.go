package receive

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// lingering is how long connections may take to close once no request is in flight. HTTP would wait five seconds
	// for connections on which nothing was ever sent, and gRPC as long for clients that do not answer: too long for a
	// drain.
	lingering = time.Second
	// forcing is how long publishers may take to notice that they are no longer waited for.
	forcing = time.Second
)

// Shutdown stops accepting, lets requests in flight finish, and returns; requests that arrive meanwhile on open
// connections are told to come back. When ctx is done first, requests in flight are told so too, and the error says how
// many there were. After Shutdown nothing calls the Publisher, unless the error says otherwise. Shutdown may be called
// again, and before Start.
func (r *Receiver) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	was := r.state
	r.state = stopped
	r.mu.Unlock()
	r.gate.close()
	if was != started {
		r.giveUp()
		return nil
	}
	closed := r.closeServers()
	select {
	case <-r.gate.idle:
		// Answers may still be on their way out.
		timer := time.NewTimer(lingering)
		defer timer.Stop()
		select {
		case <-closed:
		case <-timer.C:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	unfinished := r.gate.count()
	r.giveUp()
	r.forceServers()

	timer := time.NewTimer(forcing)
	defer timer.Stop()
	for _, done := range []<-chan struct{}{r.gate.idle, closed} {
		select {
		case <-done:
		case <-timer.C:
			if n := r.gate.count(); n > 0 {
				return fmt.Errorf("receiver %s: %d requests wait for Kafka and cannot be stopped", r.name, n)
			}
			return fmt.Errorf("receiver %s: its connections do not close", r.name)
		}
	}
	if unfinished > 0 {
		return fmt.Errorf("receiver %s: stopped before Kafka had acknowledged %d requests; their clients have to send them again",
			r.name, unfinished)
	}
	return nil
}

// closeServers lets both servers close what is idle, and the channel when they have closed everything.
func (r *Receiver) closeServers() <-chan struct{} {
	var closing sync.WaitGroup
	if r.grpc != nil {
		closing.Go(r.grpc.GracefulStop)
	}
	if r.http != nil {
		// The context ends it early when forceServers is called; the error would say no more than that.
		closing.Go(func() { _ = r.http.Shutdown(r.stopping) })
	}
	closed := make(chan struct{})
	go func() {
		closing.Wait()
		r.serving.Wait()
		close(closed)
	}()
	return closed
}

// forceServers closes all connections. The contexts of their requests end with them. It does not call grpc.Server.Stop,
// which blocks for as long as GracefulStop waits for requests, and has nothing to do once the connections are closed.
func (r *Receiver) forceServers() {
	if r.grpc != nil {
		r.grpcListener.closeConns()
	}
	if r.http != nil {
		// The listener was closed before; its error says nothing new.
		_ = r.http.Close()
	}
}
