package suggest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNearest(t *testing.T) {
	known := []string{"sasl", "spans", "brokers", "max_in_flight", "endpoint", "username", "decision_wait", "decision_wait_after_root_received"}
	for key, want := range map[string]string{
		"borkers":                  "brokers",       // neighbours swapped
		"broker":                   "brokers",       // one missing
		"Brokers":                  "brokers",       // case
		"maxInFlight":              "max_in_flight", // another way to separate words
		"max-in-flight":            "max_in_flight",
		"s_p_a_n_s":                "spans",
		"inflight":                 "max_in_flight", // as many missing as may be
		"user":                     "username",      // a word missing
		"endpoint_url":             "endpoint",      // a word too many
		"decision_wait_after_root": "decision_wait_after_root_received",
		"pals":                     "sasl", // as near as spans; the first in the alphabet, always
		"zebra":                    "",
		"":                         "",
		"us":                       "",
	} {
		assert.Equal(t, want, Nearest(key, known), "%q", key)
		reversed := make([]string, 0, len(known))
		for i := range known {
			reversed = append(reversed, known[len(known)-1-i])
		}
		assert.Equal(t, want, Nearest(key, reversed), "%q", key)
	}
}

func TestNearestIsNotFarFetched(t *testing.T) {
	for word, known := range map[string]string{
		"max":                            "max_in_flight", // too short to be a missing word
		"keyed":                          "key",           // too short for one too many
		"x":                              "y",             // nothing of the word would be left
		"endpiont_url":                   "endpoint",      // a slip and a word too many
		strings.Repeat("spans", 100_000): "brokers",       // far too long
	} {
		assert.Empty(t, Nearest(word, []string{known}), "%.20q", word)
	}
	assert.Empty(t, Nearest("spans", nil))
	assert.Equal(t, "spans", Nearest(strings.Repeat("spans", 100_000), []string{"span", "spans"}), "the longest beginning")
}

func TestDidYouMean(t *testing.T) {
	assert.Equal(t, `; did you mean "brokers"?`, DidYouMean("borkers", []string{"group", "brokers"}))
	assert.Equal(t, `; did you mean "debug/\"a\""?`, DidYouMean(`debug/"b"`, []string{`debug/"a"`}), "names of users may have quotes")
	assert.Empty(t, DidYouMean("zebra", []string{"group", "brokers"}))
}

func TestEdits(t *testing.T) {
	assert.Equal(t, 0, edits("ab", "ab"))
	assert.Equal(t, 1, edits("ab", "ba"))
	assert.Equal(t, 3, edits("kitten", "sitting"))
	assert.Equal(t, 2, edits("", "ab"))
}
