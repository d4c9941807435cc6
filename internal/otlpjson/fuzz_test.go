package otlpjson

import (
	"bytes"
	"encoding/json"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// FuzzSameAsPdata holds any body against what pdata makes of it.
func FuzzSameAsPdata(f *testing.F) {
	for _, body := range sameAsPdata {
		f.Add([]byte(body))
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(everything()).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		// What doc.go says is different: the deprecated field is unknown, empty names end nothing, text is UTF-8.
		if bytes.Contains(body, []byte("eprecated")) || bytes.Contains(body, []byte(`""`)) || bytes.Contains(body, []byte(`\u`)) ||
			json.Valid(body) && !bytes.Equal(body, bytes.ToValidUTF8(body, nil)) {
			_, _ = appendBytes(nil, body)
			return
		}
		same(t, body)
	})
}
