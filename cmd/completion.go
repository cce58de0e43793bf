package cmd

import (
	"io"
	"slices"

	"github.com/spf13/cobra"
)

func newCompletionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes commands and flags in a shell",
		Long:  "completion prints a script for bash, zsh, fish or powershell. The shell loads it when it starts, or where it is told to.",
		Example: `  source <(aftermath completion bash)
  aftermath completion bash > /etc/bash_completion.d/aftermath
  aftermath completion zsh > "${fpath[1]}/_aftermath"
  aftermath completion fish > ~/.config/fish/completions/aftermath.fish`,
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(shells, args[0]) {
				return usageErrorf("needs one shell: bash, zsh, fish or powershell\nRun %s --help for an example.", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			write := map[string]func(io.Writer) error{
				"bash":       func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
				"zsh":        root.GenZshCompletion,
				"fish":       func(w io.Writer) error { return root.GenFishCompletion(w, true) },
				"powershell": root.GenPowerShellCompletionWithDesc,
			}
			return write[args[0]](out)
		},
	}
}
