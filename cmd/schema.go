package cmd

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/ruletest"
	"github.com/aftermath-rules/aftermath/rules"
)

func newSchemaCommand(reg *actions.Registry) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [rules|config|tests]",
		Short: "Print the JSON Schema of rules files, aftermath.yaml or rule tests, for editors",
		Example: `  aftermath schema > rules.schema.json
  aftermath schema config > aftermath.schema.json
  aftermath schema tests > tests.schema.json`,
		ValidArgs: []string{"rules", "config", "tests"},
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usageErrorf("takes one of rules, config and tests, not %d", len(args))
			case len(args) == 1 && !slices.Contains(cmd.ValidArgs, args[0]):
				return usageErrorf("takes rules, config or tests, not %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s := rules.Schema(reg)
			switch {
			case len(args) == 1 && args[0] == "config":
				s = config.Schema()
			case len(args) == 1 && args[0] == "tests":
				s = ruletest.Schema()
			}
			out, err := json.MarshalIndent(s, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), string(out))
			return err
		},
	}
}
