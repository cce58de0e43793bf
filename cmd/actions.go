package cmd
import ("github.com/spf13/cobra";"github.com/aftermath-rules/aftermath/actions")
func newActionsCommand(reg *actions.Registry) *cobra.Command { return &cobra.Command{Use:"actions"} }
