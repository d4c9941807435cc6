package receive

import (
	"sync"

	"thresher/internal/wire"
)

// maxPooled is the most memory of each kind that a pooled request keeps. Above it, one giant request would occupy as
// much as thousands of usual ones for as long as traffic lasts.
const maxPooled = 8 << 20

// request is the memory that serving a request takes. It is used for one request after another.
type request struct {
	body     []byte // as received, uncompressed
	cut      []byte // the fragments, which frags alias
	frags    []Fragment
	splitter *wire.Splitter

	held  int64 // bytes reserved in the budget
	inUse bool  // a Publisher may still read frags
}

// requestPool makes and keeps requests whose splitters have the same options.
type requestPool struct {
	pool    sync.Pool
	options wire.SplitOptions
	budget  *budget
}

func (p *requestPool) get() *request {
	if q, ok := p.pool.Get().(*request); ok {
		return q
	}
	return &request{splitter: wire.NewSplitter(p.options)}
}

// reserve accounts for n more bytes of body. It reports false if they do not fit into the budget.
func (p *requestPool) reserve(q *request, n int) bool {
	if !p.budget.reserve(int64(n), q.held) {
		return false
	}
	q.held += int64(n)
	return true
}

// put ends a request. Its bytes no longer count; its memory is used again unless a Publisher may still read it.
func (p *requestPool) put(q *request) {
	p.budget.release(q.held)
	q.held = 0
	if q.inUse {
		return
	}
	q.body, q.cut = emptied(q.body), emptied(q.cut)
	clear(q.frags)
	q.frags = q.frags[:0]
	p.pool.Put(q)
}

func emptied(b []byte) []byte {
	if cap(b) > maxPooled {
		return nil
	}
	return b[:0]
}
