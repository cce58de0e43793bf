// Command aftermath is the rules engine with its built-in action types.
package main

import (
	"os"

	"github.com/aftermath-rules/aftermath/cmd"
)

func main() { os.Exit(cmd.Main()) }
