//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"thresher/internal/twin"
)

// What a node of 256 MiB may take at most while strangers try to fill it. The slack is what is not counted byte by byte: garbage
// that the collector has not found yet, stacks, the buffers of decompressors, the text of the program.
const (
	hostileLimit = "256MiB"
	hostileMost  = (256 + 64) << 20
)

// Strangers without any credentials post what costs a decoder the most, all at once. The node stays within its memory, says
// "come back" or "never", and an honest application beside them loses nothing.
func TestHostileSenders(t *testing.T) {
	names, to := freshNames(t), startBackend(t, "")
	policies := `[{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]`
	node := configure(t, names, settings{exporters: otlpTo(to), memory: hostileLimit, policies: policies}).run()
	from := newSender(t, node.grpc)

	// The honest application sends all the time. Each kind of stranger has the node to itself for a while, so that what it sends
	// is worked on and not just refused, and then all come at once.
	done := make(chan int, 1)
	go func() { done <- from.load(t, traffic(3, 400), 14_000, nil) }()
	kinds := attacks(node)
	kinds = append(kinds, slices.Concat(kinds...))
	for _, kind := range kinds {
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		var strangers sync.WaitGroup
		for _, a := range kind {
			strangers.Go(func() {
				answers := map[string]int{}
				for ctx.Err() == nil {
					if answer := a.attack(ctx); ctx.Err() == nil {
						answers[answer]++
					}
				}
				if a.name != "" {
					t.Logf("%s: %v", a.name, answers)
				}
			})
		}
		strangers.Wait()
		cancel()
		t.Logf("the node has taken %d MiB at most", node.mostMemory()>>20)
	}
	t.Logf("the honest sender had to repeat %d requests", <-done)

	node.settled(time.Minute)
	strict := rules()
	strict.Decide = twin.Set{shopTwin()[1]}.Decide
	judge(t, names.spans, strict).compare(t, from.sent, to.got)
	if most := node.mostMemory(); most > hostileMost {
		t.Errorf("the node took %d MiB at most, with memory_limit %s", most>>20, hostileLimit)
	} else {
		t.Logf("the node took %d MiB at most, with memory_limit %s", most>>20, hostileLimit)
	}
	// Nothing of theirs remains. What does are connections that clients keep open.
	client.CloseIdleConnections()
	metric(t, node, `thresher_memory_bytes{place="produce"}`, 0)
	metric(t, node, `thresher_memory_bytes{place="receive"}`, 48<<10) // the honest sender's
}

// mostMemory is the most that the process has ever had resident.
func (n *node) mostMemory() int64 {
	t := n.t
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no VmHWM in %s", status)
	return 0
}

// A stranger does the same again and again. Of several that do the same only one has a name, and reports.
type stranger struct {
	name   string
	attack func(context.Context) (answer string)
}

// attacks are strangers by kind.
func attacks(n *node) [][]stranger {
	var bombs, hollow, slow []stranger
	several := func(to *[]stranger, count int, name string, attack func(context.Context) string) {
		for range count {
			*to = append(*to, stranger{name, attack})
			name = ""
		}
	}
	for name, c := range map[string]struct{ head, unit, tail string }{
		"resources":  {`{"resourceSpans":[`, `{},`, `{}]}`},
		"scopes":     {`{"resourceSpans":[{"scopeSpans":[`, `{},`, `{}]}]}`},
		"spans":      {`{"resourceSpans":[{"scopeSpans":[{"spans":[`, `{},`, `{}]}]}]}`},
		"attributes": {`{"resourceSpans":[{"resource":{"attributes":[`, `{},`, `{}]}}]}`},
	} {
		for _, size := range []int{20 << 20, 4 << 20} {
			body := gzipped([]byte(c.head + strings.Repeat(c.unit, (size-200)/len(c.unit)) + c.tail))
			several(&bombs, 3, fmt.Sprintf("JSON of empty %s, %d MiB", name, size>>20), func(ctx context.Context) string {
				return n.try(ctx, asJSON, "gzip", body)
			})
		}
	}
	zeros := make([]byte, 60<<20)
	giant := append(tinySpan(1), protowire.AppendBytes([]byte{0x2a}, zeros[:3<<20])...)
	for name, c := range map[string]struct {
		encoding string
		body     []byte
	}{
		"gzip bomb":                       {"gzip", gzipped(zeros)},
		"zstd bomb":                       {"zstd", zstandard(zeros)},
		"zstd window claim":               {"zstd", windowClaim(29)},
		"zstd, 8 MiB claim":               {"zstd", windowClaim(23)},
		"hollow resources":                {"gzip", gzipped(bytes.Repeat([]byte{0x0a, 0}, 1<<20))},
		"hollow scopes":                   {"gzip", gzipped(protowire.AppendBytes([]byte{0x0a}, bytes.Repeat([]byte{0x12, 0}, 1<<20)))},
		"headers, no spans":               {"gzip", gzipped(bytes.Repeat(resourceOf("r", 1000, nil), 4000))},
		"tiny spans":                      {"gzip", gzipped(resourceOf("r", 0, tinySpans(20_000)))},
		"unique resources":                {"gzip", gzipped(uniqueResources(5000))},
		"one large resource, many traces": {"gzip", gzipped(resourceOf("r", 200_000, tinySpans(2000)))},
		"a giant span":                    {"gzip", gzipped(resourceOf("r", 0, protowire.AppendBytes([]byte{0x12}, giant)))},
	} {
		several(&hollow, 2, name, func(ctx context.Context) string { return n.try(ctx, protobuf, c.encoding, c.body) })
	}
	several(&hollow, 4, "gRPC bomb", n.compressedZeros)
	several(&slow, 200, "slow body", n.slowBody)
	several(&slow, 8, "slow gRPC", n.slowStreams)
	several(&slow, 1, "idle connections", n.idleConnections)
	return [][]stranger{bombs, hollow, slow}
}

// try posts and returns the status, with what is odd about it.
func (n *node) try(ctx context.Context, contentType, encoding string, body []byte) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+n.http+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Content-Encoding", encoding)
	response, err := client.Do(request)
	if err != nil {
		return "connection closed"
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" {
		return "503 without Retry-After"
	}
	return strconv.Itoa(response.StatusCode)
}

// slowBody sends a part of a body and then waits for the server to lose its patience.
func (n *node) slowBody(ctx context.Context) string {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.http)
	if err != nil {
		return "no connection"
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, err = fmt.Fprintf(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n", 20<<20)
	if err == nil {
		_, err = conn.Write(make([]byte, 256<<10))
	}
	if err != nil {
		return "closed while sending"
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return "closed"
	}
	return string(answer)
}

// slowStreams opens gRPC calls, sends a part of a message on each, and waits until all have been ended.
func (n *node) slowStreams(ctx context.Context) string {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.grpc)
	if err != nil {
		return "no connection"
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var headers bytes.Buffer
	h := hpack.NewEncoder(&headers)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", exportMethod}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		_ = h.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) // into memory
	}
	const streams = 64
	framer := http2.NewFramer(conn, conn)
	if _, err = io.WriteString(conn, http2.ClientPreface); err == nil {
		err = framer.WriteSettings()
	}
	message := binary.BigEndian.AppendUint32([]byte{0}, 4<<20)
	message = append(message, make([]byte, 60<<10)...)
	for i := uint32(0); i < streams && err == nil; i++ {
		if err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: headers.Bytes(), EndHeaders: true}); err == nil {
			for part := message; len(part) > 0 && err == nil; {
				now := part[:min(len(part), 16<<10)]
				part = part[len(now):]
				err = framer.WriteData(2*i+1, false, now)
			}
		}
	}
	ended := 0
	for err == nil && ended < streams {
		var f http2.Frame
		if f, err = framer.ReadFrame(); err != nil {
			break
		}
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			// The server wants the rest of the message: it gets some more of it.
			if f.StreamID != 0 {
				err = framer.WriteData(f.StreamID, false, make([]byte, 16<<10))
			}
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				ended++
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = framer.WritePing(true, f.Data)
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = framer.WriteSettingsAck()
			}
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "connection closed"
	}
	return "all ended"
}

// compressedZeros is a gRPC message that is 60 MiB without compression.
func (n *node) compressedZeros(ctx context.Context) string {
	s, err := grpc.NewClient(n.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallSendMsgSize(1<<30), grpc.UseCompressor(gzip.Name)))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = s.Close() }()
	body, answer := make([]byte, 60<<20), []byte(nil)
	err = s.Invoke(ctx, exportMethod, &body, &answer)
	return status.Code(err).String()
}

// idleConnections opens more than the node has room for, and holds them for a moment.
func (n *node) idleConnections(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for i := range 1000 {
		for _, to := range []string{n.http, n.grpc} {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
			if err != nil {
				return fmt.Sprintf("none after %d", i)
			}
			defer func() { _ = conn.Close() }()
		}
	}
	<-ctx.Done()
	return "held"
}

func zstandard(data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // it has no options
	}
	return w.EncodeAll(data, nil)
}

// windowClaim is a zstd frame of a few bytes whose header asks for a window of 2^log bytes.
func windowClaim(log byte) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 0x21, 0, 0, 'a', 'b', 'c', 'd'}
}

// resourceOf is a ResourceSpans field with a service name, an attribute of some size, and one scope with these spans.
func resourceOf(service string, size int, spans []byte) []byte {
	attribute := func(key, value string) []byte {
		kv := protowire.AppendString([]byte{0x0a}, key)
		return protowire.AppendBytes([]byte{0x0a}, protowire.AppendBytes(append(kv, 0x12), protowire.AppendString([]byte{0x0a}, value)))
	}
	resource := append(attribute("service.name", service), attribute("padding", strings.Repeat("p", size))...)
	rs := protowire.AppendBytes([]byte{0x0a}, resource)
	if spans != nil {
		rs = protowire.AppendBytes(append(rs, 0x12), spans)
	}
	return protowire.AppendBytes([]byte{0x0a}, rs)
}

// tinySpan is a span of nothing but IDs.
func tinySpan(n uint64) []byte {
	id, span := pcommon.TraceID{0xff}, spanID(n)
	binary.BigEndian.PutUint64(id[8:], n*0x9e3779b97f4a7c15)
	return protowire.AppendBytes(append(protowire.AppendBytes([]byte{0x0a}, id[:]), 0x12), span[:])
}

func tinySpans(n int) []byte {
	var spans []byte
	for i := range n {
		spans = protowire.AppendBytes(append(spans, 0x12), tinySpan(uint64(i)+1))
	}
	return spans
}

func uniqueResources(n int) []byte {
	var request []byte
	for i := range n {
		request = append(request, resourceOf(fmt.Sprint("service-", i), 100, tinySpans(1))...)
	}
	return request
}
