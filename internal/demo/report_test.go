package demo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"thresher/policies"
)

var balanced = Report{
	ReceivedSpans: 57_212, KeptSpans: 4_102, DroppedSpans: 50_000, LateKeptSpans: 10, LateDroppedSpans: 3_000,
	DuplicateSpans: 75, RejectedSpans: 5, InFlightSpans: 20, KeptTraces: 241, DroppedTraces: 4_670,
	Policies: map[string]PolicyTotal{"errors": {241, 4_102}}, BytesIn: 33_100_000, BytesOut: 2_400_000, Seconds: 20.04,
}

func TestReportJSON(t *testing.T) {
	got, err := json.Marshal(balanced)
	require.NoError(t, err)
	require.JSONEq(t, `{"received_spans":57212,"kept_spans":4102,"dropped_spans":50000,"late_kept_spans":10,
		"late_dropped_spans":3000,"duplicate_spans":75,"rejected_spans":5,"in_flight_spans":20,"kept_traces":241,
		"dropped_traces":4670,"policies":{"errors":{"traces":241,"spans":4102}},"bytes_in":33100000,
		"bytes_out":2400000,"seconds":20.04}`, string(got))
}

func TestEveryOutcomeIsInTheBalance(t *testing.T) {
	require.True(t, balanced.Balanced())
	require.True(t, (&Report{}).Balanced())
	outcomes := 0
	v := reflect.ValueOf(balanced)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if len(name) < 5 || name[len(name)-5:] != "Spans" {
			continue
		}
		outcomes++
		r := balanced
		f := reflect.ValueOf(&r).Elem().Field(i)
		f.SetUint(f.Uint() + 1)
		require.False(t, r.Balanced(), name)
	}
	require.Equal(t, 8, outcomes)
}

func TestSummary(t *testing.T) {
	require.Equal(t, `In 20.0 s: 57,212 spans received, 4,911 traces decided.
Kept 241 traces (4.9 %) with 4,112 spans, whole; dropped 4,670 traces.
The backend got 2.4 MB of 33.1 MB: 92.7 % less to store and to pay for.
Every span has one outcome: 57,212 received
  = 4,102 kept + 50,000 dropped + 10 late kept + 3,000 late dropped
    + 75 duplicate + 5 rejected + 20 in flight.
`, balanced.Summary())
	for _, scale := range []uint64{1, 1e3, 1e6, 1e7} {
		large := Report{Policies: map[string]PolicyTotal{}, Seconds: 86_400 * 30}
		for v, i := reflect.ValueOf(&large).Elem(), 0; i < v.NumField(); i++ {
			if f := v.Field(i); f.Kind() == reflect.Uint64 {
				f.SetUint(9_999 * scale)
			}
		}
		for line := range strings.Lines(large.Summary()) {
			require.LessOrEqual(t, len(line), 80, "with the newline: %q", line)
		}
	}

	lost := Report{ReceivedSpans: 3, KeptSpans: 1, KeptTraces: 1}
	require.Contains(t, lost.Summary(), "The ledger of spans: 3 received\n  = 1 kept + 0 dropped.\nTHE LEDGER DOES NOT BALANCE: 2 spans without an outcome.\n")
	twice := Report{ReceivedSpans: 1, KeptSpans: 2}
	require.Contains(t, twice.Summary(), "THE LEDGER DOES NOT BALANCE: 1 span counted more than once.\n")
}

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 12_345_678: "12,345,678"} {
		require.Equal(t, want, count(n))
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB", 123_400_000: "123 MB", 2_500_000_000: "2.5 GB"} {
		require.Equal(t, want, size(n))
	}
	for v, want := range map[float64]string{0: "0.0 %", 0.0001: "< 0.1 %", 0.5: "50.0 %", 0.9999: "> 99.9 %", 1: "100.0 %"} {
		require.Equal(t, want, share(v))
	}
	for d, want := range map[time.Duration]string{
		0: "0 us", 994 * time.Microsecond: "994 us", 995 * time.Microsecond: "1.0 ms", 9949 * time.Microsecond: "9.9 ms",
		312 * time.Millisecond: "312 ms", 1240 * time.Millisecond: "1.24 s", 20 * time.Minute: "20.0 m", 1 << 62: "9999 h", -1: "?",
	} {
		require.Equal(t, want, duration(d))
	}
	for d, want := range map[time.Duration]string{0: "0:00", 61 * time.Second: "1:01", 3725 * time.Second: "1:02:05"} {
		require.Equal(t, want, clock(d))
	}
}

func TestSampling(t *testing.T) {
	var doc struct {
		Policies yaml.Node `yaml:"policies"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(Sampling), &doc))
	_, err := policies.Parse(&doc.Policies, policies.Options{})
	require.NoError(t, err)
}
