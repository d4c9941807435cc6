package policytest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"thresher/internal/evaluate"
)

// WriteText writes a test that has failed: what was expected, what came, and why.
func (o *Outcome) WriteText(out io.Writer, file string) error {
	_, err := fmt.Fprintf(out, "FAIL  %s:%d: %s\n%s", file, o.Test.Line, o.Test.Name, indent(o.Details(), "      "))
	return err
}

// Details says of each trace that was not as expected what differs, and what each condition said.
func (o *Outcome) Details() string {
	var b strings.Builder
	for i, f := range o.Failures {
		if i > 0 {
			b.WriteString("\n")
		}
		for _, line := range f.Differences {
			b.WriteString(line + "\n")
		}
		if f.Result != nil {
			fmt.Fprintf(&b, "trace %x: %s\n", f.Result.TraceID, evaluate.Headline(f.Result))
			_ = evaluate.WriteWhy(&b, f.Result.Why, "  ") // to memory
		}
	}
	return b.String()
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			b.WriteString(by)
		}
		b.WriteString(line)
	}
	return b.String()
}

// JUnit is a report that systems for continuous integration show.
type JUnit struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Error   *junitFailure `xml:"error,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// Add adds the tests of a file.
func (j *JUnit) Add(file string, outcomes []Outcome) {
	s := junitSuite{Name: file, Tests: len(outcomes)}
	for i := range outcomes {
		o := &outcomes[i]
		c := junitCase{Name: o.Test.Name, Class: file, File: file, Line: o.Test.Line}
		if !o.Passed() {
			s.Failures++
			c.Failure = &junitFailure{Message: o.Failures[0].Differences[0], Text: o.Details()}
		}
		s.Cases = append(s.Cases, c)
	}
	j.Suites = append(j.Suites, s)
}

// AddMistakes adds a file that cannot be run.
func (j *JUnit) AddMistakes(file string, err error) {
	c := junitCase{Name: "the file", Class: file, File: file, Error: &junitFailure{Message: "has mistakes", Text: err.Error()}}
	j.Suites = append(j.Suites, junitSuite{Name: file, Tests: 1, Errors: 1, Cases: []junitCase{c}})
}

// Write writes the report.
func (j *JUnit) Write(out io.Writer) error {
	text, err := xml.MarshalIndent(j, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(out, "%s%s\n", xml.Header, text)
	}
	return err
}
