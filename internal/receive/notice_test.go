package receive

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTroubleIsLoggedOnceNotPerRequest(t *testing.T) {
	var lines syncBuffer
	r := startReceiver(t, &memoryLog{}, func(_ *Config, s *Settings) { s.Logger = slog.New(slog.NewTextHandler(&lines, nil)) })
	c := httpClient(t)
	for range 50 {
		require.Equal(t, http.StatusBadRequest, post(t, c, r, []byte{0x0a}, contentType, typeProto).status)
	}
	require.Equal(t, 1, strings.Count(lines.String(), "cannot be read"), lines.String())
	require.EqualValues(t, 49, r.rejects.suppressed.Load())
	require.Contains(t, lines.String(), "receiver=otlp")
}

func TestCollectorsLibrariesLogThroughSlog(t *testing.T) {
	var lines syncBuffer
	startReceiver(t, &memoryLog{}, func(c *Config, s *Settings) {
		s.Logger = slog.New(slog.NewTextHandler(&lines, nil))
		decoded, err := decode(t, "protocols: {http: {endpoint: \"127.0.0.1:0\", cors: {allowed_headers: [X-Token]}}}")
		require.NoError(t, err)
		c.Protocols.HTTP = decoded.Protocols.HTTP
	})
	require.Contains(t, lines.String(), "level=WARN")
	require.Contains(t, lines.String(), "no allowed origins")
}
