package receive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Memory is the bytes that the receivers of a node may hold together, until Kafka has acknowledged them. Its methods may be called
// from any goroutine.
//
// What does not fit is refused and comes back. Whoever fills the memory does not keep others out: connections, messages that are
// still arriving and requests each have a part of their own, the last quarter of that of requests is for small ones, and when
// memory is full, requests that have been arriving for longer than patience have to come back too.
type Memory struct {
	max         int64
	requests    part // bodies, and what becomes of them
	frames      part // what gRPC has read of messages that have not been handed over
	connections part

	collected atomic.Int64 // when collect ran last, in Unix nanoseconds

	mu       sync.Mutex
	arriving []*arrival // in order of since
}

// NewMemory returns a Memory of that many bytes.
func NewMemory(bytes int64) *Memory {
	m := &Memory{max: bytes}
	m.frames.limit, m.connections.limit = bytes/4, bytes/4
	m.requests.limit = bytes - m.frames.limit - m.connections.limit
	return m
}

// Used returns the bytes that are held now. It can exceed Limit by what gRPC has taken from its connections before it could be
// stopped.
func (m *Memory) Used() int64 {
	return m.requests.used.Load() + m.frames.used.Load() + m.connections.used.Load()
}

// Limit returns the bytes that may be held.
func (m *Memory) Limit() int64 { return m.max }

// A part of memory.
type part struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes, unless the part would then have more than limit.
func (p *part) take(n, limit int64) bool {
	for {
		used := p.used.Load()
		if used+n > limit {
			return false
		}
		if p.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// limitFor returns how far a request that holds so many bytes may fill the part: a large one leaves a quarter to small ones.
func (p *part) limitFor(held int64) int64 {
	if held > p.limit/64 {
		return p.limit - p.limit/4
	}
	return p.limit
}

// patience is how long a request may take to arrive while others find no room. It is that of clients on slow links, and keeps
// requests that all arrive at once from pushing each other out when they are nearly there.
const patience = 2 * time.Second

var (
	// errFull: there is no room now.
	errFull = errors.New("no room in memory")
	// errNeverFits: there would be none if nothing else was held.
	errNeverFits = errors.New("larger than the memory for receiving")
)

// An account is what the requests of one receiver hold of a Memory. Its own limit comes from max_inflight_bytes.
type account struct {
	part
	memory *Memory
}

// most is what a single request may hold.
func (a *account) most() int64 {
	return min(a.limitFor(a.limit), a.memory.requests.limitFor(a.memory.requests.limit))
}

// largestMessage is the most that gRPC may read of one message: compressed and decompressed it has to fit into frames, and as a
// request, with its fragments, into requests. A larger one would be pushed out each time it comes back.
func (a *account) largestMessage() int64 { return min(a.memory.frames.limit/2, a.most()/3) }

// take takes n bytes for a request that already holds held. It fails with errFull or errNeverFits.
func (a *account) take(n, held int64) error {
	held += n
	if held > a.most() {
		return fmt.Errorf("%w: %d bytes are needed, %d allowed", errNeverFits, held, a.most())
	}
	if !a.part.take(n, a.limitFor(held)) {
		a.memory.pushOut(a, n)
		return errFull
	}
	if !a.memory.requests.take(n, a.memory.requests.limitFor(held)) {
		a.used.Add(-n)
		a.memory.pushOut(nil, n)
		return errFull
	}
	return nil
}

func (a *account) release(n int64) {
	a.used.Add(-n)
	a.memory.requests.used.Add(-n)
}

// connect takes the bytes of a connection.
func (m *Memory) connect(n int64) bool { return m.connections.take(n, m.connections.limit) }

func (m *Memory) disconnect(n int64) { m.connections.used.Add(-n) }

// addFrame counts n bytes that gRPC holds already. If that is too much, it ends an arrival.
func (m *Memory) addFrame(n int64) {
	if m.frames.used.Add(n) <= m.frames.limit || m.pushOut(nil, n) {
		return
	}
	m.pushOutAny()
	m.collect()
}

func (m *Memory) dropFrame(n int64) { m.frames.used.Add(-n) }

// collect makes frames that nobody uses any more count no more (see countedBuffers). While requests are refused, little is
// allocated, so the collector might not run for minutes.
func (m *Memory) collect() {
	now, last := time.Now().UnixNano(), m.collected.Load()
	if now-last > int64(time.Second) && m.collected.CompareAndSwap(last, now) {
		runtime.GC()
	}
}

// An arrival is a request while it is being sent.
type arrival struct {
	since   time.Time
	account *account
	held    atomic.Int64 // bytes that ending it frees, as far as they are known
	grpc    bool
	stop    func() // makes whoever reads it give up; called once at most, and not after end
	stopped bool   // under Memory.mu
}

// begin registers an arrival.
func (m *Memory) begin(a *arrival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.since = time.Now() // in the lock: the order is that of since
	m.arriving = append(m.arriving, a)
}

// end says that the request is complete, or read no further. It reports whether it was stopped before.
func (m *Memory) end(a *arrival) (stopped bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range m.arriving {
		if other == a {
			m.arriving = append(m.arriving[:i], m.arriving[i+1:]...)
			break
		}
	}
	return a.stopped
}

// pushOut stops requests that have been arriving for too long, those of one account or any, until they held n bytes.
func (m *Memory) pushOut(of *account, n int64) (some bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	late := time.Now().Add(-patience)
	for _, a := range m.arriving {
		if n <= 0 || a.since.After(late) {
			break
		}
		if a.stopped || of != nil && of != a.account {
			continue
		}
		a.stopped, some = true, true
		a.stop()
		n -= max(a.held.Load(), requestBytes)
	}
	return some
}

// pushOutAny stops one of the messages that are arriving over gRPC. Which one is left to chance: whoever has most of them open is
// hit most often, and the message of somebody who sends quickly is open for a moment only.
func (m *Memory) pushOutAny() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.arriving) == 0 {
		return
	}
	first := rand.IntN(len(m.arriving))
	for i := range m.arriving {
		if a := m.arriving[(first+i)%len(m.arriving)]; a.grpc && !a.stopped {
			a.stopped = true
			a.stop()
			return
		}
	}
}
