package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const logAppendTime = "LogAppendTime"

// Where things are in a record batch of Kafka's format 2.
const (
	batchMagic      = 16
	batchCRC        = 17 // to 21; it covers all that follows
	batchAttributes = 21
	batchFirstTime  = 27
	batchMaxTime    = 35
	batchRecords    = 61
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A stamper gives records the time at which the broker appends them, as a topic with LogAppendTime does.
type stamper struct {
	decompress kgo.Decompressor
	compress   map[kgo.CompressionCodecType]kgo.Compressor
}

func newStamper() *stamper {
	s := &stamper{decompress: kgo.DefaultDecompressor(), compress: make(map[kgo.CompressionCodecType]kgo.Compressor)}
	for typ, codec := range map[kgo.CompressionCodecType]kgo.CompressionCodec{
		kgo.CodecGzip: kgo.GzipCompression(), kgo.CodecSnappy: kgo.SnappyCompression(),
		kgo.CodecLz4: kgo.Lz4Compression(), kgo.CodecZstd: kgo.ZstdCompression(),
	} {
		c, err := kgo.DefaultCompressor(codec)
		if err != nil { // only for a level that the codec does not have
			panic(fmt.Sprintf("kafka: %v", err))
		}
		s.compress[typ] = c
	}
	return s
}

// stamp changes the request. What it cannot read it leaves to the broker to refuse. The time is what the broker's clock says, also if
// that is wrong or goes back, as with a real one.
func (s *stamper) stamp(req *kmsg.ProduceRequest, now int64) {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			if b, err := s.batch(p.Records, now); err == nil {
				p.Records = b
			}
		}
	}
}

// batch returns the batch with all its records at the time now.
func (s *stamper) batch(b []byte, now int64) ([]byte, error) {
	if len(b) < batchRecords || b[batchMagic] != 2 || int(binary.BigEndian.Uint32(b[8:]))+12 != len(b) ||
		binary.BigEndian.Uint32(b[batchCRC:]) != crc32.Checksum(b[batchAttributes:], castagnoli) {
		return nil, fmt.Errorf("not one sound record batch")
	}
	if !bytes.Equal(b[batchFirstTime:batchFirstTime+8], b[batchMaxTime:batchMaxTime+8]) {
		// The records differ in time, and they carry the difference.
		var err error
		if b, err = s.level(b); err != nil {
			return nil, err
		}
	}
	b[batchAttributes+1] &^= 8
	binary.BigEndian.PutUint64(b[batchFirstTime:], uint64(now))
	binary.BigEndian.PutUint64(b[batchMaxTime:], uint64(now))
	binary.BigEndian.PutUint32(b[batchCRC:], crc32.Checksum(b[batchAttributes:], castagnoli))
	return b, nil
}

// level sets the time differences of all records to zero.
func (s *stamper) level(b []byte) ([]byte, error) {
	typ := kgo.CompressionCodecType(b[batchAttributes+1] & 7)
	in, err := s.decompress.Decompress(b[batchRecords:], typ)
	if err != nil {
		return nil, err
	}
	flat := make([]byte, 0, len(in))
	for len(in) > 0 {
		n, k := binary.Varint(in)
		if k <= 0 || n < 2 || int64(len(in)-k) < n {
			return nil, fmt.Errorf("record length")
		}
		rec := in[k : k+int(n)]
		in = in[k+int(n):]
		_, d := binary.Varint(rec[1:]) // after a byte of attributes
		if d <= 0 {
			return nil, fmt.Errorf("record timestamp")
		}
		flat = binary.AppendVarint(flat, n-int64(d)+1)
		flat = append(flat, rec[0], 0)
		flat = append(flat, rec[1+d:]...)
	}
	if c := s.compress[typ]; c != nil {
		flat, typ = c.Compress(new(bytes.Buffer), flat)
	}
	out := append(bytes.Clone(b[:batchRecords]), flat...)
	out[batchAttributes+1] = out[batchAttributes+1]&^7 | byte(typ)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	return out, nil
}
