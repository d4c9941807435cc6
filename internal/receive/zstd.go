package receive

import (
	"io"

	"github.com/klauspost/compress/zstd"
	grpcencoding "google.golang.org/grpc/encoding"

	// It registers the Collector's zstd, which is registered anew here.
	_ "go.opentelemetry.io/collector/config/configgrpc"
)

// maxWindow is how far back a zstd stream may refer. RFC 8878 asks decoders for this much. A decoder allocates what a stream
// claims, which without a limit is half a gigabyte for a stream of twenty bytes.
const maxWindow = 8 << 20

// atOnce is how many zstd streams are decompressed at the same time, in the whole process. They come from memory, so nobody waits
// for a client here.
const atOnce = 2

// gRPC looks decompressors up in a registry of the process, which may be written to in init functions only.
func init() {
	if base := grpcencoding.GetCompressor("zstd"); base != nil {
		grpcencoding.RegisterCompressor(newZstdCompressor(base))
	}
}

// zstdCompressor is the Collector's zstd for gRPC with bounds on the memory of decompression.
type zstdCompressor struct {
	grpcencoding.Compressor
	free chan *zstd.Decoder // nil for one that has not been made yet
}

func newZstdCompressor(base grpcencoding.Compressor) *zstdCompressor {
	c := &zstdCompressor{base, make(chan *zstd.Decoder, atOnce)}
	for range atOnce {
		c.free <- nil
	}
	return c
}

// Decompress implements grpcencoding.Compressor. It waits for a decoder, which is free again when the reader is closed.
func (c *zstdCompressor) Decompress(r io.Reader) (io.Reader, error) {
	d := <-c.free
	var err error
	if d == nil {
		d, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	} else {
		err = d.Reset(r)
	}
	if err != nil {
		c.free <- d
		return nil, err
	}
	return &zstdStream{Decoder: d, of: c}, nil
}

type zstdStream struct {
	*zstd.Decoder
	of *zstdCompressor
}

// Close gives the decoder back.
func (s *zstdStream) Close() error {
	if s.Decoder == nil {
		return nil
	}
	// It lets go of what it read from. Resetting to nothing does not fail.
	_ = s.Reset(nil)
	s.of.free <- s.Decoder
	s.Decoder = nil
	return nil
}
