package cmd

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/rules"
)

// offlineLoader loads rules for commands that send nothing: they read no secret and write no file. cfg may be nil; without roots
// it loads the configuration's rules.
func offlineLoader(reg *actions.Registry, cfg *config.Config, roots []string) *rules.Loader {
	l := &rules.Loader{Roots: roots, Registry: reg, Env: actions.Env{Logger: zap.NewNop(), SMTP: anySMTP}}
	l.Permit.Env = []string{"*"}
	if cfg != nil {
		l.Env.SMTP, l.Permit, l.Exclude = cfg.SMTP, permit(cfg), []string{cfg.Data}
	}
	if len(roots) > 0 { // rules on trial lie elsewhere than those that run; check tells what serve would not let them read
		l.Permit.Files = append(slices.Clip(l.Permit.Files), string(filepath.Separator))
	} else if cfg != nil {
		l.Roots = []string{cfg.Rules}
	}
	l.Permit.IgnoreSecrets = true
	return l
}

// configuredRules loads the rules of a configuration, without a secret. What is wrong with them is printed.
func configuredRules(ctx context.Context, reg *actions.Registry, path string, stderr io.Writer) (*rules.RuleSet, error) {
	cfg, err := config.Load(path, config.IgnoreSecrets())
	if err != nil {
		return nil, problemsError(stderr, err)
	}
	return loadRules(ctx, offlineLoader(reg, cfg, nil), stderr)
}

// loadRules prints what is wrong with the rules, and says what it means.
func loadRules(ctx context.Context, l *rules.Loader, stderr io.Writer) (*rules.RuleSet, error) {
	set, err := l.Load(ctx, nil)
	var problems rules.Problems
	if !errors.As(err, &problems) {
		return set, err
	}
	if printErr := printFindings(stderr, "text", problems); printErr != nil {
		return nil, printErr
	}
	return nil, failuref("the rules do not load: mend the %s above, and try again", errorsOf(len(problems)))
}

func errorsOf(n int) string {
	if n == 1 {
		return "error"
	}
	return "errors"
}

// completeNames completes the names of what a configuration's rules have. Completion never prints: where the rules do not load
// there is nothing to complete.
func completeNames(reg *actions.Registry, names func(*rules.RuleSet) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		path := defaultConfig
		if f := cmd.Flags().Lookup("config"); f != nil && f.Value.String() != "" {
			path = f.Value.String()
		}
		set, err := configuredRules(cmd.Context(), reg, path, io.Discard)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(set), cobra.ShellCompDirectiveNoFileComp
	}
}

// ruleNames and actionNames give the names of a set with a description each, as completion shows them.
func ruleNames(set *rules.RuleSet) []string {
	names := make([]string, len(set.Rules))
	for i, r := range set.Rules {
		names[i] = cobra.CompletionWithDesc(r.Name, visible(r.Description))
	}
	return names
}

func actionNames(set *rules.RuleSet) []string {
	var names []string
	for _, inst := range set.Instances() {
		names = append(names, cobra.CompletionWithDesc(inst.Name, inst.Type))
	}
	return names
}
