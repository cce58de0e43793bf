package cmd

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/rules"
)

func newSchemaCommand(reg *actions.Registry) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [rules|config]",
		Short: "Print the JSON Schema of rules files or of aftermath.yaml, for editors",
		Example: `  aftermath schema > rules.schema.json
  aftermath schema config > aftermath.schema.json`,
		ValidArgs: []string{"rules", "config"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "rules" && args[0] != "config" {
				return usageErrorf("takes rules or config, not %q", args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s := rules.Schema(reg)
			if len(args) == 1 && args[0] == "config" {
				s = config.Schema()
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
