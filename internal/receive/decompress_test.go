package receive

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/golang/snappy"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

func packed(t *testing.T, name string, body []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	switch name {
	case "lz4":
		w := lz4.NewWriter(&buf)
		_, err := w.Write(body)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	case "x-snappy-framed", "snappy framed":
		w := snappy.NewBufferedWriter(&buf)
		_, err := w.Write(body)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	case "zlib":
		return compress(t, "deflate", body)
	default:
		return compress(t, name, body)
	}
	return buf.Bytes()
}

// What confighttp decompresses is decompressed here, and nothing of it takes more than it may.
func TestEveryCompression(t *testing.T) {
	td := shopTraces(300)
	for _, name := range []string{"gzip", "zstd", "zlib", "deflate", "snappy", "snappy framed", "lz4", "x-snappy-framed"} {
		t.Run(name, func(t *testing.T) {
			log := &memoryLog{}
			r := startReceiver(t, log, func(c *Config, _ *Settings) {
				c.Protocols.HTTP.Get().ServerConfig.CompressionAlgorithms = decompressions
				c.Protocols.HTTP.Get().ServerConfig.MaxRequestBodySize = 1 << 20
			})
			encoding := name
			if name == "snappy framed" {
				encoding = "snappy"
			}
			c := httpClient(t)
			got := post(t, c, r, packed(t, name, protoOf(t, td)), contentType, typeProto, "Content-Encoding", encoding)
			require.Equal(t, http.StatusOK, got.status, "%s", got.body)
			got = post(t, c, r, packed(t, name, jsonOf(t, td)), contentType, typeJSON, "Content-Encoding", encoding)
			require.Equal(t, http.StatusOK, got.status, "%s", got.body)
			require.Equal(t, 600, log.spans)
			// A bomb, and the same as JSON, which is read while it is decompressed.
			for mediaType, body := range map[string][]byte{typeProto: make([]byte, 4<<20), typeJSON: bytes.Repeat([]byte(" "), 4<<20)} {
				bomb := packed(t, name, body)
				if len(bomb) > 1<<20 {
					bomb = bomb[:1<<20-1] // snappy is no good at it
				}
				got = post(t, c, r, bomb, contentType, mediaType, "Content-Encoding", encoding)
				require.Equal(t, http.StatusRequestEntityTooLarge, got.status, "%s", got.body)
			}
			whole := packed(t, name, protoOf(t, td))
			got = post(t, c, r, whole[:len(whole)/2], contentType, typeProto, "Content-Encoding", encoding)
			require.Equal(t, http.StatusBadRequest, got.status, "%s", got.body)
			require.Contains(t, statusOf(t, got).Message, "the body cannot be read")
			got = post(t, c, r, []byte("neither"), contentType, typeJSON, "Content-Encoding", encoding)
			require.Equal(t, http.StatusBadRequest, got.status, "%s", got.body)
			require.Contains(t, statusOf(t, got).Message, "the body cannot be read")
		})
	}
}

// A zstd stream of a few bytes that claims to need half a gigabyte gets nothing.
func TestZstdWindowIsBounded(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	frame := func(log byte) []byte {
		return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 0x21, 0, 0, 'a', 'b', 'c', 'd'}
	}
	c := httpClient(t)
	got := post(t, c, r, frame(29), contentType, typeProto, "Content-Encoding", "zstd")
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, statusOf(t, got).Message, "window size exceeded")
	got = post(t, c, r, frame(23), contentType, typeProto, "Content-Encoding", "zstd")
	require.Contains(t, statusOf(t, got).Message, "not an OTLP trace request", "8 MiB are allowed")

	// The same decoders serve gRPC, and are given back.
	for range 3 * atOnce {
		require.Equal(t, codes.Internal, sendCompressed(t, r, "zstd", frame(29)))
	}
	// A large body needs no large window.
	got = post(t, c, r, compress(t, "zstd", protoOf(t, shopTraces(20_000))), contentType, typeProto, "Content-Encoding", "zstd")
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
}
