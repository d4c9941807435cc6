package tracefile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// largestMessage bounds one message: a length that nothing stands behind must not be believed.
const largestMessage = 2<<30 - 1

// resourceSpansTag is the tag of the only field of TracesData.
const resourceSpansTag = 1<<3 | 2

// protobuf reads one TracesData message, or messages behind their lengths. A message begins with the tag of
// resource_spans; a length begins with that byte only if it is above 160 MiB.
func (f *file) protobuf(in *bufio.Reader, head []byte) {
	f.offset = 0
	if head[0] == resourceSpansTag {
		f.message(in)
		return
	}
	if len(head) >= 4 && int64(binary.BigEndian.Uint32(head)) <= largestMessage {
		f.framed(in)
		return
	}
	f.offset = -1
	f.problem("is neither OTLP (JSON lines or protobuf) nor Jaeger JSON: it begins with the bytes % x", head[:min(8, len(head))])
}

// message reads a TracesData message one ResourceSpans after the other.
func (f *file) message(in *bufio.Reader) {
	at := int64(0)
	for f.ctx.Err() == nil {
		f.offset = at
		tag, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			f.failed(err)
			return
		}
		if tag != resourceSpansTag {
			f.problem("a ResourceSpans of OTLP is expected here, but there is the byte 0x%02x; the rest of the file is not read", tag)
			return
		}
		n, err := binary.ReadUvarint(in)
		if err == nil && n > largestMessage {
			f.problem("claims %d bytes, more than OTLP can have; the rest of the file is not read", n)
			return
		}
		if err != nil {
			f.cut(err, "in the middle of a length")
			return
		}
		whole := binary.AppendUvarint([]byte{tag}, n)
		at += int64(len(whole))
		body, err := f.exactly(in, int64(n))
		if err != nil {
			f.cut(err, "in the middle of a ResourceSpans")
			return
		}
		at += int64(n)
		f.traces(append(whole, body...))
	}
}

// framed reads messages behind a length of four bytes, as the Collector's file exporter writes them.
func (f *file) framed(in *bufio.Reader) {
	at := int64(0)
	for f.ctx.Err() == nil {
		f.offset = at
		var length [4]byte
		n, err := io.ReadFull(in, length[:])
		if errors.Is(err, io.EOF) && n == 0 {
			return
		}
		if err != nil {
			f.cut(err, "in the middle of a length")
			return
		}
		size := int64(binary.BigEndian.Uint32(length[:]))
		if size > largestMessage {
			f.problem("claims %d bytes, more than OTLP can have; the rest of the file is not read", size)
			return
		}
		body, err := f.exactly(in, size)
		if err != nil {
			f.cut(err, "in the middle of a message")
			return
		}
		at += int64(len(length)) + size
		f.framedMessage(body)
	}
}

// framedMessage reads the content behind a length: protobuf or JSON, perhaps compressed.
func (f *file) framedMessage(body []byte) {
	if bytes.HasPrefix(body, []byte(zstdMagic)) {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(largestMessage))
		if err == nil {
			defer decoder.Close()
			body, err = decoder.DecodeAll(body, nil)
		}
		if err != nil {
			f.problem("the zstd of this message is damaged: %v", err)
			return
		}
	}
	if strings.HasPrefix(string(body[:min(1, len(body))]), "{") {
		decoder := json.NewDecoder(bytes.NewReader(body))
		if err := f.value(decoder, nil); err != nil {
			f.problem("%s", syntax(err, "this message"))
		}
		return
	}
	f.traces(body)
}

// exactly reads n bytes. Memory grows with what is there, not with what was claimed.
func (f *file) exactly(in io.Reader, n int64) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(int(min(n, 1<<20)))
	if _, err := io.CopyN(&body, in, n); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// cut reports that the content ends where it should not.
func (f *file) cut(err error, where string) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && f.packed == "" {
		f.problem("the file ends %s, so it was cut off; what came before it counts", where)
		return
	}
	f.failed(err)
}
