package policies

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

func TestDoubts(t *testing.T) {
	datadriven.RunTest(t, "testdata/doubts", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		for _, w := range parseWith(t, d.Input, Options{Conditions: noConditions{}}, nil).Doubts() {
			fmt.Fprintln(&b, w)
		}
		return b.String()
	})
}

// What is to be written in place of a glob finds what the glob would.
func TestGlobExpression(t *testing.T) {
	for _, c := range []struct {
		glob    string
		in, out []string
	}{
		{"/api/*", []string{"/api/", "/api/x/y"}, []string{"/ap", "x/api/"}},
		{"*.css", []string{".css", "a.css"}, []string{"a.css?", "acss"}},
		{"/a/*/b", []string{"/a/x/b", "/a//b"}, []string{"/a/b", "/a/x/b/c"}},
		{"*pay*", []string{"pay", "/pay/1"}, []string{"/p"}},
		{"*", []string{"", "x"}, nil},
	} {
		x := regexp.MustCompile(globExpression(c.glob))
		for _, text := range c.in {
			require.True(t, x.MatchString(text), "%s: %s", c.glob, text)
		}
		for _, text := range c.out {
			require.False(t, x.MatchString(text), "%s: %s", c.glob, text)
		}
	}
}
