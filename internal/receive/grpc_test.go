package receive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

func TestGRPCStoresSpansByPartitionUnderEveryCompression(t *testing.T) {
	for _, compression := range []string{"", "gzip", "zstd", "snappy"} {
		t.Run("compression "+compression, func(t *testing.T) {
			log := &memoryLog{}
			r := startReceiver(t, log, nil)
			var options []grpc.CallOption
			if compression != "" {
				options = append(options, grpc.UseCompressor(compression))
			}
			td := shopTraces(1000)
			size := len(protoOf(t, td))
			resp, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td), options...)
			require.NoError(t, err)
			require.Zero(t, resp.PartialSuccess().RejectedSpans())
			require.Empty(t, resp.PartialSuccess().ErrorMessage())
			require.Equal(t, spanNames(1000), log.names(t))
			require.Greater(t, len(log.fragments), 1, "everything is in one partition")
			s := r.Stats()
			require.Equal(t, ProtocolStats{Requests: 1, Accepted: 1, Spans: 1000, Bytes: uint64(size)}, s.GRPC)
			require.Equal(t, ProtocolStats{}, s.HTTP)
		})
	}
}

func TestGRPCEmptyRequestSucceedsWithoutPublishing(t *testing.T) {
	r := startReceiver(t, &memoryLog{publish: func(context.Context, []Fragment) error {
		return errors.New("nothing to publish")
	}}, nil)
	for _, td := range []ptrace.Traces{ptrace.NewTraces(), shopTraces(0)} {
		_, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
		require.NoError(t, err)
	}
	require.EqualValues(t, 2, r.Stats().GRPC.Accepted)
}

func TestGRPCPartialSuccessNamesCountAndReason(t *testing.T) {
	log := &memoryLog{}
	r := startReceiver(t, log, nil)
	resp, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(mixedTraces()), grpc.UseCompressor("gzip"))
	require.NoError(t, err)
	require.EqualValues(t, 3, resp.PartialSuccess().RejectedSpans())
	require.Equal(t, "rejected 2 spans without a trace ID (absent or all zero), 1 span without a span ID (absent or all zero)",
		resp.PartialSuccess().ErrorMessage())
	require.Equal(t, spanNames(10), log.names(t))
	s := r.Stats().GRPC
	require.EqualValues(t, 10, s.Spans)
	require.EqualValues(t, 2, s.NoTraceIDSpans)
	require.EqualValues(t, 1, s.NoSpanIDSpans)
	require.EqualValues(t, 3, s.InvalidSpans())
}

func TestGRPCSpanTooLargeForARecordIsRefusedAlone(t *testing.T) {
	log := &memoryLog{}
	r := startReceiver(t, log, func(_ *Config, s *Settings) { s.MaxFragment = 10_000 })
	td := shopTraces(100)
	td.ResourceSpans().At(1).ScopeSpans().At(0).Spans().At(0).SetName(strings.Repeat("x", 20_000))
	resp, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
	require.NoError(t, err)
	require.EqualValues(t, 1, resp.PartialSuccess().RejectedSpans())
	require.Contains(t, resp.PartialSuccess().ErrorMessage(), "1 span larger than a record of the log may be; the first:")
	require.Contains(t, resp.PartialSuccess().ErrorMessage(), "the limit is 10000")
	require.Len(t, log.names(t), 99)
	for _, fragments := range log.fragments {
		for _, f := range fragments {
			require.LessOrEqual(t, len(f), 10_000)
		}
	}
	require.EqualValues(t, 1, r.Stats().GRPC.OversizedSpans)
}

// sendRaw calls Export with bytes of the test's choice.
func sendRaw(t *testing.T, r *Receiver, body []byte, options ...grpc.CallOption) error {
	t.Helper()
	var resp []byte
	options = append(options, grpc.ForceCodecV2(bytesCodec{}))
	return grpcConn(t, r).Invoke(context.Background(), "/"+traceService+"/"+exportMethod, body, &resp, options...)
}

type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func TestGRPCBadBodiesAreRefusedForGood(t *testing.T) {
	good := protoOf(t, shopTraces(10))
	for _, tc := range []struct {
		name string
		body []byte
		want string
	}{
		{"truncated", good[:len(good)-5], "ends in the middle of a field"},
		{"hostile length", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, "ends in the middle of a field"},
		{"endless varint", bytes.Repeat([]byte{0xff}, 20), "varint longer than 10 bytes"},
		{"text", []byte("GET / HTTP/1.1\r\n\r\n"), "not an OTLP trace request"},
		{"group", []byte{0x0b, 0x0c}, "groups"},
		{"only damaged spans", []byte{0x0a, 7, 0x12, 5, 0x12, 3, 0x0a, 1, 7}, "ID of wrong length"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := startReceiver(t, &memoryLog{}, nil)
			err := sendRaw(t, r, tc.body)
			require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
			require.ErrorContains(t, err, tc.want)
			require.Empty(t, status.Convert(err).Details(), "the client must not retry")
			require.EqualValues(t, 1, r.Stats().GRPC.Malformed)
			require.EqualValues(t, 1, r.Stats().GRPC.Requests)
		})
	}
}

func TestGRPCDamagedSpanDoesNotTakeTheOthersWithIt(t *testing.T) {
	log := &memoryLog{}
	r := startReceiver(t, log, nil)
	damaged := []byte{0x0a, 7, 0x12, 5, 0x12, 3, 0x0a, 1, 7}
	conn := grpcConn(t, r)
	var raw []byte
	require.NoError(t, conn.Invoke(context.Background(), "/"+traceService+"/"+exportMethod,
		append(protoOf(t, shopTraces(10)), damaged...), &raw, grpc.ForceCodecV2(bytesCodec{})))
	resp := ptraceotlp.NewExportResponse()
	require.NoError(t, resp.UnmarshalProto(raw))
	require.EqualValues(t, 1, resp.PartialSuccess().RejectedSpans())
	require.Contains(t, resp.PartialSuccess().ErrorMessage(), "1 span that cannot be decoded; the first: ")
	require.Equal(t, spanNames(10), log.names(t))
	require.EqualValues(t, 1, r.Stats().GRPC.DamagedSpans)
}

func TestGRPCMessageAboveTheLimitIsRefusedForGood(t *testing.T) {
	for _, compression := range []string{"identity", "gzip", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			var lines syncBuffer
			r := startReceiver(t, &memoryLog{}, func(c *Config, s *Settings) {
				c.Protocols.GRPC.Get().MaxRecvMsgSizeMiB = 1
				s.Logger = slog.New(slog.NewTextHandler(&lines, nil))
			})
			_, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(3000)),
				grpc.UseCompressor(compression))
			require.Equal(t, codes.ResourceExhausted, status.Code(err))
			require.Empty(t, status.Convert(err).Details(), "without RetryInfo, so that clients do not retry")
			// gRPC answers by itself, before we hear of it.
			require.Eventually(t, func() bool {
				return r.Stats().GRPC.TooLarge == 1 && strings.Contains(lines.String(), "receivers.otlp.protocols.grpc.max_recv_msg_size_mib")
			}, 5*time.Second, time.Millisecond)
		})
	}
}

// A client's compressor can fail in one way that gRPC's own cannot make: bytes that are not what the header says. A raw
// HTTP/2 request does.
// sendCompressed sends a message as it is, under the name of a compression, and returns the status.
func sendCompressed(t *testing.T, r *Receiver, compression string, message []byte) codes.Code {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: &protocols}
	defer tr.CloseIdleConnections()
	frame := append([]byte{1, 0, 0, 0, byte(len(message))}, message...)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		"http://"+r.GRPCAddr().String()+"/"+traceService+"/"+exportMethod, bytes.NewReader(frame))
	require.NoError(t, err)
	req.Header.Set(contentType, "application/grpc")
	req.Header.Set("TE", "trailers")
	req.Header.Set("Grpc-Encoding", compression)
	resp, err := (&http.Client{Transport: tr}).Do(req)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	code := resp.Trailer.Get("Grpc-Status")
	if code == "" {
		code = resp.Header.Get("Grpc-Status")
	}
	n, err := strconv.Atoi(code)
	require.NoError(t, err)
	return codes.Code(n)
}

func TestGRPCBodyThatDoesNotDecompressIsRefusedForGood(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	require.Equal(t, codes.Internal, sendCompressed(t, r, "gzip", []byte("this is not gzip")),
		"what gRPC says to broken compression; OTLP clients do not retry it")
	require.Eventually(t, func() bool { return r.Stats().GRPC.Malformed == 1 }, 5*time.Second, time.Millisecond)
}

func requireRetryInfo(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
	details := status.Convert(err).Details()
	require.Len(t, details, 1)
	require.Equal(t, retryDelay, details[0].(*errdetails.RetryInfo).RetryDelay.AsDuration())
}

func TestGRPCPublisherFailureIsRetryable(t *testing.T) {
	log := &memoryLog{publish: func(context.Context, []Fragment) error { return errors.New("broker-7.internal: connection refused") }}
	r := startReceiver(t, log, nil)
	client := grpcClient(t, r)
	_, err := client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(10)))
	requireRetryInfo(t, err)
	require.ErrorContains(t, err, notStored)
	require.NotContains(t, err.Error(), "broker-7", "clients have no business with broker names")
	require.EqualValues(t, 1, r.Stats().GRPC.Unpublished)
	require.EqualValues(t, 1, r.Stats().GRPC.Refused())
	require.Zero(t, r.Stats().GRPC.Spans)

	log.publish = nil
	_, err = client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(10)))
	require.NoError(t, err)
	require.Equal(t, spanNames(10), log.names(t))
}

func TestGRPCPermanentPublisherFailureIsNotRetryable(t *testing.T) {
	r := startReceiver(t, &memoryLog{publish: func(context.Context, []Fragment) error {
		return errors.Join(ErrPermanent, errors.New("record too large"))
	}}, nil)
	_, err := grpcClient(t, r).Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(shopTraces(10)))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Empty(t, status.Convert(err).Details())
	require.EqualValues(t, 1, r.Stats().GRPC.Rejected)
}

func TestGRPCSuccessOnlyAfterTheLogHasAcknowledged(t *testing.T) {
	entered, acknowledge := make(chan struct{}), make(chan struct{})
	r := startReceiver(t, &memoryLog{publish: func(context.Context, []Fragment) error {
		close(entered)
		<-acknowledge
		return nil
	}}, nil)
	answered := make(chan error, 1)
	client := grpcClient(t, r)
	td := shopTraces(10)
	size := len(protoOf(t, td))
	go func() {
		_, err := client.Export(context.Background(), ptraceotlp.NewExportRequestFromTraces(td))
		answered <- err
	}()
	<-entered
	s := r.Stats()
	require.Equal(t, 1, s.InflightRequests)
	require.Greater(t, s.InflightBytes, int64(2*size), "the message and its fragments")
	require.Less(t, s.InflightBytes, int64(3*size+2*requestBytes))
	require.Zero(t, s.GRPC.Requests)
	require.Zero(t, s.GRPC.Spans)
	select {
	case err := <-answered:
		t.Fatalf("answered before the log had acknowledged: %v", err)
	default:
	}
	close(acknowledge)
	require.NoError(t, <-answered)
}

func TestGRPCClientThatGivesUpEndsThePublishing(t *testing.T) {
	entered, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	r := startReceiver(t, &memoryLog{publish: func(ctx context.Context, _ []Fragment) error {
		entered <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return ctx.Err()
	}}, nil)
	client := grpcClient(t, r)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := client.Export(ctx, ptraceotlp.NewExportRequestFromTraces(shopTraces(10)))
		answered <- err
	}()
	<-entered
	cancel()
	require.Equal(t, codes.Canceled, status.Code(<-answered))
	<-ended
	require.Eventually(t, func() bool { return r.Stats().GRPC.Abandoned == 1 }, 5*time.Second, time.Millisecond)

	// A deadline that passes before the request has arrived shows nothing: allow more time then.
	for patience := 100 * time.Millisecond; ; patience *= 2 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := client.Export(ctx, ptraceotlp.NewExportRequestFromTraces(shopTraces(10)))
		cancel()
		require.Equal(t, codes.DeadlineExceeded, status.Code(err))
		select {
		case <-entered:
			<-ended
			return
		default:
		}
	}
}

func TestGRPCOtherSignalsAreToldWhereToTurnThemOff(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	conn := grpcConn(t, r)
	_, err := pmetricotlp.NewGRPCClient(conn).Export(context.Background(), pmetricotlp.NewExportRequest())
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.ErrorContains(t, err, "Thresher takes traces only; send metrics elsewhere (OTEL_EXPORTER_OTLP_METRICS_ENDPOINT) or turn them off (OTEL_METRICS_EXPORTER=none)")
	_, err = plogotlp.NewGRPCClient(conn).Export(context.Background(), plogotlp.NewExportRequest(), grpc.UseCompressor("gzip"))
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.ErrorContains(t, err, "OTEL_LOGS_EXPORTER=none")
	require.EqualValues(t, 2, r.Stats().GRPC.Unsupported)
}
