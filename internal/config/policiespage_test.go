package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"thresher/internal/config"
)

// load loads a configuration with the given list of policies.
func load(list string) error {
	text := "kafka: {brokers: [k:9092]}\nexporters: {debug: {}}\nsampling:\n  policies:\n    " + strings.ReplaceAll(list, "\n", "\n    ")
	_, err := config.Parse("page.yaml", []byte(text), func(string) (string, bool) { return "", false })
	return err
}

// The page about policies has a section for each type, with an example that loads and shows every field, and names all
// types that are refused.
func TestPoliciesPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/policies.md")
	require.NoError(t, err)
	page := string(data)
	var types []string
	for _, section := range regexp.MustCompile("(?m)^###? ").Split(page, -1) {
		heading := regexp.MustCompile("^`(.*)`\n").FindStringSubmatch(section)
		var examples string
		for _, example := range regexp.MustCompile("(?s)```yaml\n(.*?)\n```").FindAllStringSubmatch(section, -1) {
			require.NoError(t, load(example[1]), "%s", example[1])
			examples += example[1] + "\n"
		}
		if heading == nil {
			continue
		}
		types = append(types, heading[1])
		assert.Contains(t, examples, "type: "+heading[1])
		for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(section, -1) {
			for _, field := range regexp.MustCompile("`(.*?)`").FindAllStringSubmatch(row[1], -1) {
				assert.Contains(t, examples, field[1]+":", "an example of %s with all its fields", heading[1])
			}
		}
	}
	_, refused, _ := strings.Cut(page, "## Not supported yet")
	refused, _, _ = strings.Cut(refused, "\n## ")
	for _, name := range regexp.MustCompile("(?m)^- `(.*)`$").FindAllStringSubmatch(refused, -1) {
		types = append(types, name[1])
		require.ErrorContains(t, load("- {name: a, type: "+name[1]+"}"), name[1]+" is not supported yet")
	}
	known := regexp.MustCompile(`known are (.*) and (.*)`).FindStringSubmatch(load("- {name: a, type: zzzzzzzz}").Error())
	require.Len(t, known, 3)
	assert.Equal(t, append(strings.Split(known[1], ", "), known[2]), types, "the types that are known, in their order")
}
