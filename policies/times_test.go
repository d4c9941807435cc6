package policies

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInstantsAreThoseOfTheStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli()
	for range 20_000 {
		ms := r.Int64N(last)
		text := time.UnixMilli(ms).In(time.FixedZone("", (r.IntN(47)-23)*1800)).Format("2006-01-02T15:04:05.999Z07:00")
		got, ok := parseInstant(text)
		require.True(t, ok, text)
		require.Equal(t, ms, got, text)
		require.Equal(t, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00"), inUTC(ms)[:len(time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00"))-1]+"Z")
	}
	for _, text := range []string{"", "2026-03-29", "2026-03-29T14:00:00", "2026-02-29T14:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01 00:00:00Z", "2026-01-01T00:00:00+2", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "x026-01-01T00:00:00Z"} {
		_, ok := parseInstant(text)
		require.False(t, ok, text)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond,
		"0s": 0, "1h0m1s1ms": time.Hour + time.Second + time.Millisecond} {
		got, ok := parseDuration(text)
		require.True(t, ok, text)
		require.Equal(t, want.Milliseconds(), got, text)
		std, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, std)
	}
	for _, text := range []string{"", "10", "m", "-1s", "1.5s", "1d", "1us", "99999999999999999999h", "1000000h"} {
		_, ok := parseDuration(text)
		require.False(t, ok, text)
	}
	require.Equal(t, "1h30m", inWords(5_400_000))
	require.Equal(t, "0s", inWords(0))
}
