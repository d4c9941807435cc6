package export

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDebug(t *testing.T) {
	for verbosity, wants := range map[string]struct{ has, hasNot []string }{
		"basic":    {[]string{"debug: 2 traces, 6 spans, "}, []string{"GET /0"}},
		"normal":   {[]string{"debug: 2 traces", `trace ab000000000000000000000000000001: kept by "errors", 3 spans`, `"GET /1" Unspecified 250ms Unset`}, []string{"http.route", "service.name"}},
		"detailed": {[]string{`http.route="/xxx`, `service.name="checkout"`, `scope "test"`, "start 2023-11-14T22:13:20Z"}, nil},
	} {
		t.Run(verbosity, func(t *testing.T) {
			l, out := newLedger(), &logBuffer{}
			d := start(t, map[string]any{"debug": map[string]any{"verbosity": verbosity, "max_batch_traces": 2, "batch_timeout": "1s"}}, l, func(o *Options) { o.Debug = out })
			d.Submit(items(t, 0, 2))
			l.waitAcks(t, 2)
			require.NoError(t, d.Shutdown(context.Background()))
			for _, want := range wants.has {
				require.Contains(t, out.String(), want)
			}
			for _, not := range wants.hasNot {
				require.NotContains(t, out.String(), not)
			}
		})
	}
}
