package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const judgedTests = `config: c.yaml
tests:
  - name: errors are kept
    trace: [{service: shop, name: POST /pay, status: ERROR}]
    expect: {decision: kept, policy: errors}
  - name: others are not
    trace: [{service: shop, name: GET /}]
    expect: {decision: dropped}
`

func TestTest(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p_test.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.yaml"), []byte(judged), 0o600))
	require.NoError(t, os.WriteFile(path, []byte(judgedTests), 0o600))

	r := thresher(t, parts{}, "", "test", path)
	assert.Equal(t, result{0, "2 passed, 0 failed\n", ""}, r)
	r = thresher(t, parts{}, "", "test", "-v", "--run", "^others", path)
	assert.Equal(t, result{0, "ok    " + path + ":6: others are not\n1 passed, 0 failed\n", ""}, r)
	r = thresher(t, parts{}, "", "test", "--run", "nothing", path)
	assert.Equal(t, result{1, "", "thresher: no test has a name that matches --run nothing\n"}, r)

	other := write(t, "sampling: {policies: [{name: errors, type: always_sample}]}\n")
	r = thresher(t, parts{}, "", "test", "-c", other, path)
	assert.Equal(t, 1, r.status)
	assert.Empty(t, r.stderr)
	assert.Contains(t, r.stdout, "FAIL  "+path+":6: others are not\n      decision: expected dropped, got kept\n")
	assert.Contains(t, r.stdout, "YES  errors (always_sample)")
	assert.True(t, strings.HasSuffix(r.stdout, "1 passed, 1 failed\n"))

	r = thresher(t, parts{}, strings.ReplaceAll(judgedTests, "config: c.yaml", "policies: [{name: errors, type: always_sample}]"), "test", "--output", "junit", "-", path)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stdout, `<testsuite name="&lt;stdin&gt;" tests="2" failures="1" errors="0">`)
	assert.Contains(t, r.stdout, `<testsuite name="`+path+`" tests="2" failures="0" errors="0">`)
	assert.NotContains(t, r.stdout, "passed")
}

// One bad file is told and does not hide the others.
func TestTestMistakes(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good_test.yaml"), filepath.Join(dir, "bad_test.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.yaml"), []byte(judged), 0o600))
	require.NoError(t, os.WriteFile(good, []byte(judgedTests), 0o600))
	require.NoError(t, os.WriteFile(bad, []byte("config: d.yaml\ntests: [{name: a, trase: [{name: x}], expect: {decision: kept}}]\n"), 0o600))
	r := thresher(t, parts{}, "", "test", bad, good)
	assert.Equal(t, 1, r.status)
	assert.Equal(t, "2 passed, 0 failed\n", r.stdout)
	assert.Equal(t, bad+`:2:19: tests[0].trase: unknown key; did you mean "trace"?`+"\n"+filepath.Join(dir, "d.yaml")+": there is no such file; check the path\n", r.stderr)
}

// The tests of a Collector's policies run where the policies are: in a ConfigMap, and one of several.
func TestTestInAConfigMap(t *testing.T) {
	path := write(t, judgedTests)
	rendered := write(t, `kind: ConfigMap
data:
  relay: |
    processors:
      tail_sampling: {policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]}
---
kind: ConfigMap
data:
  relay: |
    processors:
      tail_sampling: {policies: [{name: errors, type: always_sample}]}
`)
	r := thresher(t, parts{}, "", "test", "-c", rendered, path)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stderr, rendered+":5:7: there are 2 places with policies; choose one by its name or line, as in --processor 5")
	r = thresher(t, parts{}, "", "test", "-c", rendered, "--processor", "5", path)
	assert.Equal(t, result{0, "2 passed, 0 failed\n", ""}, r)
	r = thresher(t, parts{}, "", "test", "-c", rendered, "--processor", "11", path)
	assert.True(t, strings.HasSuffix(r.stdout, "1 passed, 1 failed\n"), r.stdout)
}
