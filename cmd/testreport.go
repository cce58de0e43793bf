package cmd

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/aftermath-rules/aftermath/internal/ruletest"
)

func (r *testReport) print(w io.Writer, format string) error {
	switch format {
	case "json":
		return r.json(w)
	case "junit":
		return r.junit(w)
	}
	return r.text(w)
}

// text prints what failed, and a summary.
func (r *testReport) text(w io.Writer) error {
	var b strings.Builder
	p := painter(w)
	for _, problem := range r.problems {
		fmt.Fprintln(&b, visible(problem.String()))
	}
	for i := range r.results {
		if res := &r.results[i]; !res.Passed {
			fmt.Fprintf(&b, "%s: %s: %s\n", place(res.Test), p.bold(visible(res.Test.Name)), p.bad(visible(res.Why)))
			writeRows(&b, p, res)
		}
	}
	if len(r.results) > 0 {
		failed := r.failed()
		fmt.Fprintf(&b, "%s: %d passed, %d failed", plural(len(r.results), "test"), len(r.results)-failed, failed)
		if r.skipped > 0 {
			fmt.Fprintf(&b, ", %d left out", r.skipped)
		}
		if len(r.problems) > 0 {
			fmt.Fprintf(&b, "; %s above keep tests from being run", plural(len(r.problems), "error"))
		}
		fmt.Fprintf(&b, "\n%s: %d matched by a test", plural(r.rules, "rule"), r.rules-len(r.untested))
		if len(r.untested) > 0 {
			fmt.Fprintf(&b, ", %d by none: %s", len(r.untested), some(r.untested))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// some names a few of many.
func some(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func place(t *ruletest.Test) string {
	return fmt.Sprintf("%s:%d:%d", visible(t.File), t.Line, t.Column)
}

// writeRows writes expected and got side by side, each difference marked, and what explains it.
func writeRows(b *strings.Builder, p paint, res *ruletest.Result) {
	const widest = 60
	width := len("expected")
	rows := make([]ruletest.Row, len(res.Rows))
	for i, row := range res.Rows {
		rows[i] = ruletest.Row{Expected: visible(row.Expected), Got: visible(row.Got), Same: row.Same}
		if n := uniseg.StringWidth(rows[i].Expected); n <= widest {
			width = max(width, n)
		}
	}
	if len(rows) > 0 {
		fmt.Fprintf(b, "      %s  %s\n", p.faint(padded("expected", width)), p.faint("got"))
	}
	for _, row := range rows {
		mark, left, right := "  ", padded(dash(row.Expected), width), dash(row.Got)
		if !row.Same {
			mark, left, right = p.bad("! "), p.good(left), p.bad(right)
		}
		fmt.Fprintf(b, "    %s%s  %s\n", mark, left, right)
	}
	for _, note := range res.Notes {
		fmt.Fprintf(b, "    note: %s\n", visible(note))
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (r *testReport) json(w io.Writer) error {
	type row struct {
		Expected string `json:"expected"`
		Got      string `json:"got"`
		Same     bool   `json:"same"`
	}
	type test struct {
		File   string   `json:"file"`
		Line   int      `json:"line"`
		Column int      `json:"column"`
		Name   string   `json:"name"`
		Passed bool     `json:"passed"`
		Why    string   `json:"why,omitempty"`
		Rows   []row    `json:"rows,omitempty"`
		Notes  []string `json:"notes,omitempty"`
	}
	type problem struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		Message string `json:"message"`
	}
	out := struct {
		Tests    []test    `json:"tests"`
		Errors   []problem `json:"errors"`
		Passed   int       `json:"passed"`
		Failed   int       `json:"failed"`
		LeftOut  int       `json:"left_out"`
		Rules    int       `json:"rules"`
		Untested []string  `json:"untested"`
	}{[]test{}, []problem{}, len(r.results) - r.failed(), r.failed(), r.skipped, r.rules, append([]string{}, r.untested...)}
	for _, p := range r.problems {
		out.Errors = append(out.Errors, problem{p.File, max(p.Line, 1), max(p.Column, 1), p.Message})
	}
	for _, res := range r.results {
		t := test{File: res.Test.File, Line: res.Test.Line, Column: res.Test.Column, Name: res.Test.Name, Passed: res.Passed, Why: res.Why, Notes: res.Notes}
		for _, x := range res.Rows {
			t.Rows = append(t.Rows, row(x))
		}
		out.Tests = append(out.Tests, t)
	}
	return writeJSON(w, out)
}

// junitCase and the others are the parts of JUnit's report that CI systems read.
type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Time    seconds       `xml:"time,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Error   *junitMessage `xml:"error,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",cdata"`
}

// seconds are written as JUnit does.
type seconds time.Duration

func (s seconds) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Seconds(), 'f', 6, 64), nil
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     seconds     `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitSuites struct {
	XMLName  xml.Name      `xml:"testsuites"`
	Name     string        `xml:"name,attr"`
	Tests    int           `xml:"tests,attr"`
	Failures int           `xml:"failures,attr"`
	Errors   int           `xml:"errors,attr"`
	Time     seconds       `xml:"time,attr"`
	Suites   []*junitSuite `xml:"testsuite"`
}

func (r *testReport) junit(w io.Writer) error {
	out := junitSuites{Name: "aftermath", Tests: len(r.results) + len(r.problems), Failures: r.failed(), Errors: len(r.problems)}
	byFile := map[string]*junitSuite{}
	suite := func(file string) *junitSuite {
		if byFile[file] == nil {
			byFile[file] = &junitSuite{Name: file}
			out.Suites = append(out.Suites, byFile[file])
		}
		byFile[file].Tests++
		return byFile[file]
	}
	for _, p := range r.problems {
		s := suite(p.File)
		s.Errors++
		s.Cases = append(s.Cases, junitCase{Name: "load", Class: p.File, File: p.File, Line: max(p.Line, 1), Error: &junitMessage{visible(p.Message), "load", visible(p.String())}})
	}
	for i := range r.results {
		res := &r.results[i]
		t := res.Test
		s := suite(t.File)
		c := junitCase{Name: visible(t.Name), Class: t.File, File: t.File, Line: t.Line, Time: seconds(res.Took)}
		s.Time += c.Time
		out.Time += c.Time
		if !res.Passed {
			s.Failures++
			var b strings.Builder
			fmt.Fprintf(&b, "%s: %s\n", place(t), visible(res.Why))
			writeRows(&b, false, res)
			c.Failure = &junitMessage{visible(res.Why), "mismatch", b.String()}
		}
		s.Cases = append(s.Cases, c)
	}
	text, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}
