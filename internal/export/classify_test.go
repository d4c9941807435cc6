package export

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Only what the backend says of the data itself may settle a trace that was not accepted.
func TestOnlyDataErrorsSettle(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		want := again
		if code == codes.InvalidArgument {
			want = refused
		}
		out := classifyGRPC(status.Error(code, "message"))
		require.Equal(t, want, out.verdict, code)
		require.NotEqual(t, kindNone, out.kind, code)
		require.ErrorContains(t, out.err, "message")
	}
	for code := 300; code < 600; code++ {
		want := again
		switch code {
		case 400, 422:
			want = refused
		case 413:
			want = tooLarge
		}
		out := classifyHTTP(code, http.Header{}, "message", time.Time{})
		require.Equal(t, want, out.verdict, code)
		require.NotEqual(t, kindNone, out.kind, code)
	}
	require.Equal(t, accepted, classifyGRPC(nil).verdict)
}

func TestSizeComplaints(t *testing.T) {
	for _, message := range []string{
		"grpc: received message larger than max (5000000 vs. 4194304)",
		"gRPC message exceeds maximum size 4194304: 5000000",
		"Received message larger than max (5000000 vs. 4194304)",
		"Error, message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
		"grpc: received message after decompression larger than max 4194304",
	} {
		require.Equal(t, tooLarge, classifyGRPC(status.Error(codes.ResourceExhausted, message)).verdict, message)
	}
	require.Equal(t, again, classifyGRPC(status.Error(codes.ResourceExhausted, "ingestion rate limit exceeded")).verdict)
}

func TestKindsOfErrors(t *testing.T) {
	header := http.Header{"Retry-After": {"3"}}
	for name, test := range map[string]struct {
		out  outcome
		want errorKind
	}{
		"grpc deadline":      {classifyGRPC(context.DeadlineExceeded), kindInternal},
		"grpc status":        {classifyGRPC(status.FromContextError(context.DeadlineExceeded).Err()), kindTimeout},
		"http 503":           {classifyHTTP(503, http.Header{}, "", time.Time{}), kindUnreachable},
		"http 503 with time": {classifyHTTP(503, header, "", time.Time{}), kindThrottled},
		"http 302":           {classifyHTTP(302, http.Header{}, "", time.Time{}), kindMisdirected},
		"http 507":           {classifyHTTP(507, http.Header{}, "", time.Time{}), kindInternal},
		"network":            {classifyNetwork(errors.New("refused")), kindUnreachable},
		"network timeout":    {classifyNetwork(fmt.Errorf("post: %w", context.DeadlineExceeded)), kindTimeout},
		"kafka size":         {classifyKafka(kerr.MessageTooLarge), kindTooLarge},
		"kafka record":       {classifyKafka(kerr.InvalidRecord), kindInvalid},
		"kafka topic":        {classifyKafka(kerr.UnknownTopicOrPartition), kindNotFound},
		"kafka acl":          {classifyKafka(kerr.TopicAuthorizationFailed), kindForbidden},
		"kafka login":        {classifyKafka(kerr.SaslAuthenticationFailed), kindUnauthenticated},
		"kafka time":         {classifyKafka(fmt.Errorf("%w, last err: x", kgo.ErrRecordTimeout)), kindTimeout},
		"kafka other":        {classifyKafka(kerr.NotEnoughReplicas), kindOther},
		"disk":               {classifyFile(errors.New("no space left")), kindIO},
		"disk permission":    {classifyFile(os.ErrPermission), kindForbidden},
	} {
		require.Equal(t, test.want, test.out.kind, name)
		if test.want.configuration() {
			require.NotEmpty(t, test.want.advice(), name)
		}
	}
	require.Len(t, ErrorKinds(), int(numKinds)-1)
}

func TestBrief(t *testing.T) {
	require.Equal(t, "a?b", brief(" a\xffb\n"))
	require.Len(t, brief(strings.Repeat("x", 10_000)), 503)
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0x0a, 0x04, 0x08, 0x02, 0x12, 0x00})
	f.Add([]byte{0xff})
	f.Fuzz(func(_ *testing.T, data []byte) {
		var a exportAnswer
		_ = a.parse(data)
		_ = statusMessage(data)
		_ = a.outcome()
	})
}
