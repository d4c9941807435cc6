package receive

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// Each kind of other signal is logged once, however often and over whichever protocol it comes.
func TestOtherSignalsAreLoggedOnce(t *testing.T) {
	var said syncBuffer
	r := startReceiver(t, &memoryLog{}, func(_ *Config, s *Settings) { s.Logger = slog.New(slog.NewTextHandler(&said, nil)) })
	c, base, conn := httpClient(t), "http://"+r.HTTPAddr().String(), grpcConn(t, r)
	for range 3 {
		do(t, c, http.MethodPost, base+"/v1/metrics", nil, contentType, typeProto)
		_, err := pmetricotlp.NewGRPCClient(conn).Export(context.Background(), pmetricotlp.NewExportRequest())
		require.ErrorContains(t, err, "OTEL_METRICS_EXPORTER=none")
		_, err = plogotlp.NewGRPCClient(conn).Export(context.Background(), plogotlp.NewExportRequest())
		require.ErrorContains(t, err, "OTEL_LOGS_EXPORTER=none")
		do(t, c, http.MethodPost, base+"/v1/logs", nil, contentType, typeJSON)
	}
	require.Equal(t, 1, strings.Count(said.String(), "signal=metrics"))
	require.Equal(t, 1, strings.Count(said.String(), "signal=logs"))
	require.Contains(t, said.String(), "OTEL_METRICS_EXPORTER=none")
	require.Contains(t, said.String(), "first_client=127.0.0.1:")
}

// Nothing is accepted silently that was not understood.
func TestJSONThatStoresNothingSaysWhy(t *testing.T) {
	const spans = `[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"n"}]}]}]`
	for name, c := range map[string]struct {
		body   string
		stored int
		note   []string // nil: nothing to say
	}{
		"snake_case": {strings.NewReplacer("resourceSpans", "resource_spans", "scopeSpans", "scope_spans", "traceId", "trace_id",
			"spanId", "span_id").Replace(`{"resourceSpans":` + spans + `}`), 1, nil},
		"unknown fields beside spans": {`{"resourceSpans":` + spans + `,"new":1}`, 1, nil},
		"empty":                       {`{}`, 0, nil},
		"no spans":                    {`{"resourceSpans":[{"scopeSpans":[]}]}`, 0, nil},
		"another case":                {`{"ResourceSpans":` + spans + `}`, 0, []string{"unknown: /ResourceSpans", `{"resourceSpans":[`}},
		"in an envelope":              {`{"data":{"resourceSpans":` + spans + `}}`, 0, []string{"unknown: /data"}},
		"another case below":          {`{"resourceSpans":[{"scope-spans":[{}]}]}`, 0, []string{"unknown: /resourceSpans/0/scope-spans"}},
		"metrics":                     {`{"resourceMetrics":[{}]}`, 0, []string{"unknown: /resourceMetrics"}},
	} {
		t.Run(name, func(t *testing.T) {
			log := &memoryLog{}
			r := startReceiver(t, log, nil)
			got := post(t, httpClient(t), r, []byte(c.body), contentType, typeJSON)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, c.stored, log.spans)
			resp := ptraceotlp.NewExportResponse()
			require.NoError(t, resp.UnmarshalJSON(got.body))
			require.Zero(t, resp.PartialSuccess().RejectedSpans())
			if c.note == nil {
				require.Equal(t, "{}", string(got.body))
			}
			for _, want := range c.note {
				require.Contains(t, resp.PartialSuccess().ErrorMessage(), want)
			}
		})
	}
}

func TestJSONIDsThatAreTooShort(t *testing.T) {
	r := startReceiver(t, &memoryLog{}, nil)
	got := post(t, httpClient(t), r, []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"b1f5e7","spanId":"eee19b7ec3c1b174"}]}]}]}`), contentType, typeJSON)
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, statusOf(t, got).Message,
		`/resourceSpans/0/scopeSpans/0/spans/0/traceId: "b1f5e7" is no trace ID: write 32 hexadecimal digits, and leading zeros too`)
}
