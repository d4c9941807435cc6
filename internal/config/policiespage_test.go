package config_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"thresher/internal/config"
	"thresher/internal/policytest"
)

const (
	otherSections = "kafka: {brokers: [k:9092]}\nexporters: {debug: {}}\n"
	samplingList  = otherSections + "sampling:\n  policies:\n    "
)

func parse(text string) (*config.Config, error) {
	return config.Parse("page.yaml", []byte(text), func(string) (string, bool) { return "", false })
}

// loadList loads a configuration with the given list of policies.
func loadList(list string) (*config.Config, error) {
	return parse(samplingList + strings.ReplaceAll(list, "\n", "\n    "))
}

// loadExample loads an example of a page: a list of policies, a section sampling, or a configuration.
func loadExample(text string) (*config.Config, error) {
	switch {
	case strings.HasPrefix(text, "- "):
		return loadList(text)
	case strings.HasPrefix(text, "sampling:"):
		return parse(otherSections + text)
	}
	return parse(text)
}

// A pageSection is what stands below a heading.
type pageSection struct{ heading, text string }

func readPage(t *testing.T, path string) (sections []pageSection) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, s := range regexp.MustCompile("(?m)^##+ ").Split(string(data), -1) {
		heading, text, _ := strings.Cut(s, "\n")
		sections = append(sections, pageSection{heading, text})
	}
	return sections
}

// examples returns the blocks of a language.
func (s pageSection) examples(language string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)\n```").FindAllStringSubmatch(s.text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// rows returns the names in the first column of tables.
func (s pageSection) rows() (names []string) {
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(s.text, -1) {
		for _, name := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(row[1], -1) {
			names = append(names, name[1])
		}
	}
	return names
}

// known asks what keys there are where an unknown one is.
func known(t *testing.T, text string) []string {
	t.Helper()
	_, err := parse(text)
	require.Error(t, err)
	m := regexp.MustCompile(`(?m)unknown key; known here(?: are|:) (.*)$`).FindStringSubmatch(err.Error())
	require.NotNil(t, m, "%v", err)
	return slices.Sorted(slices.Values(regexp.MustCompile(`, | and `).Split(m[1], -1)))
}

// The page about policies has a section for each type, with an example that loads and shows every field, and a row for each
// field and for each key of the section sampling.
func TestPoliciesPage(t *testing.T) {
	var types []string
	for _, s := range readPage(t, "../../docs/policies.md") {
		for _, example := range s.examples("yaml") {
			cfg, err := loadExample(example)
			require.NoError(t, err, "%s", example)
			assert.Empty(t, cfg.Warnings, "%s", example)
		}
		if s.heading == "The section `sampling`" {
			assert.Equal(t, known(t, otherSections+"sampling: {zzzzzzzz: 1}"), slices.Sorted(slices.Values(s.rows())))
		}
		heading := regexp.MustCompile("^`(.*)`$").FindStringSubmatch(s.heading)
		if heading == nil {
			continue
		}
		name, examples := heading[1], strings.Join(s.examples("yaml"), "\n")
		types = append(types, name)
		assert.Contains(t, examples, "type: "+name)
		for _, field := range fieldsOf(t, s) {
			assert.Contains(t, examples, field+":", "an example of %s with all its fields", name)
		}
	}
	_, err := loadList("- {name: a, type: zzzzzzzz}")
	list := regexp.MustCompile(`known are (.*) and (.*)`).FindStringSubmatch(err.Error())
	require.Len(t, list, 3)
	assert.Equal(t, append(strings.Split(list[1], ", "), list[2]), types, "the types that are known, in their order")
}

// fieldsOf returns the fields that a type has, and checks that the section about it has a row for each.
func fieldsOf(t *testing.T, s pageSection) []string {
	name := strings.Trim(s.heading, "`")
	if strings.Contains(s.text, "has no fields") {
		_, err := loadList(fmt.Sprintf("- {name: a, type: %s, %s: {}}", name, name))
		require.ErrorContains(t, err, "has no block")
		return nil
	}
	fields := known(t, samplingList+fmt.Sprintf("- {name: a, type: %s, %s: {zzzzzzzz: 1}}", name, name))
	var rows []string
	for _, row := range regexp.MustCompile("(?s)\\| field \\| \\|\n(.*?)\n\n").FindAllString(s.text, -1) {
		rows = append(rows, regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllString(row, -1)...)
	}
	var names []string
	for _, field := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(strings.Join(rows, " "), -1) {
		names = append(names, field[1])
	}
	assert.Equal(t, fields, slices.Sorted(slices.Values(names)), "the fields of %s", name)
	return fields
}

// The numbers of diversity that the page tells are those of the policy.
func TestDiversityTable(t *testing.T) {
	data, err := os.ReadFile("../../docs/policies.md")
	require.NoError(t, err)
	row := regexp.MustCompile(`(?m)^\| (\d+) \| (\d+) \| up to 16 × (\d+) \| up to 64 × (\d+) \|$`)
	rows := row.FindAllStringSubmatch(string(data), -1)
	require.Len(t, rows, 4)
	for _, row := range rows {
		for i, partitions := range []int{1, 16, 64} {
			text := strings.Replace(samplingList, "[k:9092]", fmt.Sprintf("[k:9092], spans: {partitions: %d}", partitions), 1)
			cfg, err := parse(text + "- {name: a, type: diversity, diversity: {fingerprint: shape, traces: " + row[1] + "}}")
			require.NoError(t, err)
			first := "first " + row[1] + " traces of"
			if row[1] == "1" {
				first = "first trace of"
			}
			assert.Contains(t, cfg.Plan.Policies()[0].Text, first)
			assert.Contains(t, cfg.Plan.Policies()[0].Text, fmt.Sprintf("(%s in a partition)", row[2+i]))
		}
	}
}

// The migration page: what it says to write loads without a warning and does what its tests say, what it shows of a Collector is
// accepted as it is pasted, the metrics that it names are there, and what Refinery has is spoken of.
func TestMigrationPage(t *testing.T) {
	text, theirs, ours := "", 0, 0
	for _, s := range readPage(t, "../../docs/migration.md") {
		text += s.text
		last := ""
		for _, example := range s.examples("yaml") {
			ours++
			if tests, isTest := strings.CutPrefix(example, "config: thresher.yaml\n"); isTest {
				runTests(t, "policies:\n  "+strings.ReplaceAll(last, "\n", "\n  ")+"\n"+tests)
				continue
			}
			last = example
			cfg, err := loadExample(example)
			require.NoError(t, err, "%s", example)
			assert.Empty(t, cfg.Warnings, "%s", example)
		}
		for _, example := range s.examples("yml") {
			if strings.HasPrefix(example, "processors:") {
				theirs++
				_, err := config.ParsePolicies("collector.yaml", []byte(example), config.PoliciesFrom{Compat: "strict"})
				require.NoError(t, err, "%s", example)
			}
		}
		if s.heading == "Conditions" {
			ottl := regexp.MustCompile("`((?:not )?[A-Za-z]*\\(?(?:attributes\\[|IsRootSpan)[^`]*)`")
			expressions := ottl.FindAllStringSubmatch(s.text, -1)
			require.Greater(t, len(expressions), 15)
			for _, x := range expressions {
				_, err := loadList("- {name: a, type: ottl_condition, ottl_condition: {span: ['" + x[1] + "']}}")
				require.NoError(t, err, x[1])
			}
		}
	}
	assert.GreaterOrEqual(t, ours, 9)
	assert.GreaterOrEqual(t, theirs, 1)
	metrics, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	named := map[string]bool{}
	for _, name := range regexp.MustCompile(`thresher_[a-z_]+`).FindAllString(text, -1) {
		named[name] = true
	}
	for name := range maps.Keys(named) {
		assert.Contains(t, string(metrics), "`"+name+"`")
	}
	for _, word := range strings.Fields(`DeterministicSampler DynamicSampler EMADynamicSampler EMAThroughputSampler TotalThroughputSampler
		WindowedThroughputSampler RulesBasedSampler starts-with contains does-not-contain exists not-exists has-root-span matches in not-in
		NUM_DESCENDANTS CheckNestedFields Scope root. Fields Datatype Drop TraceTimeout SendDelay SpanLimit DryRun`) {
		assert.Contains(t, text, word)
	}
}

// runTests runs tests of policies that a page shows.
func runTests(t *testing.T, text string) {
	unset := func(string) (string, bool) { return "", false }
	file, err := policytest.Load("-", strings.NewReader(text), policytest.Options{Getenv: unset})
	require.NoError(t, err)
	require.NotEmpty(t, file.Tests)
	for i := range file.Tests {
		outcome, err := file.Run(t.Context(), &file.Tests[i])
		require.NoError(t, err)
		assert.True(t, outcome.Passed(), "%s: %v", file.Tests[i].Name, outcome.Failures)
	}
}
