package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/rules"
)

func newCheckCommand(reg *actions.Registry) *cobra.Command {
	var path, format, secretsMode string
	cmd := &cobra.Command{
		Use:   "check [PATH...]",
		Short: "Check rules and configuration as serve would load them",
		Long: `check prints every error and every warning at its place and exits with 1 where there is an error. Without a PATH it checks the
configuration and the rules that it names; with PATHs (files or folders), these rules instead, under the configuration of -c,
or of ./aftermath.yaml where there is one. A PATH that is a configuration stands for -c.`,
		Example: `  aftermath check
  aftermath check -c /etc/aftermath/aftermath.yaml
  aftermath check --format github --secrets ignore rules     # in a pull request's workflow`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"text", "json", "github"}, format) {
				return usageErrorf("--format is text, json or github, not %q", format)
			}
			if !slices.Contains([]string{"", "ignore"}, secretsMode) {
				return usageErrorf("--secrets takes ignore, not %q", secretsMode)
			}
			if path == "" {
				path, args = takeConfig(args)
			}
			if path == "" && len(args) == 0 {
				path = defaultConfig
			}
			findings, summary, err := check(cmd.Context(), reg, path, args, secretsMode == "ignore")
			if err != nil {
				return err
			}
			if err := printFindings(cmd.OutOrStdout(), format, findings); err != nil {
				return err
			}
			errs, warnings := count(findings)
			if errs > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s, %s\n", plural(errs, "error"), plural(warnings, "warning"))
				return &exitError{code: exitFailure}
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "ok: %s, %s\n", summary, plural(warnings, "warning"))
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "the configuration `FILE`")
	cmd.Flags().StringVar(&format, "format", "text", "text, json or github")
	cmd.Flags().StringVar(&secretsMode, "secrets", "", "ignore: check on a machine that has no secrets")
	completeWords(cmd, "format", "text", "json", "github")
	completeWords(cmd, "secrets", "ignore")
	return cmd
}

// takeConfig takes the first path that is a configuration, which has apps to answer for, out of those that are to be rules.
func takeConfig(paths []string) (config string, rest []string) {
	isConfig := func(path string) bool {
		data, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		var top map[string]yaml.Node
		return yaml.Unmarshal(data, &top) == nil && top["callback"].Kind != 0
	}
	i := slices.IndexFunc(paths, isConfig)
	if i < 0 {
		return "", paths
	}
	return paths[i], slices.Delete(slices.Clone(paths), i, i+1)
}

// check loads what serve would, and gives all that is wrong or odd with it, and what there was in a few words.
func check(ctx context.Context, reg *actions.Registry, path string, roots []string, ignoreSecrets bool) (rules.Problems, string, error) {
	var findings rules.Problems
	cfg, err := checkedConfig(path, len(roots) > 0, ignoreSecrets)
	if err != nil && !errors.As(err, &findings) {
		return nil, "", err
	}
	loader := &rules.Loader{Roots: roots, Registry: reg, Env: actions.Env{Logger: zap.NewNop(), SMTP: anySMTP}}
	loader.Permit = rules.Permit{Env: config.Default().RulesMay.Env, Files: config.Default().RulesMay.Files, IgnoreSecrets: ignoreSecrets}
	if cfg != nil {
		if len(roots) == 0 { // else the configuration is only what the rules are checked under
			findings = append(findings, cfg.Warnings...)
		}
		loader.Env.SMTP, loader.Permit, loader.Exclude = cfg.SMTP, permit(cfg), []string{cfg.Data}
		loader.Permit.IgnoreSecrets = ignoreSecrets
		if len(roots) == 0 {
			loader.Roots = []string{cfg.Rules}
		}
	}
	if len(loader.Roots) == 0 { // the configuration, which would say where the rules are, is broken
		loader.Roots = defaultRules(path)
	}
	summary := "the configuration"
	if len(loader.Roots) > 0 {
		set, err := loader.Load(ctx, nil)
		var problems rules.Problems
		if err != nil && !errors.As(err, &problems) {
			return nil, "", err
		}
		findings = append(findings, problems...)
		if set != nil {
			findings = append(findings, set.Warnings...)
			summary = plural(len(set.Rules), "rule")
		}
	}
	for i := range findings { // what is wrong with a file as a whole is wrong at its beginning
		findings[i].Line, findings[i].Column = max(findings[i].Line, 1), max(findings[i].Column, 1)
	}
	slices.SortStableFunc(findings, func(a, b rules.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return findings, summary, nil
}

// anySMTP stands for the mail server of a configuration that was not named: its absence is not the rules' fault.
var anySMTP = actions.SMTP{Host: "smtp.invalid", From: "aftermath@smtp.invalid"}

// checkedConfig loads the configuration that was named, or the one in the working directory where rules were named and it is there.
func checkedConfig(path string, optional, ignoreSecrets bool) (*config.Config, error) {
	if path == "" && optional {
		if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		path = defaultConfig
	}
	var opts []config.Option
	if ignoreSecrets {
		opts = append(opts, config.IgnoreSecrets())
	}
	return config.Load(path, opts...)
}

// defaultRules is the rules folder of a configuration that does not say another, where there is one.
func defaultRules(path string) []string {
	dir := filepath.Join(filepath.Dir(path), config.Default().Rules)
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	return []string{dir}
}

func count(findings rules.Problems) (errs, warnings int) {
	for _, p := range findings {
		if p.Warning {
			warnings++
		} else {
			errs++
		}
	}
	return errs, warnings
}
