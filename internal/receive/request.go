package receive

import (
	"errors"
	"sync"

	"thresher/internal/wire"
)

// requestBytes is what a request costs besides the bytes that it sends: goroutine, stream, headers.
const requestBytes = 16 << 10

// request is the memory that serving a request takes. It is used for one request after another. All but small and constant parts
// of it are taken from the receiver's account first.
type request struct {
	body     []byte // as received; uncompressed and protobuf once it has been decoded
	decoded  []byte // what takes the place of body
	cut      []byte // the fragments, which frags alias
	frags    []Fragment
	splitter *wire.Splitter

	account  *account
	held     int64 // bytes taken from it
	received int64 // bytes of body, uncompressed
	err      error // why there was no room for gRPC's message
	spans    int   // in frags
	lost     rejects
	inUse    bool   // a Publisher may still read frags
	note     string // what to tell the client though nothing is rejected
}

// requestPool makes and keeps requests whose splitters have the same options.
type requestPool struct {
	pool    sync.Pool
	options wire.SplitOptions
	account *account
	// keep is the most memory of each kind that a pooled request keeps. Above it, one giant request would occupy as much as
	// thousands of usual ones for as long as traffic lasts.
	keep int
}

// get returns a request, if there is room for one.
func (p *requestPool) get() (*request, error) {
	q, ok := p.pool.Get().(*request)
	if !ok {
		q = &request{account: p.account}
		options := p.options
		options.Reserve = func(bytes int) error { return q.take(int64(bytes)) }
		q.splitter = wire.NewSplitter(options)
	}
	bytes := int64(cap(q.body) + cap(q.decoded) + cap(q.cut))
	if err := q.take(requestBytes + bytes); err == nil {
		return q, nil
	}
	q.body, q.decoded, q.cut = nil, nil, nil
	if err := q.take(requestBytes); err != nil {
		p.pool.Put(q)
		return nil, err
	}
	return q, nil
}

// put ends a request. Its bytes no longer count; its memory is used again unless a Publisher may still read it.
func (p *requestPool) put(q *request) {
	q.account.release(q.held)
	q.held, q.received, q.err, q.note, q.spans, q.lost = 0, 0, nil, "", 0, rejects{}
	if q.inUse {
		return
	}
	for _, b := range []*[]byte{&q.body, &q.decoded, &q.cut} {
		if cap(*b) > p.keep {
			*b = nil
		}
		*b = (*b)[:0]
	}
	clear(q.frags)
	q.frags = q.frags[:0]
	p.pool.Put(q)
}

func (q *request) take(n int64) error {
	if err := q.account.take(n, q.held); err != nil {
		return err
	}
	q.held += n
	return nil
}

// Take implements otlpjson.Memory.
func (q *request) Take(n int) error { return q.take(int64(n)) }

// Grow implements otlpjson.Memory. b is one of the buffers of the request.
func (q *request) Grow(b []byte, n int) ([]byte, error) {
	if cap(b)-len(b) >= n {
		return b, nil
	}
	// While it is copied there are both.
	size := max(len(b)+n, 2*cap(b), 4<<10)
	if cap(b) > 256<<10 {
		size = max(len(b)+n, cap(b)+cap(b)/4)
	}
	err := q.take(int64(size))
	if errors.Is(err, errNeverFits) {
		size = len(b) + n
		err = q.take(int64(size))
	}
	if err != nil {
		return b, err
	}
	grown := append(make([]byte, 0, size), b...)
	q.free(cap(b))
	return grown, nil
}

func (q *request) free(n int) {
	q.account.release(int64(n))
	q.held -= int64(n)
}

// replaceBody makes decoded the body. The old one is given up unless it is small.
func (q *request) replaceBody(keep int) {
	q.body, q.decoded = q.decoded, q.body
	if cap(q.decoded) > keep {
		q.free(cap(q.decoded))
		q.decoded = nil
	}
	q.decoded = q.decoded[:0]
}

// dropBody gives the body up unless it is small, once the fragments are cut.
func (q *request) dropBody(keep int) {
	if cap(q.body) > keep {
		q.free(cap(q.body))
		q.body = nil
	}
}
