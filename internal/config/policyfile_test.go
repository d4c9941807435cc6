package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPolicies runs the files in testdata/policyfile: `load [processor=NAME] [compat=MODE]` reads the policies of a
// configuration with VALUE=10 in the environment and nothing else.
func TestPolicies(t *testing.T) {
	datadriven.Walk(t, "testdata/policyfile", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, cmd *datadriven.TestData) string {
			from := PoliciesFrom{Getenv: given(map[string]string{"VALUE": "10"})}
			cmd.MaybeScanArgs(t, "processor", &from.Processor)
			cmd.MaybeScanArgs(t, "compat", &from.Compat)
			p, err := ParsePolicies("t.yaml", []byte(cmd.Input), from)
			if err != nil {
				var problems *Problems
				if !errors.As(err, &problems) || p != nil {
					t.Fatalf("want no policies and *Problems, got %v and %T", p, err)
				}
				return err.Error()
			}
			var b strings.Builder
			fmt.Fprintf(&b, "processor=%q wait=%v policies=%s\n", p.Processor, p.Sampling.DecisionWait, strings.Join(p.Plan.Names(), ","))
			if p.Sampling.Strict {
				b.WriteString("strict\n")
			}
			for _, w := range p.Warnings {
				fmt.Fprintf(&b, "warning: %s\n", w)
			}
			return strings.TrimSuffix(b.String(), "\n")
		})
	})
}

func TestLoadPolicies(t *testing.T) {
	from := PoliciesFrom{Getenv: unset}
	p, err := LoadPolicies("../../deploy/thresher.yaml", nil, from)
	require.NoError(t, err)
	whole, err := Load("../../deploy/thresher.yaml", unset)
	require.NoError(t, err)
	assert.Equal(t, whole.Sampling, p.Sampling)
	assert.Equal(t, whole.Plan.Names(), p.Plan.Names())

	p, err = LoadPolicies("-", strings.NewReader(rest["sampling"]), from)
	require.NoError(t, err)
	assert.Equal(t, "<stdin>", p.File)

	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "absent.yaml"): "absent.yaml: there is no such file; check the path",
		dir:                               "is a directory; name the YAML file in it",
	} {
		_, err := LoadPolicies(path, nil, from)
		require.ErrorContains(t, err, want)
	}
	large := filepath.Join(dir, "large.yaml")
	require.NoError(t, os.WriteFile(large, []byte(strings.Repeat("# x\n", largestFile/4+1)), 0o600))
	_, err = LoadPolicies(large, nil, from)
	require.ErrorContains(t, err, "large.yaml: has 16777220 bytes; a configuration has at most 16777216")
	_, err = LoadDocument(large, nil, unset, "a list of tests")
	require.ErrorContains(t, err, "large.yaml: has 16777220 bytes; a list of tests has at most 16777216")
}

func TestDocument(t *testing.T) {
	for text, want := range map[string]string{
		"":          "t.yaml: is empty, and a list of tests is wanted",
		"# nothing": "t.yaml: is empty, and a list of tests is wanted",
		"- a":       "t.yaml:1:1: is a list, and a list of tests is wanted",
		"\n  five":  `t.yaml:2:3: is the text "five", and a list of tests is wanted`,
		"a: [":      "t.yaml:1: is not YAML: ",
	} {
		_, err := ParseDocument("t.yaml", []byte(text), unset, "a list of tests")
		require.ErrorContains(t, err, want, "%q", text)
	}

	d, err := ParseDocument("t.yaml", []byte("x: &x {policies: [{name: a, type: always_sampl}]}\ny: {<<: *x, decision_wait: 0s}\nz: ${env:UNSET}\n"), unset, "a test")
	require.NoError(t, err)
	_, z := get(d.Top(), "z")
	assert.True(t, d.Broken(z))
	key, y := get(d.Top(), "y")
	assert.Nil(t, d.Policies(key, y, "y", ""))
	d.Report(key, "y", "and %d", 7)
	assert.EqualError(t, d.Err(), strings.Join([]string{
		`t.yaml:1:35: y.policies[0].type: unknown policy type "always_sampl"; did you mean "always_sample"?`,
		`t.yaml:2:1: y: and 7`,
		`t.yaml:2:28: y.decision_wait: 0s is not positive; write how long a trace waits for its spans, such as 30s`,
		`t.yaml:3:4: z: the environment variable UNSET is not set; set it, or give a default: ${env:UNSET:-value}`,
	}, "\n"))

	d, err = ParseDocument("t.yaml", []byte("s: {policies: [{name: a, type: always_sample}, {name: \"${env:UNSET}\", type: always_sample}]}\n"), unset, "a test")
	require.NoError(t, err)
	key, s := get(d.Top(), "s")
	d.Policies(key, s, "s", "")
	assert.ErrorContains(t, d.Err(), "t.yaml:1:55: s.policies[1].name: the environment variable UNSET is not set")
}
