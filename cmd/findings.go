package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/aftermath-rules/aftermath/rules"
)

// printFindings writes problems in the format: text, json or github (workflow commands, which annotate a pull request).
func printFindings(w io.Writer, format string, problems rules.Problems) error {
	switch format {
	case "json":
		return printFindingsJSON(w, problems)
	case "github":
		for _, p := range problems {
			if _, err := fmt.Fprintf(w, "::%s file=%s,line=%d,col=%d::%s\n", severity(p), githubProperty(p.File), p.Line, p.Column, githubData(p.Message)); err != nil {
				return err
			}
		}
	default:
		for _, p := range problems {
			p.File = visible(p.File) // a name may hold what ends the line, or speaks to the terminal
			if _, err := fmt.Fprintln(w, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func printFindingsJSON(w io.Writer, problems rules.Problems) error {
	type finding struct {
		File     string `json:"file"`
		Line     int    `json:"line"`
		Column   int    `json:"column"`
		Severity string `json:"severity"`
		Message  string `json:"message"`
	}
	out := struct {
		Errors []finding `json:"errors"`
	}{[]finding{}}
	for _, p := range problems {
		out.Errors = append(out.Errors, finding{p.File, p.Line, p.Column, severity(p), p.Message})
	}
	return writeJSON(w, out)
}

func severity(p rules.Problem) string {
	if p.Warning {
		return "warning"
	}
	return "error"
}

// githubData and githubProperty escape what would end a workflow command's message or property.
func githubData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func githubProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}
