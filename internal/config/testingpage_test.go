package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"thresher/internal/policytest"
)

// The page about tests of policies: its files pass with the configuration that it shows, and it tells of every key that there is.
func TestTestingPage(t *testing.T) {
	dir := t.TempDir()
	load := func(text string) (*policytest.File, error) {
		path := filepath.Join(dir, "policies_test.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return policytest.Load(path, nil, policytest.Options{Getenv: func(string) (string, bool) { return "", false }})
	}
	sections := readPage(t, "../../docs/testing-policies.md")
	shown, ran := "", 0
	for _, s := range sections {
		for _, example := range s.examples("yaml") {
			if strings.HasPrefix(example, "sampling:") {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "thresher.yaml"), []byte(example), 0o600))
				continue
			}
			shown += example + "\n"
			file, err := load(example)
			require.NoError(t, err, "%s", example)
			for i := range file.Tests {
				outcome, err := file.Run(t.Context(), &file.Tests[i])
				require.NoError(t, err)
				assert.True(t, outcome.Passed(), "%s:\n%s", file.Tests[i].Name, outcome.Details())
				assert.Empty(t, outcome.Errors)
				ran++
			}
		}
	}
	assert.Greater(t, ran, 6)

	const begin = "policies: [{name: a, type: always_sample}]\ntests: [{name: t, "
	for heading, text := range map[string]string{
		"The file":              "zzzzzzzz: 1\n" + begin + "trace: [{name: x}], expect: {decision: kept}}]\n",
		"A test":                begin + "zzzzzzzz: 1, trace: [{name: x}], expect: {decision: kept}}]\n",
		"A trace among several": begin + "traces: [{zzzzzzzz: 1, spans: [{name: x}], expect: {decision: kept}}]}]\n",
		"A span":                begin + "trace: [{zzzzzzzz: 1}], expect: {decision: kept}}]\n",
		"An event":              begin + "trace: [{events: [{zzzzzzzz: 1}]}], expect: {decision: kept}}]\n",
		"What is expected":      begin + "trace: [{name: x}], expect: {zzzzzzzz: 1}}]\n",
	} {
		_, err := load(text)
		require.Error(t, err, heading)
		known := regexp.MustCompile(`unknown key; known here: (.*)`).FindStringSubmatch(err.Error())
		require.NotNil(t, known, "%v", err)
		keys := slices.Sorted(slices.Values(strings.Split(known[1], ", ")))
		assert.Equal(t, keys, slices.Sorted(slices.Values(rowsBelow(t, sections, heading))), heading)
		for _, key := range keys {
			if !slices.Contains([]string{"processor", "compat", "policies", "sampling"}, key) {
				assert.Contains(t, shown, key+":", "an example with %s", key)
			}
		}
	}
}

// rowsBelow returns the names in the first column of the table below a heading. That of events is the second below spans.
func rowsBelow(t *testing.T, sections []pageSection, heading string) []string {
	t.Helper()
	for _, s := range sections {
		spans, events, _ := strings.Cut(s.text, "| key of an event |")
		switch {
		case heading == "An event" && events != "":
			return pageSection{text: events}.rows()
		case s.heading == heading:
			return pageSection{text: spans}.rows()
		}
	}
	t.Fatalf("there is no section %q", heading)
	return nil
}
