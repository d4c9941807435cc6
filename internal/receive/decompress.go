package receive

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/golang/snappy"
	"github.com/pierrec/lz4/v4"
	"go.opentelemetry.io/collector/config/confighttp"
	grpcencoding "google.golang.org/grpc/encoding"
)

// decompressions are those of confighttp. The empty one is no compression.
var decompressions = []string{"", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4", "x-snappy-framed"}

// decompressionBytes is what a decompressor takes besides its input and output, apart from zstd's, of which there are few.
const decompressionBytes = 64 << 10

// errTooLong: the uncompressed body exceeds the limit of the receiver.
var errTooLong = errors.New("larger than max_request_body_size")

// leaveCompressed keeps confighttp from decompressing: it would take memory before anybody is asked. It goes on refusing
// encodings that it does not know or is not configured for.
func leaveCompressed(c *confighttp.ServerConfig) []confighttp.ToServerOption {
	names := c.CompressionAlgorithms
	if names == nil {
		names = decompressions[:len(decompressions)-1]
	}
	var options []confighttp.ToServerOption
	for _, name := range names {
		if name != "" {
			options = append(options, confighttp.WithDecoder(name, func(io.ReadCloser) (io.ReadCloser, error) { return nil, nil }))
		}
	}
	return options
}

// unreadableError is about the body, not about what is in it.
type unreadableError struct{ error }

func (e unreadableError) Unwrap() error { return e.error }

// decode replaces the body of q, which is complete, by what it is without compression and in protobuf. Without compression it may
// have limit bytes.
func (r *Receiver) decode(q *request, compression string, enc encoding, limit int64) (err error) {
	defer func() {
		// Strangers' bytes in libraries of others.
		if p := recover(); p != nil {
			err = unreadableError{fmt.Errorf("%s: %v", compression, p)}
		}
	}()
	if compression == "snappy" && !bytes.HasPrefix(q.body, snappyFrame) {
		if err := r.unsnap(q, limit); err != nil {
			return err
		}
		compression = ""
	}
	if compression == "" {
		q.received = int64(len(q.body))
		if enc == encodingJSON {
			return r.transcode(q, bytes.NewBuffer(q.body))
		}
		return nil
	}
	if err := q.take(decompressionBytes); err != nil {
		return err
	}
	from, err := open(compression, bytes.NewReader(q.body))
	if err != nil {
		return unreadableError{err}
	}
	// What it says after the end of the body does not matter.
	defer func() { _ = from.Close() }()
	plain := &limited{from: from, left: limit}
	if enc == encodingJSON {
		err = r.transcode(q, plain)
	} else if q.decoded, err = q.readAll(q.decoded[:0], plain); err == nil {
		q.replaceBody(r.requests.keep)
	}
	q.received = limit - plain.left
	return err
}

// limited reads as long as there is something left to allow.
type limited struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errTooLong
	}
	if err != nil && (!errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = unreadableError{err}
	}
	return n, err
}

// readAll appends all that there is to b, one of the buffers of the request.
func (q *request) readAll(b []byte, from io.Reader) (_ []byte, err error) {
	for {
		if b, err = q.Grow(b, 1); err != nil {
			return b, err
		}
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// snappyFrame is how a stream in snappy's framing format begins. Older Collectors send it under the name of the block format.
var snappyFrame = []byte("\xff\x06\x00\x00sNaPpY")

// unsnap decompresses snappy's block format, which says at its beginning how long it will be.
func (r *Receiver) unsnap(q *request, limit int64) error {
	n, err := snappy.DecodedLen(q.body)
	if err != nil {
		return unreadableError{err}
	}
	if int64(n) > limit {
		return errTooLong
	}
	// No encoder makes more than 64 bytes out of three: what is claimed has to be there.
	if n > 22*len(q.body) {
		return unreadableError{fmt.Errorf("snappy: %d bytes cannot be %d", len(q.body), n)}
	}
	if q.decoded, err = q.Grow(q.decoded[:0], n); err != nil {
		return err
	}
	decoded, err := snappy.Decode(q.decoded[:n], q.body)
	if err != nil {
		return unreadableError{err}
	}
	q.decoded = decoded
	q.replaceBody(r.requests.keep)
	return nil
}

func open(compression string, from io.Reader) (io.ReadCloser, error) {
	switch compression {
	case "gzip":
		return gzip.NewReader(from)
	case "zlib", "deflate":
		return zlib.NewReader(from)
	case "lz4":
		return io.NopCloser(lz4.NewReader(from)), nil
	case "snappy", "x-snappy-framed":
		return io.NopCloser(snappy.NewReader(from)), nil
	case "zstd":
		d, err := grpcencoding.GetCompressor("zstd").Decompress(from)
		if err != nil {
			return nil, err
		}
		return d.(io.ReadCloser), nil
	}
	// confighttp has refused it.
	return nil, fmt.Errorf("unsupported Content-Encoding: %s", compression)
}

// work waits until the processor is free for a request that is complete: whatever is made of requests takes memory, and more of it
// at the same time would not be faster.
func (r *Receiver) work(ctx context.Context) (done func(), err error) {
	select {
	case r.working <- struct{}{}:
		return func() { <-r.working }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
