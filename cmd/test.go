package cmd

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/ruletest"
	"github.com/aftermath-rules/aftermath/rules"
)

func newTestCommand(reg *actions.Registry) *cobra.Command {
	var path, format, only string
	cmd := &cobra.Command{
		Use:   "test PATH...",
		Short: "Run rule tests",
		Long: `test runs the tests in *_test.yaml files below the PATHs (files or folders) against the rules there: which rules match a callback,
pair by pair, and what their actions would send. Nothing is sent, and no secret is needed. It exits with 1 where a test fails, and
tells which rules no test matches.

The rules are read under the configuration of -c, or of ./aftermath.yaml where there is one. Where only test files are named, the
rules are those of -c, of ./aftermath.yaml where the files lie among them, or else of the folders that the files lie in.

A test's callback has SdkAppid 1400000000, Time 2026-01-01T00:00:00Z and no other field unless it says so; in what is rendered, the
ids of delivery and callback are "test" and secrets are "[secret]".`,
		Example: `  aftermath test rules
  aftermath test --run 'VIP' rules
  aftermath test --format junit rules > report.xml     # for a pull request's check`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"text", "json", "junit"}, format) {
				return usageErrorf("--format is text, json or junit, not %q", format)
			}
			filter, err := regexp.Compile(only)
			if err != nil {
				return usageErrorf("--run: %w", err)
			}
			if path == "" {
				path, args = takeConfig(args)
			}
			if len(args) == 0 && path == "" {
				return usageErrorf("needs the PATH of a rules folder, or -c FILE\nRun %s --help for an example.", cmd.CommandPath())
			}
			report, err := runTests(cmd.Context(), reg, path, args, filter)
			if err != nil {
				return err
			}
			if err := report.print(cmd.OutOrStdout(), format); err != nil {
				return err
			}
			switch {
			case len(report.problems) > 0 && len(report.results) == 0:
				return failuref("no test was run: mend the %s above, and try again", errorsOf(len(report.problems)))
			case report.failed() > 0 || len(report.problems) > 0:
				return &exitError{code: exitFailure}
			}
			if len(report.results) == 0 && only != "" && report.skipped > 0 {
				return failuref("no test's name matches --run %s: %s", only, plural(report.skipped, "test")+" left out")
			}
			if len(report.results) == 0 {
				return failuref("there are no rule tests (*_test.yaml or *_test.yml) in %s", strings.Join(report.roots, ", "))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "the configuration `FILE` that the rules are read under")
	cmd.Flags().StringVar(&format, "format", "text", "text, json or junit")
	cmd.Flags().StringVar(&only, "run", "", "run only tests whose name matches this `REGEXP`")
	completeWords(cmd, "format", "text", "json", "junit")
	return cmd
}

// runTests loads rules and tests and runs what the filter matches.
func runTests(ctx context.Context, reg *actions.Registry, path string, roots []string, filter *regexp.Regexp) (*testReport, error) {
	report := &testReport{}
	cfg, err := checkedConfig(path, len(roots) > 0, true)
	if err != nil {
		return report, report.take(err)
	}
	loader := offlineLoader(reg, cfg, roots)
	report.roots = loader.Roots
	tests, err := report.parse(ctx, loader)
	if err != nil {
		return nil, err
	}
	if rulesRoots, ok := besideTests(roots); ok {
		if path != "" || cfg != nil && !slices.ContainsFunc(rulesRoots, func(dir string) bool { return !isBelow(dir, cfg.Rules) }) {
			rulesRoots = nil
		}
		loader = offlineLoader(reg, cfg, rulesRoots)
	}
	loader.OpenLists = ruletest.Lists(tests)
	set, err := loader.Load(ctx, nil)
	if err != nil {
		return report, report.take(err)
	}
	runner := &ruletest.Runner{Set: set}
	for _, t := range tests {
		if !filter.MatchString(t.Name) {
			report.skipped++
			continue
		}
		res, err := runner.Run(ctx, t)
		if err != nil {
			return nil, err
		}
		report.results = append(report.results, res)
	}
	report.untested, report.rules = runner.Untested()
	return report, nil
}

// parse reads the tests. What is wrong with some of them is reported, and the others are given.
func (r *testReport) parse(ctx context.Context, loader *rules.Loader) ([]*ruletest.Test, error) {
	files, err := loader.Tests(ctx)
	if err := r.take(err); err != nil {
		return nil, err
	}
	var all []*ruletest.Test
	for _, f := range files {
		tests, err := ruletest.Parse(f.Name, f.Data)
		if err := r.take(err); err != nil {
			return nil, err
		}
		all = append(all, tests...)
	}
	return all, nil
}

// besideTests gives the folders that the paths lie in, where all of them are test files.
func besideTests(paths []string) (folders []string, ok bool) {
	for _, p := range paths {
		if !strings.HasSuffix(p, "_test.yaml") && !strings.HasSuffix(p, "_test.yml") {
			return nil, false
		}
		if dir := filepath.Dir(p); !slices.Contains(folders, dir) {
			folders = append(folders, dir)
		}
	}
	return folders, len(paths) > 0
}

// isBelow tells whether path is the folder or lies below it.
func isBelow(path, folder string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return false
	}
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// testReport is what a run of tests came to.
type testReport struct {
	roots    []string
	results  []ruletest.Result
	problems rules.Problems // what keeps rules or tests from being run at all
	skipped  int            // tests that the filter left out
	rules    int            // enabled ones
	untested []string
}

// take keeps problems for the report. It gives back any other error.
func (r *testReport) take(err error) error {
	var problems rules.Problems
	if errors.As(err, &problems) {
		for _, p := range problems { // a path that is wrong is so for the tests and for the rules
			if !slices.Contains(r.problems, p) {
				r.problems = append(r.problems, p)
			}
		}
		return nil
	}
	return err
}

func (r *testReport) failed() int {
	n := 0
	for i := range r.results {
		if !r.results[i].Passed {
			n++
		}
	}
	return n
}
